"""Judging the patched results by the unpatched ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from reconnect.toolchain.upstream.outcome import Outcome, Result


class Change(StrEnum):
    """What became of a test."""

    SAME = "same"
    """It passes or is skipped, as before."""

    BEFORE = "failed before"
    """It fails, as it does without the patches: theirs it isn't."""

    BETTER = "better"
    """It failed or was skipped without the patches, and passes with them, or is no longer there."""

    NEW = "new"
    """The patches brought it, and it passes or is skipped."""

    WORSE = "worse"
    """It fails, and without the patches it passed, was skipped, or did not exist."""

    LOST = "lost"
    """It passed without the patches, and is not run any more."""

    FLAKY = "flaky"
    """As worse or lost, but when run once more, alone, it passed."""

    @property
    def bad(self) -> bool:
        """It counts against the patches."""
        return self in (Change.WORSE, Change.LOST)


@dataclass(frozen=True)
class Row:
    """One test or case on both trees; None where a tree doesn't have it."""

    suite: str
    test: str
    case: str
    unpatched: Outcome | None
    patched: Outcome | None
    change: Change
    why: str = ""

    @property
    def name(self) -> str:
        """As people write it."""
        return f"{self.test} {self.case}".rstrip()


def compare(unpatched: Iterable[Result], patched: Iterable[Result]) -> list[Row]:
    """One row for each test that either tree has, in the order of the patched tree."""
    before = {(r.suite, r.test, r.case): r for r in unpatched}
    after = {(r.suite, r.test, r.case): r for r in patched}
    rows = []
    for key in {**after, **before}:
        old, new = before.get(key), after.get(key)
        change, why = _judge(old, new)
        rows.append(Row(*key, old.outcome if old else None, new.outcome if new else None, change, why))
    return rows


def _judge(old: Result | None, new: Result | None) -> tuple[Change, str]:  # noqa: PLR0911  # a table
    if new is None:
        assert old is not None
        # A program that crashed unpatched has a row for its crash, which the patched tree lacks: good.
        return (Change.LOST, "it is not run any more") if old.outcome is Outcome.PASS else (Change.BETTER, old.why)
    if new.outcome.bad:
        if old is not None and old.outcome.bad:
            return Change.BEFORE, new.why
        return Change.WORSE, new.why if old is not None else f"new with the patches: {new.why}"
    if old is None:
        return Change.NEW, new.why
    if old.outcome is Outcome.PASS and new.outcome is Outcome.SKIP:
        return Change.LOST, f"skipped: {new.why}"
    if old.outcome != new.outcome:
        return Change.BETTER, old.why
    return Change.SAME, new.why


def reclassify_flaky(rows: Sequence[Row], again: Sequence[Row]) -> list[Row]:
    """Mark those rows flaky that are bad, and were not when their test was run once more.

    :param again: rows of the second run; it needs to have only the tests that were run again.
    """
    second = {(row.suite, row.test, row.case): row for row in again}
    run_again = {(row.suite, row.test) for row in again}
    told = []
    for row in rows:
        key = (row.suite, row.test, row.case)
        flaky = row.change.bad and key[:2] in run_again and not (key in second and second[key].change.bad)
        why = f"{row.why}; passed when run again, alone"
        told.append(dataclasses.replace(row, change=Change.FLAKY, why=why) if flaky else row)
    return told
