"""Debian's source packages through the machine's own apt configuration: real downloads of small packages."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconnect.kit.errors import SourceError
from reconnect.project import config
from reconnect.project.config import DebianSource
from reconnect.project.workspace import ROOT
from reconnect.toolchain.apt import ETC, MANIFEST, Apt
from reconnect.toolchain.origins import debian
from tests.toolchain.test_inv import NOBODY
from tests.toolchain.world import Checkout, debian_component

HELLO = DebianSource("hello", "2.10")

if not any((ETC / "sources.list.d").glob("*")) and not (ETC / "sources.list").exists():
    pytest.skip(f"{ETC} names no mirror", allow_module_level=True)


def machine() -> dict[str, str]:
    """The machine's own apt configuration."""
    files = [p for p in ETC.rglob("*") if p.is_file() and os.access(p, os.R_OK)]
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def apt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apt]:
    """A private apt whose lists are fetched once. Verify at the end: the machine's own are untouched."""
    before = machine()
    made = Apt(tmp_path_factory.mktemp("apt"))
    made.update()
    yield made
    assert machine() == before


def test_a_source_package_is_downloaded_and_verified(apt: Apt, tmp_path: Path) -> None:
    """Steps: fetch; fetch again; cut a file; ask the cache; fetch. Verify: the version, and that the cut is found."""
    folder, version = debian.fetch(HELLO, apt, tmp_path)
    assert debian.matches("2.10", version)
    assert [*folder.glob("*.dsc"), *folder.glob("*.debian.tar.xz")]
    assert debian.cached(HELLO, tmp_path) == (folder, version)
    assert [p.name for p in tmp_path.iterdir()] == [folder.name]
    dates = {p: p.stat().st_mtime_ns for p in folder.iterdir()}
    debian.fetch(HELLO, apt, tmp_path)
    assert {p: p.stat().st_mtime_ns for p in folder.iterdir()} == dates

    (archive,) = folder.glob("*.orig.tar.gz")
    os.truncate(archive, archive.stat().st_size - 100)
    with pytest.raises(SourceError) as caught:
        debian.cached(HELLO, tmp_path)
    assert f"{archive} is not what was downloaded: it is cut short or was changed" in caught.value.why
    debian.fetch(HELLO, apt, tmp_path)
    debian.cached(HELLO, tmp_path)


