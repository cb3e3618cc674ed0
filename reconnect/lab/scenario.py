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

import signal
import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from reconnect.kit.deadline import Deadline
from reconnect.kit.sockets import checked
from reconnect.lab.backends import Backend, Endpoint
from reconnect.lab.backends.known import BACKENDS
from reconnect.lab.binaries import Binaries
from reconnect.lab.cell import Cell
from reconnect.lab.faults import FAULTS
from reconnect.lab.guest.image import Guest
from reconnect.lab.libvirt.daemon import Libvirtd, LibvirtdSettings
from reconnect.lab.libvirt.domain import Domain
from reconnect.lab.libvirt.shared_memory import SharedMemory, shared_memory
from reconnect.lab.libvirt.vm import LibvirtVm
from reconnect.lab.measure import figures, stage_times
from reconnect.lab.options import Options
from reconnect.lab.probe.log import ProbeRecord
from reconnect.lab.process.failure import CellEnded, CellError, CellFailed
from reconnect.lab.process.rundir import runtime_dir
from reconnect.lab.process.stages import SocketWatch, StageTimes
from reconnect.lab.process.waiter import Waiter
from reconnect.lab.qemu import stall_check
from reconnect.lab.qemu.arguments import QemuArguments, pinned
from reconnect.lab.qemu.memory_backend import memory_folder
from reconnect.lab.qemu.usage import ResourceUsage, figures_of, usage_of
from reconnect.lab.qemu.virtual_machine import VirtualMachine
from reconnect.lab.qemu.vm import Vm
from reconnect.lab.schemes import ATTACH, QEMU, SCHEMES
from reconnect.report.results import CellResult, QemuFigures

FAILURE = "failure.txt"
MONITOR_SECONDS = 10.0


