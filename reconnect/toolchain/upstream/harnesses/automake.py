"""automake's parallel test harness: ``make check``, and a ``.trs`` file for each test."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from reconnect.project.config import Suite
from reconnect.toolchain.upstream.harnesses.makefile import variables
from reconnect.toolchain.upstream.outcome import Outcome, Result, number_duplicates
from reconnect.toolchain.workbench import Workbench

_RESULT = re.compile(r":test-result: *(\S+) *(.*)")
_STATUS = re.compile(r"\(exit status: (\d+)\)\s*\Z")
_OUTCOMES = {"PASS": Outcome.PASS, "XFAIL": Outcome.PASS, "SKIP": Outcome.SKIP}

OUT_OF_TIME = (124, 137)
"""What timeout(1) ends with: after SIGTERM, and after SIGKILL."""


class Automake:
    """Tests of the Makefiles that automake wrote."""

    def __init__(self, bench: Workbench, suite: Suite) -> None:
        self._bench, self._suite = bench, suite
        self._folder = bench.place.objects / suite.folder

    def find(self) -> list[str]:
        """The words of the make variables that the suite lists."""
        return variables(self._bench, self._suite.folder, self._suite.lists)

    def compile(self, tests: Sequence[str]) -> None:  # noqa: ARG002  # Harness has it
        """What ``make check`` compiles before the tests: automake can't compile for some of them alone."""
        argv = ["make", f"-j{self._bench.place.jobs}"]
        self._bench.run("compile", [*argv, *self._suite.targets])
        self._bench.run("compile tests", [*argv, "-C", self._suite.folder, "check", "TESTS="])

    def run(self, tests: Sequence[str]) -> list[Result]:
        """Run them, each below timeout(1)."""
        for test in tests:
            for file in files(self._folder, test):
                file.unlink(missing_ok=True)
        # --foreground: a process group of its own would not hear of Ctrl-C.
        limit = f"timeout --foreground --kill-after=10 {self._suite.deadline}"
        argv = ["make", "--keep-going", f"-j{self._bench.place.jobs}", "-C", self._suite.folder, "check"]
        argv += [f"TESTS={' '.join(tests)}", f"LOG_COMPILER={limit}", f"TEST_LOG_COMPILER={limit}"]
        self._bench.attempt(argv, self._suite.deadline * len(tests), self._suite.environment)
        # automake gathers there what the tests have said that did not pass.
        if (gathered := self._folder / "test-suite.log").is_file():
            shutil.copyfile(gathered, self._bench.log.with_name(f"{self._bench.log.stem}-{self._suite.name}.txt"))
        return [result for test in tests for result in read(self._suite.name, test, *files(self._folder, test))]


def files(folder: Path, test: str) -> tuple[Path, Path]:
    """The ``.trs`` and the ``.log`` file of a test. automake drops the suffix ``.test`` from their names."""
    stem = test.removesuffix(".test")
    return folder / f"{stem}.trs", folder / f"{stem}.log"


def read(suite: str, test: str, trs: Path, log: Path) -> list[Result]:
    """The results in a test's ``.trs`` file, with the exit status that the driver notes at the end of its ``.log``."""
    if not trs.is_file():
        return [Result(suite, test, "", Outcome.FAIL, "it left no result")]
    found = _RESULT.findall(trs.read_text(encoding="utf-8", errors="replace"))
    status = _STATUS.search(log.read_text(encoding="utf-8", errors="replace")) if log.is_file() else None
    code = int(status[1]) if status else None
    results = []
    for word, case in found:
        outcome, why = _OUTCOMES.get(word, Outcome.FAIL), ""
        if outcome is Outcome.SKIP:
            why = "the test says so"
        elif outcome is Outcome.FAIL:
            why = word if code is None else f"{word}, exit code {code}"
            outcome = Outcome.TIMEOUT if code in OUT_OF_TIME else outcome
        results.append(Result(suite, test, case, outcome, why))
    return number_duplicates(results or [Result(suite, test, "", Outcome.FAIL, f"{trs.name} holds no result")])
