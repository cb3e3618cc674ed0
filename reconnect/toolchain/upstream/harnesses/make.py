"""Targets of a Makefile that are tests: each passes where ``make check-NAME`` ends with 0."""

from __future__ import annotations

from collections.abc import Sequence

from reconnect.project.config import Suite
from reconnect.toolchain.upstream.harnesses.makefile import variables
from reconnect.toolchain.upstream.outcome import Outcome, Result
from reconnect.toolchain.workbench import Attempt, Workbench


class Make:
    """Test targets that make variables name."""

    def __init__(self, bench: Workbench, suite: Suite) -> None:
        self._bench, self._suite = bench, suite

    def find(self) -> list[str]:
        """The words of the make variables that the suite lists."""
        return variables(self._bench, self._suite.folder, self._suite.lists)

    def compile(self, tests: Sequence[str]) -> None:
        """Nothing: their recipes are all there is to do."""

    def run(self, tests: Sequence[str]) -> list[Result]:
        """Run all with one make; where that fails, each with one of its own."""
        if len(tests) > 1 and not self._make(tests).ending:
            return [Result(self._suite.name, test, "", Outcome.PASS) for test in tests]
        return [self._one(test) for test in tests]

    def _one(self, test: str) -> Result:
        done = self._make([test])
        outcome = Outcome.FAIL if done.ending else Outcome.PASS
        return Result(self._suite.name, test, "", Outcome.TIMEOUT if done.out_of_time else outcome, done.ending)

    def _make(self, tests: Sequence[str]) -> Attempt:
        argv = ["make", "--keep-going", f"-j{self._bench.place.jobs}", "-C", self._suite.folder]
        argv += [f"check-{test}" for test in tests]
        return self._bench.attempt(argv, self._suite.deadline, self._suite.environment)
