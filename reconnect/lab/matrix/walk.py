"""``fuzz:SEED@reconnect``: the walk of a seed, step by step, for five minutes."""

from __future__ import annotations

from collections.abc import Callable

from reconnect.kit.deadline import Deadline
from reconnect.lab.matrix import fuzz
from reconnect.lab.matrix.attempt import Attempt, NotSent
from reconnect.lab.matrix.entries import Entry
from reconnect.lab.matrix.lane import Lane
from reconnect.lab.process.failure import CellEnded, CellError


class Walk(Attempt):
    """A walk.

    :param attempt_for: makes a step of its entry.
    :ivar taken: how many steps did something.
    """

    def __init__(self, entry: Entry, lane: Lane, attempt_for: Callable[[Entry, Lane], Attempt]) -> None:
        super().__init__(entry, lane)
        self._attempt_for = attempt_for
        self.taken = 0

    def run(self) -> None:
        """See :meth:`Attempt.run`.

        :raises CellError: not one step did anything.
        """
        deadline = Deadline(fuzz.SECONDS)
        steps = fuzz.walk(self.entry.count)
        number = 0
        while not deadline.passed:
            number, step = number + 1, next(steps)
            try:
                self._attempt_for(step, self.lane).run()
            except NotSent:
                continue
            except CellEnded as failure:
                where = f"step {number} of seed {self.entry.count}, {step.name}"
                raise type(failure)(f"{where}: {failure.what}", failure.details) from failure
            self.taken += 1
        if not self.taken:
            raise CellError(f"not one of {number} steps of seed {self.entry.count} did anything")
