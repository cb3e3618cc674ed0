"""All entries of a call, lane by lane."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from reconnect.kit import console
from reconnect.kit.deadline import Deadline
from reconnect.lab.binaries import Binaries
from reconnect.lab.cells import Cell
from reconnect.lab.guest.image import Guest
from reconnect.lab.matrix.attempt import STEADY, Attempt
from reconnect.lab.matrix.entries import FRESH, FUZZ, Entry
from reconnect.lab.matrix.kinds import attempt_for
from reconnect.lab.matrix.lane import SHAPES, Held, Lane, Shape
from reconnect.lab.process.failure import CellEnded, CellError
from reconnect.lab.process.lines import tail_of
from reconnect.lab.scenario import FAILURE, Options
from reconnect.lab.schemes import SCHEMES
from reconnect.report.results import CellResult, QemuFigures


def run_matrix(
    cells: Sequence[Cell], binaries: Binaries, guest: Guest, out_dir: Path, options: Options
) -> Iterator[CellResult]:
    """Run entries of the matrix.

    :param cells: their faults are names of entries.
    :returns: the results as they come. Whoever stops asking for more leaves nothing behind.
    :raises MachineError: nothing can be run here.
    """
    for (scheme, moment), group in groupby(cells, lambda cell: (cell.scheme, Entry.parse(cell.fault).moment)):
        these = list(group)
        with console.step(f"matrix: {scheme}, {moment}, {len(these)} entries") as step:
            good = 0
            for result in _Runner(scheme, binaries, guest, out_dir, options).run(these):
                good += result.verdict == "pass"
                if result.verdict != "pass":
                    console.say(f"    {result.fault}: {result.verdict}: {result.why}")
                yield result
            step.done(f"{good} of {len(these)} passed")


class _Runner:
    """The entries of one scheme and moment."""

    def __init__(self, scheme: str, binaries: Binaries, guest: Guest, out_dir: Path, options: Options) -> None:
        self._scheme = SCHEMES[scheme]
        self._qemu = self._scheme.qemu(binaries)
        self._guest, self._out_dir, self._options = guest, out_dir, options
        self._lane: Lane | None = None

    def run(self, cells: Sequence[Cell]) -> Iterator[CellResult]:
        try:
            for cell in cells:
                yield self._run(cell, Entry.parse(cell.fault))
        finally:
            self._leave()

    def _run(self, cell: Cell, entry: Entry) -> CellResult:
        if entry.kind == FUZZ:
            console.say(f"    {entry.name}: the same seed is the same walk")
        attempt: Attempt | None = None
        before = after = None
        verdict, why = "fail", ""
        try:
            lane = self._lane_for(entry)
            attempt = attempt_for(entry, lane)
            before = lane.held if entry.moment not in FRESH else None
            attempt.run()
            after = lane.held if entry.moment not in FRESH else None
            verdict = "pass"
        except CellEnded as failure:
            verdict, why = failure.verdict, failure.what
            if verdict != "skip":
                self._tell(cell, failure, attempt)
        result = self._result(cell, entry, attempt, verdict, why, _figures(before, after))
        # A lane on which something went wrong shows nothing any more; one whose QEMU has quit is of no use.
        if verdict not in ("pass", "skip") or entry.moment in FRESH:
            self._leave()
        return result

    def _lane_for(self, entry: Entry) -> Lane:
        if self._lane is None:
            number = 1 + len(list(self._out_dir.glob("matrix-*")))
            folder = self._out_dir / f"matrix-{number:02}-{self._scheme.name}-{entry.moment}"
            shape = SHAPES.get(entry.moment, Shape())
            lane = Lane(self._scheme, self._qemu, self._guest, folder, self._options, shape)
            self._lane = lane.__enter__()
            if entry.moment not in ("startup", "boot"):
                deadline = Deadline(self._options.boot)
                lane.power_on(deadline)
                lane.waiter.wait(lambda: lane.vm.agent.ready, deadline, "the guest to boot")
                if shape.card:
                    lane.wait_steady(STEADY, deadline, "the guest's probes to be answered", CellError)
        return self._lane

    def _leave(self) -> None:
        lane, self._lane = self._lane, None
        if lane is not None:
            lane.__exit__(None, None, None)

    def _tell(self, cell: Cell, failure: CellEnded, attempt: Attempt | None) -> None:
        """The folder of a cell that failed: the failure, and what QEMU and the stub said meanwhile."""
        folder = self._out_dir / cell.name
        folder.mkdir(parents=True, exist_ok=True)
        lines = [str(failure)]
        if attempt is not None:
            lane = attempt.lane
            lines += ["", "events of the stub:", *map(str, lane.backend.events.all[attempt.mark :][-60:])]
            lines += ["", "QEMU's last words:", *tail_of(lane.folder / "qemu.log", 30)]
            lines += ["", f"all logs: {lane.folder}"]
        (folder / FAILURE).write_text("\n".join([*lines, ""]), encoding="utf-8")

    def _result(
        self,
        cell: Cell,
        entry: Entry,
        attempt: Attempt | None,
        verdict: str,
        why: str,
        qemu: QemuFigures | None,
    ) -> CellResult:
        folders = [path for path in (self._out_dir / cell.name,) if path.is_dir()]
        if attempt is not None:
            folders.append(attempt.lane.folder)
        result = CellResult(
            scheme=cell.scheme,
            backend=cell.backend,
            fault=cell.fault,
            repeat=cell.repeat,
            expected=entry.expected,
            neighbour=self._options.neighbour,
            verdict=verdict,
            why=why,
            qemu=qemu,
            logs=tuple(sorted(f"{folder.name}/{path.name}" for folder in folders for path in folder.iterdir())),
        )
        return result if attempt is None else attempt.filled(result)


def _figures(before: Held | None, after: Held | None) -> QemuFigures | None:
    if before is None or after is None:
        return None
    return QemuFigures(
        fds_before=before.fds,
        fds_after=after.fds,
        rss_kib_before=before.rss_kib,
        rss_kib_after=after.rss_kib,
        cpu_percent_in_outage=0.0,
        threads_before=before.threads,
        threads_after=after.threads,
    )
