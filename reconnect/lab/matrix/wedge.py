"""``wedge:WORD@reconnect``: the backend hangs before it accepts, and QEMU and the guest are kept busy meanwhile.

The stub is stopped (SIGSTOP) when it has hung up. QEMU connects, as the kernel lets it, and asks. Until the answer
the backend is as good as absent: the monitor and the guest must be served, a migration begun, and QEMU must send
nothing but its question, whatever is done:

============  ========================================================================================================
``commands``  ``migrate``, ``set_link off`` and ``on``, ``stop`` and ``cont``; the guest loads its driver anew
``reboot``    ``system_reset``
============  ========================================================================================================
"""

from __future__ import annotations

import signal

from reconnect.kit.deadline import Deadline
from reconnect.lab.matrix.disturb import ACTIONS
from reconnect.lab.matrix.matrix_case import STEADY, MatrixCase, NotHere
from reconnect.lab.matrix.unload import LOAD_SECONDS
from reconnect.lab.process.failure import CellError, CellFailed
from reconnect.lab.process.stages import SocketWatch
from reconnect.lab.qemu.qmp import CommandRefused
from reconnect.lab.stub.script import Script

CONNECTED = "NETDEV_VHOST_USER_CONNECTED"
QUESTION = "GET_FEATURES"
"""Also what the handshake begins with."""


class Wedge(MatrixCase):
    """A case of this kind."""

    def _carry_out(self) -> None:
        testbed = self.testbed
        if testbed.qemu_listens:
            raise NotHere("QEMU listens: it does not connect to a backend that hangs")
        self._before()
        resumed = self._while_it_hangs()
        slow = self.case.variant == "reboot"
        deadline = Deadline(testbed.options.boot if slow else testbed.options.recovery)
        ready = self._wait(lambda: self._ready(resumed), deadline, "the rings to run again")
        before = testbed.reset_probe_record()
        self._wait(lambda: testbed.vm.record.streak >= STEADY, deadline, "probes to be answered again")
        if not slow:
            self._measure(before, ready)
        self._check_question()
        self._check_connections(self._expected_connections())
        self._check_health()

    def _while_it_hangs(self) -> float:
        """Do what the variant says; returns when the backend went on."""
        testbed, backend = self.testbed, self.testbed.backend
        watch = SocketWatch(testbed.socket, testbed.waiter)
        try:
            deadline = Deadline(testbed.options.recovery)
            self.mark = backend.load(Script(hang_up=True), deadline)
            testbed.waiter.wait(lambda: backend.events.of("closed", self.mark), deadline, "the stub to hang up")
            # QEMU pauses for a second before it connects again.
            backend.send(signal.SIGSTOP)
            testbed.waiter.wait(
                lambda: watch.connected, deadline, "QEMU to connect to a backend that hangs", CellFailed
            )
            # What is older comes in with an answer.
            self._status()
            testbed.vm.events()
            self._act()
            if watch.accepted:
                raise CellError("the backend accepted a connection before it could be stopped")
        finally:
            watch.close()
            resumed = backend.send(signal.SIGCONT)
        return resumed

    def _act(self) -> None:
        if self.case.variant == "reboot":
            self._do("reboot")
            return
        self._must_migrate()
        self._do("set-link")
        self._do("stop-cont")
        self.testbed.order("reload", deadline=Deadline(LOAD_SECONDS))
        self._status()
        if any(event["event"] == CONNECTED for event in self.testbed.vm.events()):
            raise CellFailed(f"QEMU sent {CONNECTED} before its backend had answered")

    def _do(self, action: str) -> None:
        for command, arguments in ACTIONS[action]:
            self._monitor(command, arguments)

    def _must_migrate(self) -> None:
        """A migration begins; it is not needed any further."""
        try:
            self._monitor("migrate", {"uri": "exec:cat >/dev/null"})
        except CommandRefused as refused:
            raise CellFailed(f"QEMU refused a migration before its backend had answered: {refused.what}") from refused
        self._monitor("migrate_cancel", {})

    def _check_question(self) -> None:
        """What came in while the stub hung is read when it goes on: the question, and then the handshake."""
        names = [event["name"] for event in self.testbed.backend.events.of("message", self.mark)]
        if names[:2] != [QUESTION, QUESTION]:
            raise CellFailed(
                f"QEMU sent {', '.join(names[:4])} instead of one question and a handshake after its answer"
            )
