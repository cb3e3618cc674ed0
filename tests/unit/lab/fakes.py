"""A testbed without a guest: the stub's events and QEMU's answers are what a test says they are.

What the matrix judges by is real: the waiter and its deadlines, the stub's events, the record of probes. Unless it is
told otherwise the fake is a QEMU that does all right.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from reconnect.kit.deadline import Deadline
from reconnect.lab.backends import Endpoint
from reconnect.lab.backends.stub import Events, Stub, _Incarnation
from reconnect.lab.faults import Fault
from reconnect.lab.matrix.testbed import Testbed
from reconnect.lab.options import Options
from reconnect.lab.probe.log import ProbeRecord
from reconnect.lab.process.child import Child
from reconnect.lab.process.lines import LineReader
from reconnect.lab.process.waiter import Waiter
from reconnect.lab.qemu.qmp import Data
from reconnect.lab.qemu.usage import ResourceUsage
from reconnect.lab.qemu.vm import Vm
from reconnect.lab.schemes import SCHEMES
from reconnect.lab.stub.script import CLOSING, Script

OPTIONS = Options(boot=0.05, fault=0.05, recovery=0.05, dead=0.05)
"""What does not come is given up at once: the fakes act before a wait begins."""

USAGE = ResourceUsage(fds=40, threads=3, rss_kib=90_000, anonymous_kib=30_000, cpu=1.0, at=0.0)


class FakeStub(Stub):
    """A stub that is no process.

    :ivar react: what QEMU does when a script is loaded; ``started`` the same for a new incarnation.
    """

    def __init__(self, place: Endpoint, waiter: Waiter) -> None:
        super().__init__(place, waiter)
        self.strict = False
        self.react: Callable[[Script], None] = self.good
        self.started: Callable[[], None] = lambda: self.good(Script())
        self.signals: list[signal.Signals] = []
        self.signalled: Callable[[signal.Signals], None] = lambda _: None
        self._made = 0
        self.start(Deadline(1))

    def say(self, event: str, **facts: object) -> None:
        """An event of the present incarnation."""
        self.events.all.append({"t": time.monotonic(), "event": event, **facts})

    def violate(self, what: str) -> None:
        """QEMU breaks a rule of the protocol."""
        self.say("violation", connection=self._made, what=what)

    def connect(self, rings: int = 4) -> None:
        """QEMU connects, and starts its rings."""
        self._made += 1
        self.say("connected", connection=self._made)
        for number in (1, 2):
            self.say("message", name="SET_VRING_CALL", n=number, connection=self._made)
        for ring in range(rings):
            self.say("ring", ring=ring, connection=self._made)
        self.say("ready", connection=self._made)

    def hang_up(self) -> None:
        """The newest connection ends."""
        self.say("closed", connection=self._made, by="script")

    def good(self, script: Script) -> None:
        """What a good QEMU does: it sends what the rules are for, and connects again where it was hung up."""
        if script.hang_up:
            self.hang_up()
        cut = [rule for rule in script.rules if rule.action in CLOSING]
        for rule in script.rules:
            self.say("triggered", rule=str(rule), connection=self._made)
        if script.hang_up or cut or not self.events.of("connected"):
            self.connect()

    def start(self, deadline: Deadline) -> float:
        """See :meth:`Backend.start`."""
        self._incarnations.append(_Incarnation(cast("Child", None), cast("LineReader", None), Events()))
        self.say("listening")
        self.started()
        return time.monotonic()

    def load(self, script: Script, deadline: Deadline) -> int:
        """See :meth:`Stub.load`."""
        mark = len(self.events.all)
        self.say("script")
        self.react(script)
        return mark

    def inject(self, fault: Fault, deadline: Deadline) -> float:
        """See :meth:`Backend.inject`."""
        self.hang_up()
        return time.monotonic()

    def send(self, number: signal.Signals) -> float:
        """See :meth:`Backend.send`."""
        self.signals.append(number)
        self.signalled(number)
        return time.monotonic()

    def check(self) -> None:
        """It never ends by itself."""

    def close(self) -> None:
        """There is nothing to end."""


class FakeVm:
    """QEMU and its guest.

    :ivar answers: by command of the monitor: its answer, an exception, or what makes it of the arguments.
    :ivar coming: events that are waited for, each with its data; what is not there does not come.
    :ivar told: events that came beside answers.
    :ivar network: whether probes are answered from now on.
    """

    def __init__(self, folder: Path) -> None:
        self.arguments = SimpleNamespace(console=folder / "console.log", memory_dir=folder)
        self.log = folder / "qemu.log"
        self.process = SimpleNamespace(pid=os.getpid())
        self.probe = SimpleNamespace(record=ProbeRecord())
        self.answers: dict[str, Any] = {"query-status": {"status": "running"}}
        self.asked: list[str] = []
        self.coming: dict[str, Data] = {}
        self.told: list[dict[str, Any]] = []
        self.network = True
        self.at_quit: Callable[[], None] = lambda: None
        self._sent = 0

    @property
    def record(self) -> ProbeRecord:
        """As of QEMU's: each look finds a hundred more probes."""
        record = cast("ProbeRecord", self.probe.record)
        for _ in range(100):
            self._sent += 1
            now = int(time.monotonic() * 1e6)
            record.add(f"s {self._sent} {now}", time.monotonic())
            if self.network:
                record.add(f"a {self._sent} {now} {now}", time.monotonic())
        return record

    def carrier(self, word: str) -> None:
        """The guest sees that its link is up, or down."""
        self.probe.record.add(f"l {word} {int(time.monotonic() * 1e6)}", time.monotonic())

    def execute(self, command: str, deadline: Deadline, **arguments: Any) -> object:
        """See :meth:`VirtualMachine.execute`."""
        self.asked.append(command)
        answer = self.answers.get(command, {})
        if isinstance(answer, Exception):
            raise answer
        return answer(**arguments) if callable(answer) else answer

    def event(self, name: str, deadline: Deadline, wanted: Callable[[Data], bool]) -> Data:
        """See :meth:`VirtualMachine.event`."""
        assert wanted(self.coming[name])
        return self.coming[name]

    def events(self) -> list[dict[str, Any]]:
        """See :meth:`VirtualMachine.events`."""
        told, self.told = self.told, []
        return told

    def quit(self) -> None:
        """See :meth:`VirtualMachine.quit`."""
        self.at_quit()


