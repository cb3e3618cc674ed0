"""Nothing that tests have started outlives them.

Tests start daemons, and daemons leave their session: no signal to a process group reaches them. So for as long as
tests run, this process is the one that orphans are given to (prctl(2), PR_SET_CHILD_SUBREAPER), and ends whatever
it has been given.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

_PR_SET_CHILD_SUBREAPER = 36
_SECONDS = 10.0


@contextmanager
def ended() -> Iterator[None]:
    """At the end of the block all processes have ended that were started in it, however it ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = set(psutil.Process().children())
    _set(libc, 1)
    try:
        yield
    finally:
        sweep(before)
        _set(libc, 0)


def sweep(keep: set[psutil.Process]) -> list[str]:
    """End all descendants of this process but those of ``keep`` and theirs.

    :returns: the names of those that were still running.
    """
    names = []
    # What a process starts while it is being ended is found in the next round.
    while left := [child for child in psutil.Process().children() if child not in keep]:
        family = [*left, *(p for child in left for p in _descendants(child))]
        for process in family:
            try:
                if process.status() != psutil.STATUS_ZOMBIE:
                    names.append(process.name())
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(left, timeout=_SECONDS)
    return names


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _set(libc: ctypes.CDLL, value: int) -> None:
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
