"""``fuzz:SEED@reconnect``: the steps of a seed, step by step, for five minutes."""

from __future__ import annotations

from collections.abc import Callable

from reconnect.kit.deadline import Deadline
from reconnect.lab.matrix import fuzz
from reconnect.lab.matrix.cases import Case
from reconnect.lab.matrix.matrix_case import MatrixCase, NotSent
from reconnect.lab.matrix.testbed import Testbed
from reconnect.lab.process.failure import CellEnded, CellError


class FuzzCase(MatrixCase):
    """A steps.

    :param matrix_case_for: makes a step of its case.
    :ivar taken: how many steps did something.
    """

    def __init__(self, case: Case, testbed: Testbed, matrix_case_for: Callable[[Case, Testbed], MatrixCase]) -> None:
        super().__init__(case, testbed)
        self._matrix_case_for = matrix_case_for
        self.taken = 0

    def _carry_out(self) -> None:
        deadline = Deadline(fuzz.SECONDS)
        steps = fuzz.steps(self.case.count)
        number = 0
        while not deadline.passed:
            number, step = number + 1, next(steps)
            try:
                self._matrix_case_for(step, self.testbed).run()
            except NotSent:
                continue
            except CellEnded as failure:
                where = f"step {number} of seed {self.case.count}, {step.name}"
                raise type(failure)(f"{where}: {failure.what}", failure.details) from failure
            self.taken += 1
        if not self.taken:
            raise CellError(f"not one of {number} steps of seed {self.case.count} did anything")
