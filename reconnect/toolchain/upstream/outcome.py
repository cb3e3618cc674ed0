"""What comes of one test."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a test ended. Expected failures count as passes, unexpected passes as failures, as in all harnesses."""

    PASS = "pass"  # noqa: S105  # no password
    FAIL = "fail"
    TIMEOUT = "timeout"
    SKIP = "skip"

    @property
    def bad(self) -> bool:
        """It ran, and did not do what it had to."""
        return self in (Outcome.FAIL, Outcome.TIMEOUT)


@dataclass(frozen=True)
class Result:
    """One test, or one case of a test program that tells its cases apart.

    :param suite: the suite of stacks.toml.
    :param test: the harness's name of the test program.
    :param case: the name within; empty for the program as a whole.
    :param why: one line; empty for a pass.
    """

    suite: str
    test: str
    case: str
    outcome: Outcome
    why: str = ""

    @property
    def name(self) -> str:
        """As people write it."""
        return f"{self.test} {self.case}".rstrip()


def number_duplicates(results: Iterable[Result]) -> list[Result]:
    """The same results, with a number after the names of those cases that a program reports twice."""
    seen: dict[tuple[str, str, str], int] = {}
    told = []
    for result in results:
        key = (result.suite, result.test, result.case)
        seen[key] = seen.get(key, 0) + 1
        told.append(dataclasses.replace(result, case=f"{result.case} #{seen[key]}") if seen[key] > 1 else result)
    return told
