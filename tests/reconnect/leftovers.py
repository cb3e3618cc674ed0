"""What a run that is interrupted may leave, and waiting until it is gone."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil

from reconnect.lab.process.rundir import PREFIX


def until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Poll: across processes there is no event to wait for."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.02)


def processes_of(folder: Path) -> list[psutil.Process]:
    """The processes whose command lines name a runtime directory below ``folder``."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if process.info["status"] != psutil.STATUS_ZOMBIE and any(f"{folder}/{PREFIX}" in word for word in words):
            found.append(process)
    return found
