"""The stall check: whether QEMU's monitor answers and the guest sends while the backend keeps silent.

A switch that is stopped, or maps memory, or is busy, is still connected to: the kernel does that. QEMU must not hold
the guest until such a switch replies to the first message of a connection that was made again.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from reconnect.kit.deadline import Deadline
from reconnect.lab.process.failure import CellFailed
from reconnect.lab.process.waiter import Waiter
from reconnect.lab.qemu.virtual_machine import VirtualMachine

LIMIT_MS = 1000.0
"""Far above what a busy machine adds, and far below what a silent backend costs where QEMU waits for it."""

ASK_SECONDS = 0.05
ANSWER_SECONDS = 15.0
"""For one answer: a QEMU that waits for its backend gives up after ten."""


def slowest_answer(vm: VirtualMachine, waiter: Waiter, over: Callable[[], bool], deadline: Deadline) -> float:
    """Ask QEMU's monitor again and again, until something is over or the deadline has passed.

    :returns: the longest time that an answer took, in milliseconds.
    :raises CellError: there was none in time.
    """
    slowest = 0.0
    while not over() and not deadline.passed:
        asked = time.monotonic()
        vm.execute("query-status", Deadline(ANSWER_SECONDS))
        slowest = max(slowest, time.monotonic() - asked)
        waiter.sleep(Deadline(ASK_SECONDS))
    return round(slowest * 1000, 1)


def judge(monitor_ms: float, tx_gap_ms: float) -> None:
    """Object to a virtual machine that stalled.

    :param monitor_ms: the longest time that an answer of the monitor took.
    :param tx_gap_ms: the longest time for which the guest sent nothing.
    :raises CellFailed: one of them is above :data:`LIMIT_MS`.
    """
    if max(monitor_ms, tx_gap_ms) > LIMIT_MS:
        raise CellFailed(
            "the virtual machine stalled while its backend kept silent: "
            f"the monitor's slowest answer took {monitor_ms:.0f} ms, the guest sent nothing for {tx_gap_ms:.0f} ms"
        )
