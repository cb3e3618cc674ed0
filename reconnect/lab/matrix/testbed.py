"""A stub and a QEMU that serve one case of the matrix after the other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from reconnect.kit.deadline import Deadline
from reconnect.kit.sockets import checked
from reconnect.lab.backends import Endpoint
from reconnect.lab.backends.stub import Stub
from reconnect.lab.binaries import Qemu
from reconnect.lab.guest.image import Guest
from reconnect.lab.options import Options
from reconnect.lab.probe.log import ProbeRecord
from reconnect.lab.process.failure import CellEnded
from reconnect.lab.process.rundir import runtime_dir
from reconnect.lab.process.waiter import Waiter
from reconnect.lab.qemu.arguments import VHOST, QemuArguments, pinned
from reconnect.lab.qemu.memory_backend import memory_folder
from reconnect.lab.qemu.usage import ResourceUsage, usage_of
from reconnect.lab.qemu.vm import Vm
from reconnect.lab.schemes import Scheme


@dataclass(frozen=True)
class MatrixArguments(QemuArguments):
    """QEMU's command line with what the matrix needs.

    :param paused: do not start the guest (-S).
    :param slots: for memory to be hot-plugged.
    """

    paused: bool = False
    slots: int = 0

    def argv(self) -> list[str]:
        """The whole command. A reset must reset: the lab's other cells end QEMU then."""
        words = [word for word in super().argv() if word != "-no-reboot"]
        return [*words, *(["-S"] if self.paused else [])]

    def _size(self) -> str:
        room = f",slots={self.slots},maxmem={2 * self.memory_mib}M" if self.slots else ""
        return f"{self.memory_mib}{room}"


@dataclass(frozen=True)
class Shape:
    """What a QEMU is like that serves the cases of a phase; see :class:`MatrixArguments`.

    :param plugged_mib: memory in MiB that will be plugged, beyond what the guest starts with.
    :param append: words for the kernel's command line.
    """

    paused: bool = False
    card: bool = True
    queues: int = 1
    slots: int = 0
    plugged_mib: int = 0
    append: str = ""


DIMM_MIB = 128
"""What Linux on x86 can take and give at a time (memory_block_size_bytes)."""

ORDINARY = Shape()
SHAPES = {
    "startup": Shape(paused=True),
    "hot-plug": Shape(card=False),
    # The driver enables a pair for each processor, and sends on that of the processor which the sender runs on.
    "queues": Shape(queues=2, append=pinned(2)),
    # What the kernel makes of its own use of hot-plugged memory it never gives back: keep it to what can be moved.
    "memory": Shape(slots=1, plugged_mib=DIMM_MIB, append="memhp_default_state=online_movable"),
}
"""By phase, where it is not the ordinary one."""


class Testbed:
    """A stub and a QEMU. A context manager: all is ended on leaving.

    :param folder: takes the logs.
    :ivar judged: how many of the stub's events, over all incarnations, have been held against the protocol's rules.
    :cvar queue_pairs: queue pairs of the stub. A QEMU that asks for fewer is content.
    """

    queue_pairs = 2
    __test__ = False  # for pytest, which takes a name that begins with Test for a test

    def __init__(
        self, scheme: Scheme, qemu: Qemu, guest: Guest, folder: Path, options: Options, shape: Shape = ORDINARY
    ) -> None:
        self.folder = folder
        self.options = options
        self.waiter = Waiter()
        self.judged = 0
        self.qemu_listens = scheme.qemu_listens
        self.scheme = scheme
        self._qemu, self._guest, self._shape = qemu, guest, shape
        self._stack = ExitStack()
        self.backend: Stub
        self.vm: Vm

    def __enter__(self) -> Testbed:
        self.folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            runtime = stack.enter_context(runtime_dir())
            place = Endpoint(checked(runtime / VHOST), not self.scheme.qemu_listens, runtime, self.folder)
            self.backend = stack.enter_context(Stub(place, self.waiter, self.queue_pairs))
            self.backend.strict = False
            self.backend.start(Deadline(self.options.fault))
            stack.enter_context(self.waiter.guard(self.backend.check))
            self.runtime = runtime
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def power_on(self, deadline: Deadline, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Start QEMU, and wait until its monitor answers.

        :param meanwhile: is called when QEMU runs, and may still wait for its backend.
        :raises CellError: it does not.
        """
        self.vm = self._stack.enter_context(Vm(self._arguments(), self.folder, self.waiter, deadline))
        meanwhile()
        self.vm.connect_monitor()

    @property
    def socket(self) -> Path:
        """The vhost-user socket."""
        return self.runtime / VHOST

    @property
    def usage(self) -> ResourceUsage:
        """What QEMU holds now."""
        return usage_of(self.vm)

    def reset_probe_record(self) -> ProbeRecord:
        """Begin a new record of probes, which knows of the link what the old one did; returns the old one."""
        assert self.vm.probe is not None
        old = self.vm.probe.record
        self.vm.probe.record = ProbeRecord(links=old.links[-1:])
        return old

    def order(self, verb: str, *words: object, deadline: Deadline) -> str:
        """Give the guest's agent an order; see there."""
        return self.vm.agent.ask(verb, *words, deadline=deadline)

    def wait_steady(self, count: int, deadline: Deadline, what: str, failure: type[CellEnded]) -> None:
        """Wait until so many probes in a row were answered."""
        self.waiter.wait(lambda: self.vm.record.streak >= count, deadline, what, failure)

    def _arguments(self) -> MatrixArguments:
        shape = self._shape
        words = ("reconnect.agent=1", shape.append)
        usual = MatrixArguments.of(
            *(self.scheme, self._qemu, self._guest, self.runtime, self.folder, self.options),
            queue_pairs=shape.queues,
            words=words,
        )
        # What will be plugged comes from the same folder, and needs its room as well.
        folder = memory_folder(usual.memory_mib + shape.plugged_mib)
        return replace(usual, card=shape.card, paused=shape.paused, slots=shape.slots, memory_dir=folder)
