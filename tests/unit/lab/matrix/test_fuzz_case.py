"""A seed's steps, with steps of our own making: the real ones take real guests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reconnect.lab.matrix import fuzz
from reconnect.lab.matrix.cases import Case
from reconnect.lab.matrix.disturb import Disturb
from reconnect.lab.matrix.fuzz_case import FuzzCase
from reconnect.lab.matrix.kinds import matrix_case_for
from reconnect.lab.matrix.matrix_case import MatrixCase, NotSent
from reconnect.lab.matrix.testbed import Testbed
from reconnect.lab.matrix.unload import Unload
from reconnect.lab.process.failure import CellError, CellFailed
from tests.unit.lab.fakes import FakeTestbed


def _walk(testbed: FakeTestbed, monkeypatch: pytest.MonkeyPatch, do: Callable[[Case], None]) -> FuzzCase:
    class Step(MatrixCase):
        def _carry_out(self) -> None:
            do(self.case)

    def make(case: Case, testbed: Testbed) -> MatrixCase:
        return Step(case, testbed)

    monkeypatch.setattr(fuzz, "SECONDS", 0.05)
    return FuzzCase(Case.parse("fuzz:7@reconnect"), testbed, make)


@pytest.mark.guards("matrix/fuzz_case.py FuzzCase._carry_out: not one of")
def test_a_walk_that_does_nothing_is_no_pass(testbed: FakeTestbed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify: where no step's message is ever sent, that is an error and not a good end."""

    def nothing(_: Case) -> None:
        raise NotSent("not at this phase")

    with pytest.raises(CellError, match=r"not one of \d+ steps of seed 7 did anything"):
        _walk(testbed, monkeypatch, nothing).run()


@pytest.mark.guards("matrix/fuzz_case.py FuzzCase._carry_out: {f'{where}: {failure.what}'}")
def test_a_step_that_fails_ends_the_walk_and_is_named(testbed: FakeTestbed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify: the failure is of its kind, and names step, seed and case: it can be tried alone."""
    steps: list[str] = []

    def third(case: Case) -> None:
        steps.append(case.name)
        if len(steps) == 3:
            raise CellFailed("the network did not come back", ["a line"])

    with pytest.raises(CellFailed) as caught:
        _walk(testbed, monkeypatch, third).run()
    assert caught.value.what == f"step 3 of seed 7, {steps[2]}: the network did not come back"
    assert caught.value.details == ("a line",)


def test_a_good_walk_counts_its_steps(testbed: FakeTestbed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify: each step that did something counts."""
    steps = _walk(testbed, monkeypatch, lambda _: None)
    steps.run()
    assert steps.taken > 1


def test_each_entry_has_its_module(testbed: FakeTestbed) -> None:
    """Verify: by phase; a steps takes its steps the same way."""
    assert isinstance(matrix_case_for(Case.parse("away@unload"), testbed), Unload)
    assert type(matrix_case_for(Case.parse("rehearse@set-link"), testbed)) is Disturb
    assert isinstance(matrix_case_for(Case.parse("fuzz:1@reconnect"), testbed), FuzzCase)
