"""Where the base image comes from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reconnect.kit.errors import ConfigError, HostError, SourceError
from reconnect.project.workspace import ROOT
from reconnect.ship import base, host_apt
from reconnect.ship.engines import Buildah
from reconnect.ship.host_apt import HostApt
from tests.ship.conftest import Host

DOCKERFILE = ROOT / "docker/Dockerfile"
UNREACHED = "echo 'Error: pinging container registry r.invalid: dial tcp: lookup r.invalid: no such host'; exit 125"
WRONG_DIGEST = (
    "echo 'Error: reading manifest sha256:88 in r.invalid/debian: manifest digest sha256:99 does not match sha256:88'"
    "; exit 125"
)
MANIFEST_UNKNOWN = "echo 'Error: reading manifest latest in r.invalid/debian: manifest unknown'; exit 125"


@pytest.fixture
def apt(tmp_path: Path) -> HostApt:
    etc = tmp_path / "etc"
    (etc / "sources.list.d").mkdir(parents=True)
    (etc / "sources.list").write_text("deb http://mirror.invalid/debian bookworm main\n")
    return host_apt.derive(tmp_path / "apt", etc, {})


def pulling(script: str) -> str:
    return f'if [ "$1" = pull ]; then {script}; fi'


def mmdebstrap(host: Host, script: str = "") -> None:
    """An mmdebstrap whose archive is a word; it writes to the argument before the last."""
    last = 'for word in "$@"; do archive=$before before=$word; done; echo archive >"$archive"'
    host.engine("mmdebstrap", script or last)


def test_the_dockerfile_s_base_is_pinned_by_digest() -> None:
    assert "@sha256:" in base.pinned(DOCKERFILE)


def test_a_base_without_digest_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text("ARG BASE=docker.io/library/debian:bookworm-slim\nFROM ${BASE}\n")
    with pytest.raises(ConfigError, match="names no image by its digest"):
        base.pinned(file)


def test_where_a_registry_is_reached_its_image_is_taken(
    host: Host, buildah: Callable[[str], None], apt: HostApt, tmp_path: Path
) -> None:
    buildah("")
    assert base.provide(Buildah(), "", DOCKERFILE, apt, tmp_path).reference == base.pinned(DOCKERFILE)


def test_where_none_is_reached_mmdebstrap_makes_it_once(
    host: Host, buildah: Callable[[str], None], apt: HostApt, tmp_path: Path
) -> None:
    buildah(pulling(UNREACHED))
    mmdebstrap(host)
    for _ in range(2):
        found = base.provide(Buildah(), "", DOCKERFILE, apt, tmp_path / "work")
        assert found.reference == "localhost/reconnect-base:bookworm"
        assert "no image registry is reached" in found.why
    assert sum(call.startswith("mmdebstrap") for call in host.calls) == 1


@pytest.mark.parametrize("request_", ["", base.MMDEBSTRAP])
def test_without_a_cache_mmdebstrap_makes_it_anew(
    host: Host, buildah: Callable[[str], None], apt: HostApt, tmp_path: Path, request_: str
) -> None:
    """Steps: make a base; make it again without the cache. Verify: the second has what the mirror has by then."""
    buildah(pulling(UNREACHED))
    newer = tmp_path / "newer"
    last = f'for word in "$@"; do archive=$before before=$word; done; cat {newer} >"$archive"'
    mmdebstrap(host, last)
    for packages in ("old", "new"):
        newer.write_text(packages)
        base.provide(Buildah(), request_, DOCKERFILE, apt, tmp_path / "work", no_cache=packages == "new")
        assert (tmp_path / "work/base/base.tar").read_text() == packages
    builds = [call for call in host.calls if call.startswith("buildah build")]
    assert ["--no-cache" in call for call in builds] == [False, True]


def test_another_image_than_the_digest_names_is_never_replaced(
    host: Host, buildah: Callable[[str], None], apt: HostApt, tmp_path: Path
) -> None:
    mmdebstrap(host)
    for script in (WRONG_DIGEST, MANIFEST_UNKNOWN):
        buildah(pulling(script))
        with pytest.raises(SourceError, match="a registry answered, but not with the base image") as caught:
            base.provide(Buildah(), "", DOCKERFILE, apt, tmp_path / "work")
        assert caught.value.exit_code == 3
    assert not [call for call in host.calls if call.startswith("mmdebstrap")]


def test_a_base_that_is_named_is_never_replaced(
    host: Host, buildah: Callable[[str], None], apt: HostApt, tmp_path: Path
) -> None:
    buildah(pulling(UNREACHED))
    mmdebstrap(host)
    with pytest.raises(SourceError, match=r"the base image r\.invalid/mine is unavailable"):
        base.provide(Buildah(), "r.invalid/mine", DOCKERFILE, apt, tmp_path / "work")


def test_without_mmdebstrap_its_package_is_named(
    host: Host, buildah: Callable[[str], None], apt: HostApt, tmp_path: Path
) -> None:
    buildah(pulling(UNREACHED))
    with pytest.raises(HostError) as caught:
        base.provide(Buildah(), "", DOCKERFILE, apt, tmp_path / "work")
    assert "apt-get install mmdebstrap" in caught.value.hint


@pytest.mark.parametrize(
    ("script", "error", "what"),
    [
        ("echo 'E: unshare failed: Operation not permitted'; exit 1", HostError, "user namespace"),
        ("echo 'tar: base.tar: No space left on device'; exit 1", HostError, "no disk"),
        ("echo 'E: Failed to fetch http://mirror.invalid'; exit 1", SourceError, "could not make the base image"),
    ],
)
def test_a_failed_bootstrap_leaves_no_archive(
    host: Host,
    buildah: Callable[[str], None],
    apt: HostApt,
    tmp_path: Path,
    script: str,
    error: type[Exception],
    what: str,
) -> None:
    buildah("")
    mmdebstrap(host, script)
    with pytest.raises(error, match=what):
        base.provide(Buildah(), base.MMDEBSTRAP, DOCKERFILE, apt, tmp_path / "work")
    assert not (tmp_path / "work/base/base.tar").exists()
    assert not (tmp_path / "work/base/stamp.json").exists()
