"""One cell, from its boot to its verdict.

    backend up - guest up - probes answered - FAULT - probes lost - backend started again -
        recovers: probes answered again, steadily
        dead: no probe answered for ten seconds after the backend listens

A fault may hold the backend that was started again for a while, when it listens and before it accepts: the guest and
QEMU's monitor must go on meanwhile.

Each cell, and so each repeat, has a VM of its own: a cell that goes wrong can't spoil the next, and every fault hits
a guest in the same state. What grows with the number of restarts in one VM (descriptors, memory) shows in each
cell as the figures before and after its fault.

A cell's verdict starts as ``fail``. What may end it earlier is told apart: what was measured is wrong (``fail``),
or it could not be measured (``error``).
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from reconnect.kit.deadline import Deadline
from reconnect.lab.binaries import Binaries
from reconnect.lab.boot import Booted, LibvirtSetup, boot
from reconnect.lab.cell import Cell
from reconnect.lab.faults import FAULTS
from reconnect.lab.guest.image import Guest
from reconnect.lab.libvirt import places
from reconnect.lab.libvirt.shared_memory import SharedMemory, shared_memory
from reconnect.lab.measure import figures
from reconnect.lab.options import Options
from reconnect.lab.outcome import result_of, write_failure
from reconnect.lab.process.failure import CellEnded, CellFailed
from reconnect.lab.process.rundir import runtime_dir
from reconnect.lab.process.stages import SocketWatch
from reconnect.lab.qemu.arguments import QemuArguments
from reconnect.lab.qemu.usage import ResourceUsage, figures_of, usage_of
from reconnect.lab.recovery import Recovery
from reconnect.lab.schemes import QEMU, SCHEMES
from reconnect.lab.timeline import timeline_of
from reconnect.report import timeline
from reconnect.report.results import CellResult, QemuFigures

MONITOR_SECONDS = 10.0


def run_cell(cell: Cell, binaries: Binaries, guest: Guest, folder: Path, options: Options) -> CellResult:
    """Run a cell.

    :param folder: takes all its logs.
    :returns: the result with the verdict. A cell that goes wrong is a result; its details are in ``failure.txt``.
    :raises HostError: nothing can be run here: the backend is not installed, a path is too long.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cell_run = CellRun(cell, folder, options)
    verdict, why = "fail", ""
    try:
        with ExitStack() as stack:
            cell_run.measure(cell_run.boot(stack, binaries, guest), stack)
        verdict = "pass"
    except CellEnded as failure:
        verdict, why = failure.verdict, failure.what
        write_failure(folder, str(failure))
    return cell_run.result(verdict, why)


class CellRun:
    """A cell under way. What it has seen stays readable after it ended, however it ended."""

    def __init__(self, cell: Cell, folder: Path, options: Options) -> None:
        self.cell = cell
        self.fault = FAULTS[cell.fault]
        self.expected = SCHEMES[cell.scheme].expected
        self.folder = folder
        self.options = options
        self.memory: SharedMemory | None = None
        self.booted: Booted | None = None
        self.recovery: Recovery | None = None
        self.fault_at: float | None = None
        self.usage: dict[str, ResourceUsage] = {}
        self.connections: int | None = None

    def boot(self, stack: ExitStack, binaries: Binaries, guest: Guest) -> Booted:
        """Start the backend and the guest; see :func:`reconnect.lab.boot.boot`.

        :raises CellEnded: they did not get ready.
        """
        runtime = stack.enter_context(runtime_dir())
        setup = None
        if self.cell.launcher != QEMU:
            libvirt = binaries.libvirt
            assert libvirt is not None, "a cell through libvirt needs one"
            # Another run's libvirtd may be waited for here: no time of the cell has begun.
            folders = stack.enter_context(places.places(runtime, libvirt.state, Deadline(places.LOCK_SECONDS)))
            self.memory = stack.enter_context(shared_memory(QemuArguments.memory_mib, libvirt.version))
            setup = LibvirtSetup(libvirt, folders, self.memory)
        return boot(stack, self.cell, binaries, guest, setup, runtime=runtime, folder=self.folder, options=self.options)

    def measure(self, booted: Booted, stack: ExitStack) -> None:
        """The fault, and what comes of it.

        :param stack: takes what ends with the cell.
        :raises CellEnded: it went wrong.
        """
        self.booted = booted
        backend, vm, record = booted.backend, booted.vm, booted.record
        self.usage["before"] = usage_of(vm)
        self.fault_at = backend.inject(self.fault, Deadline(self.options.fault))
        self.usage["fault"] = usage_of(vm)
        booted.waiter.wait(
            lambda: record.unanswered_in_a_row() >= self.options.lost,
            Deadline(self.options.fault),
            f"probes to go unanswered after {self.fault.name}",
            CellFailed,
        )
        watch = SocketWatch(backend.place.socket, booted.waiter)
        stack.callback(watch.close)
        self.recovery = recovery = Recovery(booted, watch)
        if self.fault.hold:
            recovery.hold(self.fault.hold)
        if self.expected == "dead":
            recovery.require_dead()
        else:
            recovery.require_recovery()
        self.usage["after"] = usage_of(vm)
        # Counted while QEMU lives: a backend that is the client connects once more to a socket that is being closed.
        self.connections = backend.connections()
        status = vm.execute("query-status", Deadline(MONITOR_SECONDS))
        if not isinstance(status, dict) or status.get("status") != "running":
            raise CellFailed(f"QEMU's monitor says that the guest is not running: {status}")
        vm.quit()

    def result(self, verdict: str, why: str) -> CellResult:
        """What is known of the cell by now; its timeline is written."""
        if self.booted is not None and self.recovery is not None and self.fault_at is not None:
            timeline.save(timeline_of(self.booted.record, self.fault_at, self.recovery.stages), self.folder)
        memory = "" if self.memory is None else str(self.memory)
        folders = [self.folder]
        result = result_of(
            *(self.cell, self.options, verdict, why, folders),
            expected=self.expected,
            memory=memory,
            qemu=self._qemu_figures(),
        )
        booted, recovery = self.booted, self.recovery
        if booted is None or recovery is None:
            return result
        stages = recovery.stages
        found = figures(booted.record, stages)
        return replace(
            result,
            outage_ms=found.outage_ms,
            recovery_ms=found.recovery_ms,
            probes_sent=found.probes_sent,
            probes_lost=found.probes_lost,
            stages_ms=stages.milliseconds(),
            tx_gap_ms=recovery.tx_gap_ms,
            monitor_ms=recovery.monitor_ms,
            connections=booted.backend.connections() if self.connections is None else self.connections,
        )

    def _qemu_figures(self) -> QemuFigures | None:
        usage = self.usage
        if "before" not in usage:
            return None
        before = usage["before"]
        end = None if self.recovery is None else self.recovery.end_of_outage
        return figures_of(before, usage.get("after", before), (usage.get("fault", before), end or before))
