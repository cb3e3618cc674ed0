"""One build at a time per component. A second one waits, and says for whom."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from reconnect.kit.console import say


@contextmanager
def exclusive(folder: Path, what: str) -> Iterator[None]:
    """Hold the lock of a folder. The kernel releases it when the holder ends, however it ends.

    :param what: what is done meanwhile, shown to whoever waits.
    """
    with _locked(folder) as file:
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} ({what})\n")
        file.flush()
        yield


def _locked(folder: Path) -> TextIO:
    path = folder / "lock"
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            file = path.open("a+", encoding="utf-8")
        except FileNotFoundError:  # a clean was faster
            continue
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                say(f"waiting for {file.read().strip() or 'another process'}, which holds {folder}")
                fcntl.flock(file, fcntl.LOCK_EX)
            # The holder that we waited for may have been a clean, which removed the file: then it locks nobody out.
            if _lies_at(file, path):
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _lies_at(file: TextIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
