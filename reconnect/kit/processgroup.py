"""Ending a process group: what a child that leads a session of its own has started, and that stayed in its group."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from reconnect.kit.deadline import Deadline

GRACE_SECONDS = 5.0
"""How long a process group has between SIGTERM and SIGKILL."""


def end_group(process: subprocess.Popen[bytes], grace: float = GRACE_SECONDS) -> None:
    """End a child that was started with a session of its own, and all that it started: SIGTERM, then SIGKILL.

    The grace is the group's, not its leader's: what cleans up after the leader has ended is let do so.

    :param grace: seconds between the two signals, for those that take them.
    """
    try:
        for sig in (signal.SIGTERM, signal.SIGKILL):
            # The group can outlive its leader (a make that died before its compilers), so signal it in any case.
            _signal(process.pid, sig)
            if _ended(process, Deadline(grace)):
                return
        process.wait()
    except BaseException:  # Ctrl-C again, while we wait
        _signal(process.pid, signal.SIGKILL)
        raise


def _signal(group: int, sig: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, sig)


def _ended(leader: subprocess.Popen[bytes], deadline: Deadline) -> bool:
    """Wait until no process of the group runs. Its members may start others, so look again after each that ends."""
    while True:
        gone = leader.poll() is not None
        with contextlib.ExitStack() as stack:
            endings = select.poll()
            waiting = 0
            for pid in members(leader.pid):
                with contextlib.suppress(ProcessLookupError):  # ended since
                    descriptor = os.pidfd_open(pid)
                    stack.callback(os.close, descriptor)
                    endings.register(descriptor, select.POLLIN)
                    waiting += 1
            if gone and not waiting:
                return True
            if deadline.passed:
                return False
            # Nobody left, and the leader not reaped yet: it is about to be.
            endings.poll(deadline.remaining * 1000 if waiting else 1)


def members(group: int) -> Iterator[int]:
    """The processes of a group that run: zombies have ended (proc(5))."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                # PID (NAME) STATE PPID PGRP ...; a name may hold spaces and parentheses
                words = (folder / "stat").read_bytes().rpartition(b")")[2].split()
                if int(words[2]) == group and words[0] not in (b"Z", b"X"):
                    yield int(folder.name)