def test_another_upstream_version_lists_what_is_served(apt: Apt, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        debian.fetch(DebianSource("hello", "1.0"), apt, tmp_path)
    assert caught.value.what == "no Debian source package hello with upstream version 1.0"
    assert "this machine's apt sources serve: 2.10-" in caught.value.why
    assert "bookworm" in caught.value.hint
    with pytest.raises(SourceError, match="no Debian source package") as caught:
        debian.fetch(DebianSource("reconnect-no-such-package", "1"), apt, tmp_path)
    assert "serve: none" in caught.value.why


def test_a_binary_package_and_one_that_is_not_there(apt: Apt, tmp_path: Path) -> None:
    record = apt.newest_binary("hello-traditional")
    apt.download_binary(record, tmp_path / "deb")
    (deb,) = (tmp_path / "deb").glob("*.deb")
    assert hashlib.sha256(deb.read_bytes()).hexdigest() == record["SHA256"]
    with pytest.raises(SourceError, match="the Debian mirror has no package reconnect-no-such-package"):
        apt.newest_binary("reconnect-no-such-package")


def test_a_metapackage_is_followed(apt: Apt) -> None:
    record = apt.newest_binary("linux-image-cloud-amd64")
    assert record["Package"].startswith("linux-image-6")
    assert record["Package"].endswith("-cloud-amd64")


def test_a_file_that_is_not_the_indexed_one_is_refused(apt: Apt, tmp_path: Path) -> None:
    """The index is made to name another hash, as if the mirror's file had been changed."""
    (record,) = [r for r in apt.source_versions("hello") if debian.matches("2.10", r["Version"])][-1:]
    record["Checksums-Sha256"][0]["sha256"] = "0" * 64
    with pytest.raises(SourceError, match="is not the file that the signed index names"):
        apt.download_source(record, tmp_path / "hello")
    assert not (tmp_path / "hello").exists()


def test_one_run_reads_the_indexes_once(checkout: Checkout, tmp_path: Path) -> None:
    """Steps: fetch two Debian components, asking for newer ones, with an apt-get that counts its calls.

    Verify: one ``apt-get update``.
    """
    (checkout.patches / "none").mkdir()
    (checkout.patches / "none/series").touch()
    checkout.write_stacks(
        debian_component("tiny", "hello", "2.10", program="qemu"), debian_component("other", "hello", "2.10")
    )
    count = tmp_path / "count"
    wrapper = tmp_path / "bin/apt-get"
    wrapper.parent.mkdir()
    real = shutil.which("apt-get")
    wrapper.write_text(f'#!/bin/sh\necho "$*" >>{count}\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    path = f"{wrapper.parent}:{os.environ['PATH']}"
    checkout.run("fetch", "--component", "tiny,other", "--refresh", PATH=path).expect(0)
    calls = count.read_text().splitlines()
    assert sum(" update " in call for call in calls) == 1, calls


def test_a_mirror_that_does_not_answer(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/sources.list").write_text("deb http://127.0.0.1:1/debian bookworm main\n")
    apt = Apt(tmp_path / "state", tmp_path / "etc")
    with pytest.raises(SourceError, match="apt could not read its indexes") as caught:
        apt.source_versions("hello")
    assert "127.0.0.1" in caught.value.why
    assert "RECONNECT_OFFLINE" in caught.value.hint


def test_an_index_that_nobody_signed_is_refused(tmp_path: Path) -> None:
    """Even where the machine's own entry says that it is to be trusted."""
    mirror = tmp_path / "mirror/dists/x"
    mirror.mkdir(parents=True)
    (mirror / "Release").write_text("Suite: x\nCodename: x\nComponents: main\nSHA256:\n")
    (tmp_path / "etc").mkdir()
    entry = f"deb [trusted=yes allow-insecure=yes] file:{tmp_path}/mirror x main\n"
    (tmp_path / "etc/sources.list").write_text(entry)
    with pytest.raises(SourceError, match="apt could not read its indexes") as caught:
        Apt(tmp_path / "state", tmp_path / "etc").update()
    assert "is not signed" in caught.value.why


def test_the_base_tree_of_a_source_package(checkout: Checkout, apt: Apt) -> None:
    """Steps: patch a small package with an empty series. Verify: its source, with Debian's patches, is one commit."""
    (checkout.patches / "none").mkdir()
    (checkout.patches / "none/series").touch()
    checkout.write_stacks(
        debian_component("tiny", "hello", "2.10", program="qemu"), debian_component("other", "hello", "2.10")
    )
    workspace = checkout.workspace
    tiny = config.load(workspace.stacks, workspace.patches).component("tiny")
    assert tiny.debian
    debian.fetch(tiny.debian, apt, workspace.cache_dir("debian"))
    offline = {"RECONNECT_OFFLINE": "1"}
    done = checkout.run("patch", "--component", "tiny,other", **offline).expect(0, "unpack tiny 2.10-")
    commits = {line.split()[0]: line.split()[2] for line in done.output.splitlines() if " patched: " in line}
    assert (checkout.source("tiny") / "src/hello.c").exists()
    assert not (checkout.source("tiny") / ".pc").exists()
    assert len(commits) == 2
    (archive,) = checkout.cache.glob("debian/hello_*/*.orig.tar.gz")
    os.truncate(archive, archive.stat().st_size // 2)
    done = checkout.run("fetch", "--component", "tiny", **offline)
    done.expect(3, "tiny: the cache has no source package hello 2.10", "RECONNECT_OFFLINE is set")
    assert f"{archive} is not what was downloaded" in done.output


SCRIPT = """
import sys
from pathlib import Path
from reconnect.toolchain.apt import Apt
from reconnect.project.config import DebianSource
from reconnect.toolchain.origins import debian
here = Path.cwd()
print(*debian.fetch(DebianSource("hello", "2.10"), Apt(here / "apt", here / "etc"), here))
"""


def test_a_user_without_rights_can_do_it_too() -> None:
    """Steps: as nobody, in a fresh folder, fetch with the machine's own entries for Debian itself."""
    if os.geteuid() != 0:
        pytest.skip("all other tests already run as a user without rights")
    drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    with tempfile.TemporaryDirectory(prefix="reconnect-test-", dir="/tmp") as name:
        folder = Path(name)
        etc = folder / "etc/sources.list.d"
        etc.mkdir(parents=True)
        for path in [*ETC.glob("sources.list"), *ETC.glob("sources.list.d/debian.*")]:
            (folder / "etc" / path.relative_to(ETC)).write_bytes(path.read_bytes())
        os.chown(folder, NOBODY, NOBODY)
        check = [*drop, sys.executable, "-c", "import debian, reconnect"]
        env = {"PATH": os.environ["PATH"], "HOME": name, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        if subprocess.run(check, cwd=folder, env=env, capture_output=True, timeout=60).returncode:
            pytest.skip(f"nobody can't read {ROOT} and its .venv")
        argv = [*drop, sys.executable, "-c", SCRIPT]
        done = subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stdout + done.stderr
        assert list(folder.glob("hello_2.10*/*.dsc"))


def test_refresh_takes_a_newer_revision_and_nothing_else_does(checkout: Checkout, apt: Apt) -> None:
    """Steps: a cache whose revision is older than the mirror's; fetch; refresh offline; refresh; fetch.

    Verify: only a refresh with a network asks the mirror; from then on the newer one is used, and the older is kept.
    """
    checkout.write_stacks(
        debian_component("tiny", "hello", "2.10", program="qemu", series="qemu-7.2"),
        debian_component("other", "hello", "2.10", series="libvirt-9.0"),
    )
    cache = checkout.workspace.cache_dir("debian")
    folder, version = debian.fetch(HELLO, apt, cache)
    old = folder.rename(cache / "hello_2.10-0")
    manifest = old / MANIFEST
    manifest.write_text(manifest.read_text().replace(f'"{version}"', '"2.10-0"'))
    assert debian.cached(HELLO, cache) == (old, "2.10-0")

    words = ["fetch", "--component", "tiny"]
    checkout.run(*words).expect(0, "tiny: 2.10-0 in the cache")
    checkout.run(*words, "--refresh", RECONNECT_OFFLINE="1").expect(0, "tiny: 2.10-0 in the cache")
    assert not folder.exists()
    checkout.run(*words, "--refresh").expect(0, f"tiny: {version} in the cache")
    assert sorted(cache.iterdir()) == sorted([old, folder])
    done = checkout.run(*words).expect(0, f"tiny: {version} in the cache")
    assert "==>" not in done.output
