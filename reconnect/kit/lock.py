"""Who may work in a folder: one alone, or several that only use what is there. Whoever has to wait says for whom.

The kernel keeps the lock (flock(2)) as long as one process has its descriptor open, and :mod:`reconnect.kit.command`
hands that on to its children: when we are killed, a compiler that we had started still keeps the next one out.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import psutil

from reconnect.kit.console import say

_held: list[int] = []


def held() -> tuple[int, ...]:
    """The descriptors of the locks that this process holds: for its children to inherit."""
    return tuple(_held)


@contextmanager
def exclusive(folder: Path, what: str) -> Iterator[None]:
    """Hold the lock of a folder alone.

    :param what: what is done meanwhile, shown to whoever waits.
    """
    with _holding(folder, what, fcntl.LOCK_EX):
        yield


@contextmanager
def shared(folder: Path, what: str) -> Iterator[None]:
    """Hold the lock of a folder beside others that share it: :func:`exclusive` waits for all of them.

    :param what: what is done meanwhile, shown to whoever waits.
    """
    with _holding(folder, what, fcntl.LOCK_SH):
        yield


@contextmanager
def _holding(folder: Path, what: str, kind: int) -> Iterator[None]:
    with _locked(folder, kind) as file:
        if kind == fcntl.LOCK_EX:
            file.truncate(0)
        file.write(f"process {os.getpid()} ({what})\n")  # appends, see open()
        file.flush()
        _held.append(file.fileno())
        try:
            yield
        finally:
            _held.remove(file.fileno())
            # What a child of ours has left running on purpose doesn't hold it any longer.
            fcntl.flock(file, fcntl.LOCK_UN)


def _locked(folder: Path, kind: int) -> TextIO:
    path = folder / "lock"
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            file = path.open("a+", encoding="utf-8")
        except FileNotFoundError:  # a clean was faster
            continue
        try:
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                say(f"waiting for {_holders(file.read())}, which holds {folder}")
                fcntl.flock(file, kind)
            # The holder that we waited for may have been a clean, which removed the file: then it locks nobody out.
            if _lies_at(file, path):
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _holders(text: str) -> str:
    """Those of the holders that are named which still run; where none does, it is a child of theirs that holds it."""
    lines = [line for line in text.splitlines() if line]
    alive = [line for line in lines if (pid := re.match(r"process (\d+)", line)) and psutil.pid_exists(int(pid[1]))]
    if alive or not lines:
        return ", ".join(alive) or "another process"
    return f"what {lines[-1]} left running"


def _lies_at(file: TextIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
