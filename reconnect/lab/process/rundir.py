"""The runtime directory: a short path for sockets, gone after the run, however the run ends.

It is made below TMPDIR with a file that its owner keeps locked (flock(2)). The kernel drops the lock when the owner
dies, so a directory whose file is not locked was left behind by a killed run: the next run sweeps it. A file system
of hugepages takes no such file: there the directory itself is locked.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "reconnect-"
OWNER = "owner"
MARK = "reconnect runtime directory of process "


@contextmanager
def runtime_dir() -> Iterator[Path]:
    """A fresh runtime directory. Sweeps those of killed runs first."""
    base = Path(tempfile.gettempdir())
    sweep(base)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
    try:
        with (folder / OWNER).open("w", encoding="utf-8") as owner:
            # Lock first, mark then: a file with the mark whose lock is free has no living owner.
            fcntl.flock(owner, fcntl.LOCK_EX)
            owner.write(f"{MARK}{os.getpid()}\n")
            owner.flush()
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(base: Path) -> list[Path]:
    """Remove the runtime directories that killed runs of this user left in ``base``; returns them."""
    swept = []
    for folder in base.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if _is_left_behind(folder):
                shutil.rmtree(folder, ignore_errors=True)
                swept.append(folder)
    return swept


def _is_left_behind(folder: Path) -> bool:
    # Never follow a link, never touch what is another user's: TMPDIR is usually everybody's.
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        return False
    with (folder / OWNER).open("r+", encoding="utf-8") as owner:
        try:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return owner.read().startswith(MARK)


@contextmanager
def held_folder(base: Path) -> Iterator[Path]:
    """A fresh folder in ``base`` that needs no file to be known by: it is locked itself (flock(2)).

    Sweeps those of killed runs first: whatever in ``base`` has our prefix, is ours, and is locked by nobody.
    """
    for left in base.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            _sweep_held(left)
    folder, lock = _held(base)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _held(base: Path) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        # Another run may sweep it before it is locked: then there is none any more.
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.is_dir():
                return folder, lock
            os.close(lock)


def _sweep_held(folder: Path) -> None:
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        return
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
