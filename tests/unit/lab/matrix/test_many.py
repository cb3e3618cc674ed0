"""Many restarts, of which a QEMU keeps something, or does not come back."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest

from reconnect.lab.matrix.cases import Case
from reconnect.lab.matrix.kinds import matrix_case_for
from reconnect.lab.matrix.many import SETTLED
from reconnect.lab.process.failure import CellFailed
from reconnect.lab.stub.script import Script
from tests.unit.lab.fakes import USAGE, FakeTestbed


def _run(testbed: FakeTestbed, times: int = 8) -> None:
    matrix_case_for(Case.parse(f"many:{times}@reconnect"), testbed).run()


def test_a_qemu_that_keeps_nothing_passes(testbed: FakeTestbed) -> None:
    """Verify: what it takes before it has settled does not count."""
    testbed.used = [USAGE, USAGE, replace(USAGE, threads=5, anonymous_kib=USAGE.anonymous_kib + 4096)]
    _run(testbed)


@pytest.mark.guards("matrix/many.py Many._check_growth: QEMU grew in")
@pytest.mark.parametrize(
    ("grown", "what"),
    [
        ({"fds": 41}, "descriptors from 40 to 41"),
        ({"threads": 6}, "threads from 3 to 6"),
        ({"anonymous_kib": 34_097}, r"private memory \(KiB\) from 30000 to 34097"),
    ],
)
def test_a_qemu_that_grows_is_found(testbed: FakeTestbed, grown: dict[str, int], what: str) -> None:
    """Verify: what has grown, and in how many restarts."""
    testbed.used = [USAGE, replace(USAGE, **grown)]
    with pytest.raises(CellFailed, match=f"QEMU grew in 8 restarts: {what}"):
        _run(testbed)


@pytest.mark.guards("matrix/many.py Many._carry_out waits for restart")
def test_a_qemu_that_stays_away_is_found(testbed: FakeTestbed) -> None:
    """Verify: the number of the restart that it did not come back from."""
    restarts = count()
    testbed.stub.react = lambda script: testbed.stub.good(script) if next(restarts) < SETTLED else None
    with pytest.raises(CellFailed, match="for restart 5"):
        _run(testbed)


def test_a_qemu_that_connects_twice_is_found(testbed: FakeTestbed) -> None:
    """Verify: one connection a restart, and not one more."""
    restarts = count()

    def twice_at_last(script: Script) -> None:
        testbed.stub.good(script)
        if next(restarts) == 7:
            testbed.stub.connect()

    testbed.stub.react = twice_at_last
    with pytest.raises(CellFailed, match="QEMU made 9 connections where 8 would do"):
        _run(testbed)
