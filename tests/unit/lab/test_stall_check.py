"""The stall check, with a monitor of our own."""

from __future__ import annotations

import time
from typing import Any, cast

import pytest

from reconnect.kit.deadline import Deadline
from reconnect.lab.process.failure import CellError, CellFailed
from reconnect.lab.process.waiter import Waiter
from reconnect.lab.qemu import stall_check
from reconnect.lab.qemu.virtual_machine import VirtualMachine


def _vm(answer: Any) -> VirtualMachine:
    return cast("VirtualMachine", type("Vm", (), {"execute": staticmethod(answer)}))


@pytest.mark.guards("qemu/stall_check.py judge: the virtual machine stalled while its ...")
@pytest.mark.parametrize(("monitor_ms", "tx_gap_ms"), [(1001, 0), (0, 1001), (5000, 5000)])
def test_either_figure_alone_is_a_stall(monitor_ms: float, tx_gap_ms: float) -> None:
    """Verify: a failure that tells both."""
    with pytest.raises(CellFailed, match=f"took {monitor_ms} ms, the guest sent nothing for {tx_gap_ms} ms"):
        stall_check.judge(monitor_ms, tx_gap_ms)


def test_the_limit_itself_is_no_stall() -> None:
    """Verify: no failure."""
    stall_check.judge(stall_check.LIMIT_MS, stall_check.LIMIT_MS)


def test_the_slowest_answer_counts() -> None:
    """Verify: of several the slowest, in milliseconds; one look even where all is over at once is too many."""
    pauses = iter([0.0, 0.06, 0.0])
    over = iter([False, False, False, True])
    found = stall_check.slowest_answer(
        _vm(lambda *_: time.sleep(next(pauses))), Waiter(), lambda: next(over), Deadline(10)
    )
    assert 60 <= found < 1000
    assert stall_check.slowest_answer(_vm(None), Waiter(), lambda: True, Deadline(10)) == 0.0


def test_a_monitor_that_gives_no_answer_ends_the_cell() -> None:
    """Verify: what the monitor raises comes through."""

    def silent(*_: object) -> None:
        raise CellError("no answer in time")

    with pytest.raises(CellError, match="no answer in time"):
        stall_check.slowest_answer(_vm(silent), Waiter(), lambda: False, Deadline(10))
