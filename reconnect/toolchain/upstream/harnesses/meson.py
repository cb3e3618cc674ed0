"""``meson test``. Its own deadlines hold, stretched so that the longest is that of the suite."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from reconnect.kit.errors import BuildError
from reconnect.project.config import Suite
from reconnect.toolchain.upstream import tap
from reconnect.toolchain.upstream.outcome import Outcome, Result
from reconnect.toolchain.workbench import Workbench

LOGBASE = "reconnect"

SKIPPED = 77
"""The exit code of a test that skips itself (meson's manual, "Unit tests")."""

_OUTCOMES = {
    "OK": Outcome.PASS,
    "EXPECTEDFAIL": Outcome.PASS,
    "SKIP": Outcome.SKIP,
    "TIMEOUT": Outcome.TIMEOUT,
}


class Meson:
    """Tests that are declared in ``meson.build``."""

    def __init__(self, bench: Workbench, suite: Suite) -> None:
        self._bench, self._suite = bench, suite
        self._meson = str(bench.place.programs / "meson")

    def find(self) -> list[str]:
        """Names of all tests that the configured tree declares."""
        # A change of variant may have changed a meson.build.
        self._bench.run("regenerate", [str(self._bench.place.programs / "ninja"), "build.ninja"])
        return [test["name"] for test in self._known]

    def compile(self, tests: Sequence[str]) -> None:
        """Ninja, for what meson says that these tests depend on."""
        needed = {target for test in self._known if test["name"] in tests for target in test["depends"]}
        objects = self._bench.place.objects
        files = [
            str(Path(name).relative_to(objects))
            for target in self._introspect("targets")
            if target["id"] in needed
            for name in target["filename"]
        ]
        # A script that is a test often needs more than its declaration says: the suite may name it.
        if wanted := [*self._suite.targets, *sorted(files)]:
            ninja = str(self._bench.place.programs / "ninja")
            self._bench.run("compile tests", [ninja, f"-j{self._bench.place.jobs}", *wanted])

    def run(self, tests: Sequence[str]) -> list[Result]:
        """Run them at once, and read the log that meson writes for machines."""
        log = self._bench.place.objects / "meson-logs" / f"{LOGBASE}.json"
        log.unlink(missing_ok=True)
        chosen = [test for test in self._known if test["name"] in tests]
        # A timeout of 0 is none at all.
        longest = max((test["timeout"] for test in chosen), default=0) or self._suite.deadline
        argv = [self._meson, "test", "--no-rebuild", "--logbase", LOGBASE]
        argv += ["--num-processes", str(self._bench.place.jobs)]
        argv += ["--timeout-multiplier", f"{max(1.0, self._suite.deadline / longest):.3f}", *tests]
        self._bench.attempt(argv, self._suite.deadline * len(chosen), self._suite.environment)
        if not log.is_file():
            raise BuildError(
                f"{self._bench.component.name} {self._bench.name}: meson test left no {log.name}",
                hint=f"read {self._bench.log}",
            )
        told = self._bench.log.with_name(f"{self._bench.log.stem}-{self._suite.name}.txt")
        shutil.copyfile(log.with_suffix(".txt"), told)
        records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        return [result for test in chosen for result in self._results(test, records)]

    def _results(self, test: dict[str, Any], records: list[dict[str, Any]]) -> Iterator[Result]:
        name = test["name"]
        # The log's names have the test's suites and project before them.
        record = next((r for r in records if r["name"] == name or r["name"].endswith(f":{name}")), None)
        if record is None:
            yield Result(self._suite.name, name, "", Outcome.FAIL, "meson's log does not have it")
        else:
            yield from read(self._suite.name, name, record, has_cases=test["protocol"] == "tap")

    @cached_property
    def _known(self) -> list[dict[str, Any]]:
        return self._introspect("tests")

    def _introspect(self, what: str) -> list[dict[str, Any]]:
        file = self._bench.place.objects / "meson-info" / f"intro-{what}.json"
        listed: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
        return listed


def read(suite: str, test: str, record: dict[str, Any], *, has_cases: bool) -> list[Result]:
    """The results in one line of meson's log.

    :param has_cases: the test prints TAP.
    """
    outcome = _OUTCOMES.get(record["result"], Outcome.FAIL)
    code = record["returncode"]
    ending = f"{record['result']}, exit code {code}" if code >= 0 else f"{record['result']}, signal {-code}"
    if outcome is Outcome.TIMEOUT:
        ending = f"no end after {record['duration']:.0f} s"
    if has_cases:
        good = outcome in (Outcome.PASS, Outcome.SKIP)
        return tap.read(suite, test, record["stdout"], "" if good else ending, out_of_time=outcome is Outcome.TIMEOUT)
    why = "" if outcome is Outcome.PASS else ending
    if outcome is Outcome.SKIP:
        why = "the test says so" if code == SKIPPED else ending
    return [Result(suite, test, "", outcome, why)]