class FakeTestbed(Testbed):
    """See the module.

    :param folder: takes the logs, empty at first.
    :ivar stub: the backend, as what it is.
    :ivar qemu: the virtual machine, as what it is.
    :ivar used: what QEMU holds, look by look; then what it held at the last one.
    :ivar said: what the guest's agent answers to an order.
    """

    def __init__(self, folder: Path, scheme: str = "default") -> None:
        nothing = cast("Any", None)
        super().__init__(SCHEMES[scheme], nothing, nothing, folder, OPTIONS)
        self.runtime = folder
        self.socket.touch()
        self.stub = self.backend = FakeStub(Endpoint(self.socket, True, folder, folder), self.waiter)
        self.qemu = FakeVm(folder)
        self.vm = cast("Vm", self.qemu)
        self.used = [USAGE]
        self.said: dict[str, str] = {}
        self.ordered: list[str] = []

    def power_on(self, deadline: Deadline, meanwhile: Callable[[], None] = lambda: None) -> None:
        """See :meth:`Testbed.power_on`."""
        meanwhile()

    @property
    def usage(self) -> ResourceUsage:
        """See :attr:`Testbed.usage`."""
        return self.used.pop(0) if len(self.used) > 1 else self.used[0]

    def order(self, verb: str, *words: object, deadline: Deadline) -> str:
        """See :meth:`Testbed.order`."""
        self.ordered.append(verb)
        return self.said.get(verb, "")
