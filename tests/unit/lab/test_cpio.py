"""The initramfs writer, read back by the real cpio."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconnect.lab.guest.cpio import Archive


def _cpio(*words: str, archive: bytes, cwd: Path) -> str:
    if not shutil.which("cpio"):
        pytest.skip("cpio is not on this machine: apt-get install cpio")
    done = subprocess.run(["cpio", *words], input=archive, cwd=cwd, capture_output=True, timeout=30, check=True)
    return done.stdout.decode()


def test_cpio_unpacks_what_was_packed(tmp_path: Path) -> None:
    """An archive holds folders, files, modes and links as they were given.

    Steps: write an archive with one of each kind; unpack it with the real cpio.
    Verify: contents, modes and the link's target are the same.
    """
    archive = Archive()
    archive.folder("bin")
    archive.file("bin/program", b"\x7fELF" + bytes(1021), 0o755)
    archive.file("empty", b"")
    archive.symlink("bin/sh", "program")

    _cpio("-id", archive=archive.finish(), cwd=tmp_path)

    assert (tmp_path / "bin/program").read_bytes() == b"\x7fELF" + bytes(1021)
    assert stat.S_IMODE((tmp_path / "bin/program").stat().st_mode) == 0o755
    assert (tmp_path / "empty").read_bytes() == b""
    assert (tmp_path / "bin/sh").readlink() == Path("program")


def test_cpio_lists_a_device_with_its_numbers(tmp_path: Path) -> None:
    """A device needs no right to be packed.

    Steps: pack the console; let cpio list it.
    Verify: it is a character device 5, 1.
    """
    archive = Archive()
    archive.folder("dev")
    archive.character_device("dev/console", 5, 1)
    (line,) = [x for x in _cpio("-tv", archive=archive.finish(), cwd=tmp_path).splitlines() if "console" in x]
    assert line.startswith("crw-------")
    assert "5,   1" in line


@settings(max_examples=10, deadline=None)
@given(files=st.dictionaries(st.from_regex(r"[a-z0-9_.]{1,40}x", fullmatch=True), st.binary(max_size=300), max_size=8))
def test_cpio_pads_any_name_and_size(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> None:
    """Padding depends on lengths: try all kinds.

    Steps: pack files of any name and size; unpack them.
    Verify: all are there, byte for byte, and nothing else.
    """
    folder = tmp_path_factory.mktemp("cpio")
    archive = Archive()
    for name, data in files.items():
        archive.file(name, data)
    _cpio("-i", archive=archive.finish(), cwd=folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files


@pytest.mark.parametrize("name", ["/absolute", "missing/parent", "twice"])
def test_a_name_that_the_kernel_would_trip_over_is_refused(name: str) -> None:
    """Verify: absolute names, names before their folder, and names given twice are refused."""
    archive = Archive()
    archive.file("twice", b"")
    with pytest.raises(ValueError, match=name):
        archive.file(name, b"")


def test_the_same_entries_give_the_same_bytes() -> None:
    """Verify: nothing of the host (time, owner) gets into an archive."""

    def make() -> bytes:
        archive = Archive()
        archive.folder("a")
        archive.file("a/b", b"c")
        return archive.finish()

    assert make() == make()
