"""A seed's walk, with steps of our own making: the real ones take real guests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from reconnect.lab.matrix import fuzz
from reconnect.lab.matrix.attempt import Attempt, NotSent
from reconnect.lab.matrix.entries import Entry
from reconnect.lab.matrix.kinds import attempt_for
from reconnect.lab.matrix.lane import Lane
from reconnect.lab.matrix.unload import Unload
from reconnect.lab.matrix.walk import Walk
from reconnect.lab.process.failure import CellError, CellFailed

LANE = cast("Any", None)
"""No step of these gets as far as to touch it."""


def _walk(monkeypatch: pytest.MonkeyPatch, do: Callable[[Entry], None]) -> Walk:
    class Step(Attempt):
        def run(self) -> None:
            do(self.entry)

    def make(entry: Entry, lane: Lane) -> Attempt:
        return Step(entry, lane)

    monkeypatch.setattr(fuzz, "SECONDS", 0.05)
    return Walk(Entry.parse("fuzz:7@reconnect"), LANE, make)


def test_a_walk_that_does_nothing_is_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify: where no step's message is ever sent, that is an error and not a good end."""

    def nothing(_: Entry) -> None:
        raise NotSent("not at this moment")

    with pytest.raises(CellError, match=r"not one of \d+ steps of seed 7 did anything"):
        _walk(monkeypatch, nothing).run()


def test_a_step_that_fails_ends_the_walk_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify: the failure is of its kind, and names step, seed and entry: it can be tried alone."""
    steps: list[str] = []

    def third(entry: Entry) -> None:
        steps.append(entry.name)
        if len(steps) == 3:
            raise CellFailed("the network did not come back", ["a line"])

    with pytest.raises(CellFailed) as caught:
        _walk(monkeypatch, third).run()
    assert caught.value.what == f"step 3 of seed 7, {steps[2]}: the network did not come back"
    assert caught.value.details == ("a line",)


def test_a_good_walk_counts_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify: each step that did something counts."""
    walk = _walk(monkeypatch, lambda _: None)
    walk.run()
    assert walk.taken > 1


def test_each_entry_has_its_module() -> None:
    """Verify: by moment; a walk takes its steps the same way."""
    assert isinstance(attempt_for(Entry.parse("away@unload"), LANE), Unload)
    assert type(attempt_for(Entry.parse("rehearse@set-link"), LANE)) is Attempt
    assert isinstance(attempt_for(Entry.parse("fuzz:1@reconnect"), LANE), Walk)
