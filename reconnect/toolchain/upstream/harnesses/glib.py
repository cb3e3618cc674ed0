"""Programs of GLib's test framework, run one by one.

QEMU of 2016 runs them below gtester, whose report ends with the first program that crashes, and which has no
deadline for one that hangs. The programs themselves speak TAP.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reconnect.project.config import Suite
from reconnect.toolchain.upstream import tap
from reconnect.toolchain.upstream.harnesses.makefile import variables
from reconnect.toolchain.upstream.outcome import Result
from reconnect.toolchain.workbench import Workbench

_INTO_FILES = 'out=$1; shift; exec "$@" >"$out" 2>"$out.stderr"'
"""Two files: what a program complains about would come in the middle of its TAP. And files: a daemon that a test
leaves behind would keep a pipe open."""


class Glib:
    """Test programs that make variables name."""

    def __init__(self, bench: Workbench, suite: Suite) -> None:
        self._bench, self._suite = bench, suite

    def find(self) -> list[str]:
        """The words of the make variables that the suite lists."""
        return variables(self._bench, self._suite.folder, self._suite.lists)

    def compile(self, tests: Sequence[str]) -> None:
        """Make, for the programs and the targets that the suite names."""
        argv = ["make", f"-j{self._bench.place.jobs}", "-C", self._suite.folder]
        self._bench.run("compile tests", [*argv, *self._suite.targets, *tests])

    def run(self, tests: Sequence[str]) -> list[Result]:
        """Run one after the other: each has the processors for itself, as its timings expect."""
        return [result for test in tests for result in self._run(test)]

    def _run(self, test: str) -> list[Result]:
        output = self._bench.log.with_name(f"{self._bench.log.stem}-{Path(test).name}.tap")
        output.unlink(missing_ok=True)
        argv = ["sh", "-c", _INTO_FILES, "sh", str(output), f"./{test}", "--tap", "-k", *self._suite.words]
        folder = self._bench.place.objects / self._suite.folder
        self._bench.step.progress(f"test {test}")
        done = self._bench.attempt(argv, self._suite.deadline, self._suite.environment, cwd=folder)
        said = output.read_text(encoding="utf-8", errors="replace") if output.is_file() else done.output
        return tap.read(self._suite.name, test, said, done.ending, out_of_time=done.out_of_time)
