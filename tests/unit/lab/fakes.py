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
from reconnect.lab.qemu.qmp import CommandRefused, Data
from reconnect.lab.qemu.usage import ResourceUsage
from reconnect.lab.qemu.vm import Vm
from reconnect.lab.schemes import SCHEMES
from reconnect.lab.stub.script import ANY, Script

OPTIONS = Options(boot=0.05, fault=0.05, recovery=0.05, dead=0.05)
"""What does not come is given up at once: the fakes act before a wait begins."""

USAGE = ResourceUsage(fds=40, threads=3, rss_kib=90_000, anonymous_kib=30_000, cpu=1.0, at=0.0)


class FakeStub(Stub):
    """A stub that is no process.

    :ivar react: what QEMU does when a script is loaded; ``started`` the same for a new incarnation, and ``signalled``
        when the process is sent a signal.
    :ivar network: is told that there is a connection, or none.
    :ivar told: the features that QEMU sends.
    """

    def __init__(self, place: Endpoint, waiter: Waiter) -> None:
        super().__init__(place, waiter)
        self.strict = False
        self.react: Callable[[Script], None] = self.good
        self.started: Callable[[], None] = self.connect
        self.signalled: Callable[[signal.Signals], None] = lambda _: None
        self.network: Callable[[bool], None] = lambda _: None
        self.told = 0
        self.open = False
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
        made = self._made
        self.say("connected", connection=made)
        for number in (1, 2):
            self.say("message", name="GET_FEATURES", n=number, connection=made)
        for number in (1, 2):
            self.say("message", name="SET_VRING_CALL", n=number, connection=made)
        self.say("message", name="SET_FEATURES", n=1, connection=made, value=self.told)
        for ring in range(rings):
            self.say("ring", ring=ring, connection=made)
        self.ready()
        self.open = True
        self.network(True)

    def ready(self) -> None:
        """The rings of the connection run."""
        self.say("ready", connection=self._made)

    def hang_up(self) -> None:
        """The connection ends, where there is one."""
        if self.open:
            self.say("closed", connection=self._made, by="script")
            self.open = False
            self.network(False)

    def good(self, script: Script) -> None:
        """What a good QEMU does: it sends what the rules are for, and connects again, unless each connection is cut."""
        if script.hang_up:
            self.hang_up()
        for rule in script.rules:
            self.say("triggered", rule=str(rule), connection=self._made)
            self.hang_up()
        if any(rule.connection == ANY for rule in script.rules):
            self.try_in_vain()
        elif not self.open:
            self.connect()

    def try_in_vain(self) -> None:
        """QEMU connects, and that connection ends at once."""
        self._made += 1
        self.say("connected", connection=self._made)
        self.say("closed", connection=self._made, by="script")

    def start(self, deadline: Deadline) -> float:
        """See :meth:`Backend.start`."""
        self._incarnations.append(_Incarnation(cast("Child", None), cast("LineReader", None), Events()))
        self.say("listening")
        self.open = False
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
        at = time.monotonic()
        self.signalled(number)
        return at

    def check(self) -> None:
        """It never ends by itself."""

    def close(self) -> None:
        """There is nothing to end."""


class FakeVm:
    """QEMU and its guest.

    :ivar answers: by command of the monitor: its answer, an exception, or what makes it of the arguments.
    :ivar coming: data of the events that are waited for, by name, one after the other; the last one comes again.
    :ivar told: events that came beside answers.
    :ivar network: whether probes are answered from now on.
    """

    def __init__(self, folder: Path) -> None:
        self.arguments = SimpleNamespace(console=folder / "console.log", memory_dir=folder)
        self.log = folder / "qemu.log"
        self.process = SimpleNamespace(pid=os.getpid())
        self.agent = SimpleNamespace(ready=True)
        self.probe = SimpleNamespace(record=ProbeRecord())
        self.answers: dict[str, Any] = {"query-status": {"status": "running"}}
        self.asked: list[str] = []
        self.coming: dict[str, list[Data]] = {}
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
        coming = self.coming[name]
        data = coming.pop(0) if len(coming) > 1 else coming[0]
        assert wanted(data)
        return data

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
    :ivar tells_link: whether the guest sees that its link is up or down.
    """

    def __init__(self, folder: Path, scheme: str = "default") -> None:
        nothing = cast("Any", None)
        super().__init__(SCHEMES[scheme], nothing, nothing, folder, OPTIONS)
        folder.mkdir(parents=True, exist_ok=True)
        self.runtime = folder
        self.socket.touch()
        self.stub = self.backend = FakeStub(Endpoint(self.socket, True, folder, folder), self.waiter)
        self.qemu = FakeVm(folder)
        self.vm = cast("Vm", self.qemu)
        self.used = [USAGE]
        self.said = {"memory": "MemTotal: 250000", "features": "1"}
        self.stub.told = 1
        self.tells_link = True
        self.stub.network = self._network
        self.qemu.at_quit = self.stub.hang_up
        self.qemu.answers |= {"set_link": self._set_link, "cont": self._rings, "system_reset": self._rings}

    def _network(self, there: bool) -> None:
        self.qemu.network = there
        if self.tells_link:
            self.qemu.carrier("up" if there else "down")

    def _rings(self, **_: object) -> object:
        """The rings of the connection that is there run again."""
        if self.stub.open:
            self.stub.ready()
        return {}

    def _set_link(self, name: str, up: bool) -> object:
        return self._rings() if up else {}

    def hot_plug(self) -> None:
        """All of QEMU's part in plugging, unplugging and migrating, as often as it is asked for."""
        without = CommandRefused("its backend is away")

        def migrate(**_: object) -> object:
            self.qemu.coming["MIGRATION"] = [{"status": "completed"}]
            if self.stub.open:
                self.stub.say("reply", name="SET_LOG_BASE")
            return {}

        def netdev_add(**_: object) -> object:
            if not self.stub.open:
                raise without
            return {}

        self.qemu.coming["DEVICE_DELETED"] = [{"device": "card"}]
        self.qemu.answers |= {"query-chardev": [], "migrate": migrate, "netdev_add": netdev_add}

    def __enter__(self) -> FakeTestbed:
        return self

    def power_on(self, deadline: Deadline, meanwhile: Callable[[], None] = lambda: None) -> None:
        """See :meth:`Testbed.power_on`: QEMU connects."""
        self.stub.hang_up()
        self.stub.connect()
        meanwhile()

    @property
    def usage(self) -> ResourceUsage:
        """See :attr:`Testbed.usage`."""
        return self.used.pop(0) if len(self.used) > 1 else self.used[0]

    def order(self, verb: str, *words: object, deadline: Deadline) -> str:
        """See :meth:`Testbed.order`."""
        return self.said.get(verb, "")
