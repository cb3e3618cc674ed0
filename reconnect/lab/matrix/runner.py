"""All cases of a call, testbed by testbed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from reconnect.kit import console
from reconnect.kit.deadline import Deadline
from reconnect.lab.binaries import Binaries
from reconnect.lab.cell import Cell
from reconnect.lab.guest.image import Guest
from reconnect.lab.matrix.cases import FRESH, FUZZ, Case
from reconnect.lab.matrix.kinds import matrix_case_for
from reconnect.lab.matrix.matrix_case import STEADY, MatrixCase
from reconnect.lab.matrix.testbed import SHAPES, Shape, Testbed
from reconnect.lab.options import Options
from reconnect.lab.outcome import result_of, write_failure
from reconnect.lab.process.failure import CellEnded, CellError
from reconnect.lab.process.lines import tail_of
from reconnect.lab.qemu.usage import figures_of
from reconnect.lab.schemes import SCHEMES
from reconnect.report.results import CellResult, QemuFigures


def run_matrix(
    cells: Sequence[Cell], binaries: Binaries, guest: Guest, out_dir: Path, options: Options
) -> Iterator[CellResult]:
    """Run cases of the matrix.

    :param cells: their faults are names of cases.
    :returns: the results as they come. Whoever stops asking for more leaves nothing behind.
    :raises HostError: nothing can be run here.
    """
    for (scheme, phase), group in groupby(cells, lambda cell: (cell.scheme, Case.parse(cell.fault).phase)):
        these = list(group)
        with console.step(f"matrix: {scheme}, {phase}, {len(these)} cases") as step:
            good = 0
            for result in _Runner(scheme, binaries, guest, out_dir, options).run(these):
                good += result.verdict == "pass"
                if result.verdict != "pass":
                    console.say(f"    {result.fault}: {result.verdict}: {result.why}")
                yield result
            step.done(f"{good} of {len(these)} passed")


class _Runner:
    """The cases of one scheme and phase."""

    def __init__(self, scheme: str, binaries: Binaries, guest: Guest, out_dir: Path, options: Options) -> None:
        self._scheme = SCHEMES[scheme]
        self._qemu = self._scheme.qemu(binaries)
        self._guest, self._out_dir, self._options = guest, out_dir, options
        self._testbed: Testbed | None = None

    def run(self, cells: Sequence[Cell]) -> Iterator[CellResult]:
        try:
            for cell in cells:
                yield self._run(cell, Case.parse(cell.fault))
        finally:
            self._leave()

    def _run(self, cell: Cell, case: Case) -> CellResult:
        if case.kind == FUZZ:
            console.say(f"    {case.name}: the same seed is the same steps")
        matrix_case: MatrixCase | None = None
        before = after = None
        verdict, why = "fail", ""
        try:
            testbed = self._testbed_for(case)
            matrix_case = matrix_case_for(case, testbed)
            before = testbed.usage if case.phase not in FRESH else None
            matrix_case.run()
            after = testbed.usage if case.phase not in FRESH else None
            verdict = "pass"
        except CellEnded as failure:
            verdict, why = failure.verdict, failure.what
            if verdict != "skip":
                self._tell(cell, failure, matrix_case)
        figures = figures_of(before, after) if before and after else None
        result = self._result(cell, matrix_case, verdict, why, figures)
        # A testbed on which something went wrong shows nothing any more; one whose QEMU has quit is of no use.
        if verdict not in ("pass", "skip") or case.phase in FRESH:
            self._leave()
        return result

    def _testbed_for(self, case: Case) -> Testbed:
        if self._testbed is None:
            number = 1 + len(list(self._out_dir.glob("matrix-*")))
            folder = self._out_dir / f"matrix-{number:02}-{self._scheme.name}-{case.phase}"
            shape = SHAPES.get(case.phase, Shape())
            testbed = Testbed(self._scheme, self._qemu, self._guest, folder, self._options, shape)
            self._testbed = testbed.__enter__()
            if case.phase not in ("startup", "boot"):
                deadline = Deadline(self._options.boot)
                testbed.power_on(deadline)
                testbed.waiter.wait(lambda: testbed.vm.agent.ready, deadline, "the guest to boot")
                if shape.card:
                    testbed.wait_steady(STEADY, deadline, "the guest's probes to be answered", CellError)
        return self._testbed

    def _leave(self) -> None:
        testbed, self._testbed = self._testbed, None
        if testbed is not None:
            testbed.__exit__(None, None, None)

    def _tell(self, cell: Cell, failure: CellEnded, matrix_case: MatrixCase | None) -> None:
        """The folder of a cell that failed: the failure, and what QEMU and the stub said meanwhile."""
        lines = [str(failure)]
        if matrix_case is not None:
            testbed = matrix_case.testbed
            lines += ["", "events of the stub:", *map(str, testbed.backend.events.all[matrix_case.mark :][-60:])]
            lines += ["", "QEMU's last words:", *tail_of(testbed.folder / "qemu.log", 30)]
            lines += ["", f"all logs: {testbed.folder}"]
        write_failure(self._out_dir / cell.name, "\n".join(lines))

    def _result(
        self,
        cell: Cell,
        matrix_case: MatrixCase | None,
        verdict: str,
        why: str,
        qemu: QemuFigures | None,
    ) -> CellResult:
        folders = [path for path in (self._out_dir / cell.name,) if path.is_dir()]
        if matrix_case is not None:
            folders.append(matrix_case.testbed.folder)
        result = result_of(
            cell, self._options, verdict, why, folders, expected=Case.parse(cell.fault).expected, qemu=qemu
        )
        return result if matrix_case is None else matrix_case.filled(result)