def run_cell(cell: Cell, binaries: Binaries, guest: Guest, folder: Path, options: Options) -> CellResult:
    """Run a cell.

    :param folder: takes all its logs.
    :returns: the result with the verdict. A cell that goes wrong is a result; its details are in ``failure.txt``.
    :raises HostError: nothing can be run here: the backend is not installed, a path is too long.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cell_run = CellRun(cell, binaries, guest, folder, options)
    verdict, why = "fail", ""
    try:
        with ExitStack() as stack:
            cell_run.run(stack)
        verdict = "pass"
    except CellEnded as failure:
        verdict, why = failure.verdict, failure.what
        (folder / FAILURE).write_text(f"{failure}\n", encoding="utf-8")
    return cell_run.result(verdict, why)


class CellRun:
    """A cell under way. What it has seen stays readable after it ended, however it ended."""

    def __init__(self, cell: Cell, binaries: Binaries, guest: Guest, folder: Path, options: Options) -> None:
        self.cell = cell
        self.scheme = SCHEMES[cell.scheme]
        self.fault = FAULTS[cell.fault]
        self.qemu = self.scheme.qemu(binaries)
        self.guest = guest
        self.folder = folder
        self.options = options
        self.waiter = Waiter()
        self.backend: Backend | None = None
        self.libvirt = binaries.libvirt
        self.vm: VirtualMachine | None = None
        self.memory: SharedMemory | None = None
        self.watch: SocketWatch | None = None
        self.restarted: float | None = None
        self.resumed: float | None = None
        self.monitor_ms: float | None = None
        self.usage: dict[str, ResourceUsage] = {}
        self.connections: int | None = None

    def run(self, stack: ExitStack) -> None:
        """The cell.

        :raises CellEnded: it went wrong.
        """
        self._boot(stack)
        backend, record = self._backend, self._record
        self.usage["before"] = self._usage()
        backend.inject(self.fault, Deadline(self.options.fault))
        self.usage["fault"] = self._usage()
        self.waiter.wait(
            lambda: record.unanswered_in_a_row() >= self.options.lost,
            Deadline(self.options.fault),
            f"probes to go unanswered after {self.fault.name}",
            CellFailed,
        )
        answered = len(record.answered)
        self.watch = SocketWatch(backend.place.socket, self.waiter)
        stack.callback(self.watch.close)
        self.restarted = backend.launch()
        if self.fault.hold:
            self._hold()
        if self.scheme.expected == "dead":
            self._stay_dead(answered)
        else:
            self._recover(answered)
        self._end()

    def _boot(self, stack: ExitStack) -> None:
        runtime = stack.enter_context(runtime_dir())
        socket = checked(runtime / "vhost.sock")
        place = Endpoint(socket, not self.scheme.qemu_listens, runtime, self.folder)
        deadline = Deadline(self.options.boot)
        self.backend = stack.enter_context(BACKENDS[self.cell.backend](place, self.waiter, self.fault.queue_pairs))
        self.backend.start(deadline)
        stack.enter_context(self.waiter.guard(self.backend.check))
        arguments = self._arguments(runtime, socket)
        if self.cell.launcher == QEMU:
            self.vm = stack.enter_context(Vm(arguments, self.folder, self.waiter, deadline))
            self.vm.connect_monitor()
        else:
            self._boot_domain(stack, runtime, arguments, deadline)
        self._wait_steady(deadline, 0, "the guest to boot and its probes to be answered steadily", CellError)

    def _boot_domain(self, stack: ExitStack, runtime: Path, arguments: QemuArguments, deadline: Deadline) -> None:
        """The same guest through libvirt; where the cell says so, its card is attached when it is up."""
        assert self.libvirt is not None
        attach = self.cell.launcher == ATTACH
        self.memory = stack.enter_context(shared_memory(arguments.memory_mib, self.libvirt.version))
        settings = LibvirtdSettings({**self.memory.settings, **self.scheme.qemu_conf}, self.qemu.binary)
        daemon = stack.enter_context(
            Libvirtd(self.libvirt, runtime, self.folder, self.waiter, Deadline(self.options.boot), settings)
        )
        domain = Domain(arguments, self.scheme, self.memory, attach)
        vm = stack.enter_context(LibvirtVm(daemon, domain, self.folder, self.waiter, deadline))
        self.vm = vm
        vm.connect_monitor()
        if attach:
            self.waiter.wait(lambda: vm.record.waits, deadline, "the guest to boot and wait for its network card")
            vm.plug(deadline)
        vm.verify()

    def _hold(self) -> None:
        """Stop the backend's new process as soon as it listens, and let it go on a while after QEMU has connected."""
        assert self.vm is not None
        backend, watch, deadline = self._backend, self._watch, Deadline(self.options.fault)
        self.waiter.wait(lambda: watch.listening, deadline, "the backend to listen again")
        backend.send(signal.SIGSTOP)

        def resume() -> None:
            self.resumed = backend.send(signal.SIGCONT)

        # In a thread: a QEMU that waits for its backend answers nobody before that goes on.
        timer = threading.Timer(self.fault.hold, resume)
        try:
            self.waiter.wait(lambda: watch.connected, deadline, "QEMU to connect to a backend that hangs", CellFailed)
            if watch.accepted:
                raise CellError("the backend accepted a connection before it could be stopped")
            timer.start()
            self.monitor_ms = stall_check.slowest_answer(
                self.vm, self.waiter, lambda: self.resumed is not None, Deadline(self.options.fault)
            )
        finally:
            timer.cancel()

    def _stay_dead(self, answered: int) -> None:
        """Watch a network that must stay dead, for the whole time after the backend listens again."""
        record, watch = self._record, self._watch
        self.waiter.wait(lambda: watch.listening, Deadline(self.options.recovery), "the backend to listen again")
        sent = record.last_sent

        def still_dead() -> None:
            if len(record.answered) > answered:
                raise CellFailed("the network came back, though nothing in this scheme could bring it back")

        with self.waiter.guard(still_dead):
            self.waiter.sleep(Deadline(self.options.dead))
        self.usage["end of outage"] = self._usage()
        # A guest that hangs answers nothing either: only one that goes on probing shows that its network is dead.
        expected = self.options.dead * 1e6 / self.options.interval_us
        if record.last_sent - sent < expected / 2:
            raise CellError(f"the guest sent {record.last_sent - sent} probes where {expected:.0f} were due: it hangs")

    def _recover(self, answered: int) -> None:
        record, backend = self._record, self._backend
        deadline = Deadline(self.options.recovery)
        try:
            self.waiter.wait(lambda: len(record.answered) > answered, deadline, "a probe to be answered", CellFailed)
        except CellFailed as failed:
            raise CellFailed(f"the network did not come back: {failed.what} ({self._reached()})") from failed
        self.usage["end of outage"] = self._usage()
        self._wait_steady(deadline, answered, "probes to be answered steadily again", CellFailed)
        if self.monitor_ms is not None:
            stall_check.judge(self.monitor_ms, self._tx_gap_ms)
        if backend.connections() != 1:
            raise CellFailed(f"QEMU and the restarted backend made {backend.connections()} connections instead of 1")

    def _wait_steady(self, deadline: Deadline, answered: int, what: str, failure: type[CellEnded]) -> None:
        record, steady = self._record, self.options.steady
        enough = answered + steady
        self.waiter.wait(lambda: len(record.answered) >= enough and record.streak >= steady, deadline, what, failure)

    def _end(self) -> None:
        assert self.vm is not None
        self.usage["after"] = self._usage()
        # Counted while QEMU lives: a backend that is the client connects once more to a socket that is being closed.
        self.connections = self._backend.connections()
        status = self.vm.execute("query-status", Deadline(MONITOR_SECONDS))
        if not isinstance(status, dict) or status.get("status") != "running":
            raise CellFailed(f"QEMU's monitor says that the guest is not running: {status}")
        self.vm.quit()

    def result(self, verdict: str, why: str) -> CellResult:
        """What is known of the cell by now."""
        cell = self.cell
        result = CellResult(
            scheme=cell.scheme,
            backend=cell.backend,
            fault=cell.fault,
            repeat=cell.repeat,
            expected=self.scheme.expected,
            neighbour=self.options.neighbour,
            launcher=cell.launcher,
            memory="" if self.memory is None else str(self.memory),
            verdict=verdict,
            why=why,
            qemu=self._figures(),
            logs=tuple(sorted(f"{self.folder.name}/{path.name}" for path in self.folder.iterdir())),
        )
        if self.restarted is None:
            return result
        reached = self._stage_times(self.restarted)
        found = figures(self._record, reached)
        return replace(
            result,
            outage_ms=found.outage_ms,
            recovery_ms=found.recovery_ms,
            probes_sent=found.probes_sent,
            probes_lost=found.probes_lost,
            stages_ms=reached.milliseconds(),
            tx_gap_ms=self._tx_gap_ms,
            monitor_ms=self.monitor_ms,
            connections=self._backend.connections() if self.connections is None else self.connections,
        )

    def _stage_times(self, restarted: float) -> StageTimes:
        watch = self._watch
        handshake, resumed = self._backend.handshake(), self.resumed
        seen = StageTimes(restarted, watch.listening, watch.connected, watch.accepted, handshake, resumed=resumed)
        return stage_times(self._record, seen)

    def _reached(self) -> str:
        """The last stage that was reached, for a network that did not come back."""
        assert self.restarted is not None
        reached = [name for name, at in self._stage_times(self.restarted).milliseconds().items() if at is not None]
        link = {True: "up", False: "down", None: "unknown"}[self._record.link_up]
        return f"reached: {', '.join(reached) or 'nothing'}; the guest's link is {link}"

    def _usage(self) -> ResourceUsage:
        assert self.vm is not None
        return usage_of(self.vm)

    def _figures(self) -> QemuFigures | None:
        usage = self.usage
        if "before" not in usage:
            return None
        before = usage["before"]
        outage = usage.get("fault", before), usage.get("end of outage", before)
        return figures_of(before, usage.get("after", before), outage)

    def _arguments(self, runtime: Path, socket: Path) -> QemuArguments:
        options = self.options
        return QemuArguments(
            qemu=self.qemu,
            guest=self.guest,
            vhost=socket,
            qmp=checked(runtime / "qmp.sock"),
            probe=checked(runtime / "probe.sock"),
            console=self.folder / "console.log",
            chardev=self.scheme.chardev,
            neighbour=options.neighbour,
            interval_us=options.interval_us,
            accel=options.accel,
            machine_type=options.machine_type,
            vectors=options.vectors,
            append=" ".join(word for word in (pinned(self.fault.queue_pairs), options.append) if word),
            queues=self.fault.queue_pairs,
            processors=self.fault.queue_pairs,
            memory_dir=memory_folder(QemuArguments.memory_mib)
            if self.cell.launcher == QEMU
            else QemuArguments.memory_dir,
        )

    @property
    def _backend(self) -> Backend:
        assert self.backend is not None
        return self.backend

    @property
    def _record(self) -> ProbeRecord:
        assert self.vm is not None
        return self.vm.record

    @property
    def _tx_gap_ms(self) -> float:
        assert self.restarted is not None
        return self._record.tx_gap_ms(self.restarted)

    @property
    def _watch(self) -> SocketWatch:
        assert self.watch is not None
        return self.watch
