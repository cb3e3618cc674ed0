"""The phases ``startup``, ``boot`` and ``quit``: each case takes a QEMU of its own."""

from __future__ import annotations

from functools import partial

from reconnect.kit.deadline import Deadline
from reconnect.lab.matrix.cases import AWAY
from reconnect.lab.matrix.matrix_case import MONITOR_SECONDS, STEADY, MatrixCase
from reconnect.lab.process.failure import CellError
from reconnect.lab.process.lines import tail_of
from reconnect.lab.stub.script import Script

BOOTED = "init: probing"
"""What the guest's init says last."""

LATE_SECONDS = 0.3


SILENCING = ("stall", "truncate")
"""Actions after which the stub reads nothing more from a connection, and does not see its end."""


class _Fresh(MatrixCase):
    """A case with a QEMU of its own."""

    def _quit(self) -> None:
        """Let QEMU quit, and the stub read all that it has sent until then."""
        testbed, rule = self.testbed, self.case.rule
        testbed.vm.quit()
        if rule is None or rule.action not in SILENCING:
            what = "the stub to see the end of its connections"
            testbed.waiter.wait(lambda: not self._open(), Deadline(MONITOR_SECONDS), what)

    def _open(self) -> set[int]:
        events = self.testbed.backend.events
        made, closed = ({event["connection"] for event in events.of(kind)} for kind in ("connected", "closed"))
        return made - closed


class Startup(_Fresh):
    """QEMU is started against the script."""

    def _carry_out(self) -> None:
        testbed = self.testbed
        self.mark = testbed.backend.load(self.case.script, Deadline(MONITOR_SECONDS))
        testbed.power_on(Deadline(testbed.options.recovery), self._restore)
        # QEMU may go on before it notices that a connection is gone: the next one is as good.
        deadline = Deadline(testbed.options.recovery)
        what = "QEMU to greet its backend to the end"
        self._wait(self._greeted, deadline, what)
        if self.case.rule is not None and not testbed.backend.events.of("triggered", self.mark):
            # The last messages of a handshake come after what makes one.
            testbed.waiter.sleep(Deadline(LATE_SECONDS))
            self._must_have_triggered()
            self._wait(self._greeted, deadline, what)
        self._check_connections(1 + self._expected_connections())
        testbed.vm.execute("query-status", Deadline(MONITOR_SECONDS))
        self._check_log()
        self._quit()

    def _greeted(self) -> bool:
        """Whether the newest connection is still there and has had the last message of a handshake.

        That is the second ring's SET_VRING_CALL: what some QEMUs send after it does not matter.
        """
        events, made = self.testbed.backend.events, self._connections()
        last = made[-1] if made else 0
        closed = events.of("closed", self.mark, connection=last)
        return not closed and bool(events.of("message", self.mark, name="SET_VRING_CALL", n=2, connection=last))


class Boot(_Fresh):
    """A guest boots, with its backend or without."""

    def _carry_out(self) -> None:
        testbed, away = self.testbed, self.case.kind == AWAY
        deadline = Deadline(testbed.options.boot)
        testbed.power_on(deadline)
        self.mark = len(testbed.backend.events.all) if away else 0
        if away:
            testbed.backend.load(self.case.script, Deadline(MONITOR_SECONDS))
            booted = partial(self._console_has, BOOTED)
            # QEMU's attempts to connect, one a second, notify the waiter.
            testbed.waiter.wait(booted, deadline, "the guest to boot without its backend", CellError)
            testbed.backend.load(Script(), Deadline(MONITOR_SECONDS))
            deadline = Deadline(testbed.options.recovery)
        self._wait(lambda: self._ready(0.0), deadline, "the rings to run")
        self._wait(lambda: testbed.vm.record.streak >= STEADY, deadline, "probes to be answered")
        self._check_log()
        self._check_console()
        self._quit()

    def _console_has(self, words: str) -> bool:
        return any(words in line for line in tail_of(self.testbed.vm.arguments.console, 10**6))


class Quit(_Fresh):
    """QEMU is told to quit against the script."""

    def _carry_out(self) -> None:
        self.mark = self.testbed.backend.load(self.case.script, Deadline(MONITOR_SECONDS))
        self._quit()
        self._must_have_triggered()
