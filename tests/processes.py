"""Waiting for processes to be gone."""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Iterable

import psutil


def assert_ended(pids: Iterable[int], seconds: float = 5.0) -> None:
    """Wait until none of these processes runs. One that nobody has asked for its exit code counts as ended."""
    end = time.monotonic() + seconds
    pids = list(pids)
    while running := [pid for pid in pids if _runs(pid)]:
        assert time.monotonic() < end, [psutil.Process(pid).cmdline() for pid in running]
        select.select([], [], [], 0.01)


def _runs(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False
