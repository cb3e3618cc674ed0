from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from reconnect.kit.errors import SourceError
from reconnect.project.config import DebianSource
from reconnect.toolchain.apt import MANIFEST, verified
from reconnect.toolchain.origins import debian


@pytest.mark.parametrize(
    ("upstream", "version", "fits"),
    [
        ("7.2", "1:7.2+dfsg-7+deb12u18", True),
        ("7.2", "1:7.2+dfsg-7+deb12u18+b3", True),
        ("7.2.22", "1:7.2.22+ds-0+deb12u1", True),
        ("7.2", "1:7.2.22+ds-0+deb12u1", False),
        ("7.2", "7.20-1", False),
        ("7.2", "17.2-1", False),
        ("7.2", "1:10.0+dfsg-7.2", False),
        ("9.0.0", "9.0.0-4+deb12u3", True),
        ("9.0.0", "9.0.0~rc1-1", True),
        ("2.10", "2.10-3", True),
        ("2.10", "2.10", True),
        ("2.10", "nonsense", False),
        ("2.10", "", False),
        ("2.1", "2.10-3", False),
    ],
)
def test_matches(upstream: str, version: str, fits: bool) -> None:
    assert debian.matches(upstream, version) is fits


def test_a_folders_name_has_no_colon() -> None:
    assert debian.folder_name("qemu", "1:7.2+dfsg-7") == "qemu_7.2+dfsg-7"


def download(cache: Path, package: str, version: str, age: int) -> Path:
    """A finished download of one file."""
    folder = cache / debian.folder_name(package, version)
    folder.mkdir(parents=True)
    (folder / "x.dsc").write_text(version)
    digest = hashlib.sha256(version.encode()).hexdigest()
    manifest = {"package": package, "version": version, "files": {"x.dsc": digest}}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    os.utime(folder, (1_000_000_000 - age, 1_000_000_000 - age))
    return folder


def test_the_newest_whole_download_of_that_upstream_version_is_taken(tmp_path: Path) -> None:
    source = DebianSource("qemu", "7.2")
    with pytest.raises(SourceError, match=r"the cache has no source package qemu 7\.2"):
        debian.cached(source, tmp_path)
    download(tmp_path, "qemu", "1:7.20+dfsg-1", 0)
    with pytest.raises(SourceError, match=r"the cache has no source package qemu 7\.2"):
        debian.cached(source, tmp_path)
    old = download(tmp_path, "qemu", "1:7.2+dfsg-1", 20)
    new = download(tmp_path, "qemu", "1:7.2+dfsg-2", 10)
    assert debian.cached(source, tmp_path) == (new, "1:7.2+dfsg-2")
    (new / "x.dsc").write_text("cut")
    assert debian.cached(source, tmp_path) == (old, "1:7.2+dfsg-1")
    (old / "x.dsc").unlink()
    with pytest.raises(SourceError) as caught:
        debian.cached(source, tmp_path)
    assert "is cut short or was changed" in caught.value.why
    assert "is not whole" in caught.value.why


@pytest.mark.parametrize("manifest", ["", "{", "[]", "{}", '{"files": 3}', '{"files": {}}'])
def test_a_damaged_manifest_is_no_download(tmp_path: Path, manifest: str) -> None:
    (tmp_path / MANIFEST).write_text(manifest)
    with pytest.raises(SourceError, match="is not whole"):
        verified(tmp_path)
