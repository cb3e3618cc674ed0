"""How a cell can end badly: what was measured is wrong, or the measurement itself broke."""

from __future__ import annotations

from collections.abc import Sequence


class CellEnded(Exception):
    """Ends a cell. The rest of the run goes on.

    :param what: one line for the table.
    :param details: last lines of a log, for the file ``failure.txt`` of the cell.
    """

    verdict = "fail"

    def __init__(self, what: str, details: Sequence[str] = ()) -> None:
        super().__init__(what)
        # One line, and nothing in it that a terminal or XML would stumble over: it may quote a guest's console.
        self.what = "".join(c if c.isprintable() else "?" for c in " ".join(what.split()))
        self.details = tuple(details)

    def __str__(self) -> str:
        return "\n".join([self.what, *(f"  | {line}" for line in self.details)])


class CellFailed(CellEnded):
    """The cell ran and did not show what it had to show."""


class CellError(CellEnded):
    """The cell could not be run to its end: QEMU crashed, the guest panicked, the backend did not start."""

    verdict = "error"
