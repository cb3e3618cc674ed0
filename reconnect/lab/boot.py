"""A cell's beginning: its backend up, its guest up, and the probes answered."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from reconnect.kit.deadline import Deadline
from reconnect.lab.backends import Backend, Endpoint
from reconnect.lab.backends.known import BackendSpec
from reconnect.lab.binaries import Binaries, Libvirt
from reconnect.lab.cell import Cell
from reconnect.lab.faults import FAULTS
from reconnect.lab.guest.image import Guest
from reconnect.lab.libvirt.daemon import Libvirtd, LibvirtdSettings
from reconnect.lab.libvirt.domain import Domain
from reconnect.lab.libvirt.places import Places
from reconnect.lab.libvirt.shared_memory import SharedMemory
from reconnect.lab.libvirt.vm import LibvirtVm
from reconnect.lab.options import Options
from reconnect.lab.probe.log import ProbeRecord
from reconnect.lab.process.failure import CellEnded, CellError
from reconnect.lab.process.waiter import Waiter
from reconnect.lab.qemu.arguments import QemuArguments, pinned
from reconnect.lab.qemu.virtual_machine import VirtualMachine
from reconnect.lab.qemu.vm import Vm
from reconnect.lab.schemes import ATTACH, SCHEMES


@dataclass(frozen=True)
class LibvirtSetup:
    """What there is to start a guest through libvirt: its programs, its folders, and the guest's memory."""

    libvirt: Libvirt
    places: Places
    memory: SharedMemory


@dataclass(frozen=True)
class Booted:
    """A guest with its network, and the switch at the other end.

    :param record: what its probe saw; it grows.
    """

    backend: Backend
    vm: VirtualMachine
    record: ProbeRecord
    waiter: Waiter
    options: Options

    def wait_steady(self, deadline: Deadline, answered: int, what: str, failure: type[CellEnded]) -> None:
        """Wait until so many probes in a row are answered as the options say, all after the ``answered``-th."""
        record, steady = self.record, self.options.steady
        enough = answered + steady
        self.waiter.wait(lambda: len(record.answered) >= enough and record.streak >= steady, deadline, what, failure)


def boot(
    stack: ExitStack,
    cell: Cell,
    binaries: Binaries,
    guest: Guest,
    libvirt: LibvirtSetup | None,
    *,
    runtime: Path,
    folder: Path,
    options: Options,
) -> Booted:
    """Start a cell's backend and guest, and wait until its probes are answered steadily.

    :param stack: ends them.
    :param libvirt: None where QEMU is started without it.
    :param runtime: the runtime directory.
    :param folder: takes the logs.
    :raises CellEnded: something did not start, ended, or is not what the scheme says.
    """
    scheme, fault, waiter = SCHEMES[cell.scheme], FAULTS[cell.fault], Waiter()
    qemu = scheme.qemu(binaries)
    # Where libvirt starts it, the guest's memory is not QEMU's own choice.
    memory_dir = None if libvirt is None else QemuArguments.memory_dir
    arguments = QemuArguments.of(
        *(scheme, qemu, guest, runtime, folder, options),
        queue_pairs=fault.queue_pairs,
        words=[pinned(fault.queue_pairs)],
        memory_dir=memory_dir,
    )
    place = Endpoint(arguments.vhost, not scheme.qemu_listens, runtime, folder)
    deadline = Deadline(options.boot)
    spec = BackendSpec.parse(cell.backend)
    backend = stack.enter_context(spec.create(binaries, place, waiter, fault.queue_pairs))
    backend.start(deadline)
    stack.enter_context(waiter.guard(backend.check))
    vm: VirtualMachine
    if libvirt is None:
        vm = stack.enter_context(Vm(arguments, folder, waiter, deadline))
        vm.connect_monitor()
    else:
        domain = Domain(arguments, scheme, libvirt.memory, attach=cell.launcher == ATTACH)
        vm = _start_domain(stack, libvirt, domain, waiter, deadline, runtime=runtime, folder=folder)
    booted = Booted(backend, vm, vm.record, waiter, options)
    booted.wait_steady(deadline, 0, "the guest to boot and its probes to be answered steadily", CellError)
    return booted


def _start_domain(
    stack: ExitStack,
    setup: LibvirtSetup,
    domain: Domain,
    waiter: Waiter,
    deadline: Deadline,
    *,
    runtime: Path,
    folder: Path,
) -> LibvirtVm:
    """The same guest through libvirt; where the cell says so, its card is attached when it is up."""
    scheme, qemu = domain.scheme, domain.arguments.qemu
    settings = LibvirtdSettings({**domain.memory.settings, **scheme.qemu_conf}, qemu.binary)
    daemon = stack.enter_context(
        Libvirtd(setup.libvirt, setup.places, runtime, folder, waiter, deadline, settings=settings)
    )
    vm = stack.enter_context(LibvirtVm(daemon, domain, folder, waiter, deadline))
    vm.connect_monitor()
    if domain.attach:
        waiter.wait(lambda: vm.record.waits, deadline, "the guest to boot and wait for its network card")
        vm.plug(deadline)
    vm.verify()
    return vm
