"""One case of the matrix on a testbed: a script is loaded, its phase comes, its rule is carried out, all is well again.

What "well" is: QEMU lives and its monitor answers; the rings run on a connection that was made after the rule was
carried out; the guest's probes are answered; QEMU broke no rule of the protocol; the guest's driver complained of
nothing; no more connections were made than it takes; QEMU's log did not flood.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from reconnect.kit.deadline import Deadline
from reconnect.lab.matrix.cases import GONE, RECONNECTING, REHEARSE, SPIN, WEDGE, Case
from reconnect.lab.matrix.testbed import Testbed
from reconnect.lab.probe.log import ProbeRecord
from reconnect.lab.process.failure import CellEnded, CellError, CellFailed
from reconnect.lab.process.lines import tail_of
from reconnect.lab.stub.script import Script
from reconnect.report.results import CellResult

T = TypeVar("T")

MONITOR_SECONDS = 15.0
STEADY = 10
"""So many probes in a row: a fifth of a second."""

GONE_LONG = 75
"""So many lost probes in a row are a second and a half: QEMU has tried once more, and the guest, which looks at
its links at most once a second, has seen that this one is down."""

FLOOD, LINES = 50, 8
"""Lines of QEMU's log that one case may take, and those that a connection may take on top."""

GONE_SECONDS = 1.0
"""How long a backend that refuses or is stuck is left so."""

LIFE_SECONDS = 0.3
"""How long a backend lives that is restarted again and again: QEMU waits longer and longer for one that dies as soon
as it is given the rings."""

SPIN_SECONDS = 3.0
SPIN_CONNECTIONS = 4
"""One each second, one more at either end."""

COMPLAINTS = ("is not a head", "out of range", "Unexpected TXQ", "Kernel panic", "BUG:", "Oops", "Call Trace")
"""What the guest says when its rings hold nonsense."""


class NotHere(CellEnded):
    """There is nothing to show here."""

    verdict = "skip"


class NotSent(NotHere):
    """QEMU does not send the message at this phase: there is nothing to cut."""


class MatrixCase(abc.ABC):
    """A case under way.

    :param testbed: with a running guest; for the phase ``startup`` with no QEMU yet.
    :ivar mark: from which event on, of the stub's present incarnation, the case waits for what has to come. It moves
        on with the case: the protocol's rules are judged apart from it.
    """

    def __init__(self, case: Case, testbed: Testbed) -> None:
        self.case = case
        self.testbed = testbed
        self.mark = 0
        self.outage_ms: float | None = None
        self.recovery_ms: float | None = None
        self.tx_gap_ms: float | None = None
        self.monitor_ms: float | None = None
        self.connections = self.probes_sent = self.probes_lost = 0
        self._console = self._log = 0

    def run(self) -> None:
        """The case; and QEMU must have broken no rule of the protocol in it, even where there was nothing to show.

        :raises CellEnded: it went wrong, or there was nothing to do.
        """
        try:
            self._carry_out()
        except NotHere:
            self._check_rules()
            raise
        self._check_rules()

    @abc.abstractmethod
    def _carry_out(self) -> None:
        """What makes up the case.

        :raises CellEnded: see :meth:`run`.
        """

    def filled(self, result: CellResult) -> CellResult:
        """The result with what was measured."""
        return replace(
            result,
            outage_ms=self.outage_ms,
            recovery_ms=self.recovery_ms,
            connections=self.connections,
            probes_sent=self.probes_sent,
            probes_lost=self.probes_lost,
            tx_gap_ms=self.tx_gap_ms,
            monitor_ms=self.monitor_ms,
        )

    def _restore(self) -> None:
        """Make the backend good again, where the case leaves that to us."""
        testbed, kind = self.testbed, self.case.kind
        if kind == GONE:
            testbed.waiter.sleep(Deadline(GONE_SECONDS))
            testbed.backend.load(Script(hang_up=True), Deadline(MONITOR_SECONDS))
        elif kind == SPIN:
            testbed.waiter.sleep(Deadline(SPIN_SECONDS))
            made = len(self._connections())
            # Where QEMU listens, it is the stub that tries again, as fast as it likes.
            if made > SPIN_CONNECTIONS and not testbed.qemu_listens:
                raise CellFailed(f"QEMU spins: {made} connections in {SPIN_SECONDS:.0f} s")
            testbed.backend.load(Script(), Deadline(MONITOR_SECONDS))

    def _measure(self, before: ProbeRecord, ready: float) -> None:
        """Take the figures.

        :param before: the probes up to the recovery.
        :param ready: when the rings ran again.
        """
        record = self.testbed.vm.record
        last = max((before.host_time(at) for at in before.answered.values()), default=None)
        first = min(record.host_time(at) for at in record.answered.values())
        self.outage_ms = None if last is None else round(max(0.0, first - last) * 1000, 1)
        self.recovery_ms = round(max(0.0, first - ready) * 1000, 1)
        self.probes_sent = len(before.sent)
        self.probes_lost = len(before.sent) - len(before.answered)

    def _check_health(self) -> None:
        """The guest runs, and nobody complains."""
        status = self._status()
        if status != "running":
            raise CellFailed(f"QEMU's monitor says that the guest is not running: {status}")
        self._check_log()
        self._check_console()

    def _before(self) -> None:
        """Remember what the logs hold; and all must be well."""
        testbed = self.testbed
        self._console, self._log = (
            len(tail_of(testbed.vm.arguments.console, 10**6)),
            len(tail_of(testbed.vm.log, 10**6)),
        )
        testbed.reset_probe_record()
        testbed.wait_steady(3, Deadline(testbed.options.fault), "probes to be answered before the case", CellError)

    def _status(self) -> str:
        """What query-status says: ``running``, ``postmigrate`` and so on."""
        status = self._monitor("query-status", {})
        return str(status.get("status")) if isinstance(status, dict) else str(status)

    def _monitor(self, command: str, arguments: dict[str, object]) -> object:
        return self.testbed.vm.execute(command, Deadline(MONITOR_SECONDS), **arguments)

    def _wait(self, condition: Callable[[], T | None], deadline: Deadline, what: str) -> T:
        """Wait; where that is in vain, tell what has happened so far.

        :raises CellFailed: it was in vain.
        """
        try:
            return self.testbed.waiter.wait(condition, deadline, what, CellFailed)
        except CellFailed as failed:
            raise CellFailed(f"{failed.what} ({self._story()})", failed.details) from failed

    def _wait_long(self, deadline: Deadline) -> None:
        """Wait until the backend has been gone for long."""
        vm = self.testbed.vm
        what = "the guest to see that its link is down"
        # Not seen yet is not down.
        self._wait(lambda: vm.record.unanswered_in_a_row() >= GONE_LONG and vm.record.link_up is False, deadline, what)

    def _must_have_triggered(self) -> None:
        rule = self.case.rule
        if rule is not None and not self.testbed.backend.events.of("triggered", self.mark):
            raise NotSent(f"QEMU does not send {rule.message} ({rule.occurrence}) at this phase")

    def _ready(self, since: float) -> float | None:
        """When the rings ran again after an instant, on a connection that is still there."""
        events = self.testbed.backend.events
        closed = {event["connection"] for event in events.of("closed", self.mark)}
        found = [e for e in events.of("ready", self.mark) if e["t"] > since and e["connection"] not in closed]
        return float(found[-1]["t"]) if found else None

    def _connections(self) -> list[int]:
        made = [event["connection"] for event in self.testbed.backend.events.of("connected", self.mark)]
        self.connections = len(made)
        return made

    def _expected_connections(self) -> int:
        """One for each that was closed, that which was hung up for the phase's sake included.

        A backend that is no good may have been given up already, and QEMU be connected again, when it is killed.
        """
        extra = {REHEARSE: 0, WEDGE: 0, SPIN: SPIN_CONNECTIONS, GONE: 2}.get(self.case.kind, 1)
        return (self.case.phase in RECONNECTING) + extra

    def _check_connections(self, most: int) -> None:
        made = len(self._connections())
        if made > most and not (self.case.kind == SPIN and self.testbed.qemu_listens):
            raise CellFailed(f"QEMU made {made} connections where {most} would do")

    def _check_rules(self) -> None:
        """Judge all that was not judged yet: also what came after the last case, and before the backend was killed."""
        testbed = self.testbed
        start, testbed.judged = testbed.judged, testbed.backend.seen
        if broken := testbed.backend.broken_rules(start):
            raise CellFailed(f"QEMU broke a rule of the protocol: {broken[0]}", broken)

    def _check_log(self) -> None:
        said = tail_of(self.testbed.vm.log, 10**6)[self._log :]
        if len(said) > FLOOD + LINES * len(self._connections()):
            raise CellFailed(f"QEMU wrote {len(said)} lines to its log", said[:20])

    def _check_console(self) -> None:
        said = tail_of(self.testbed.vm.arguments.console, 10**6)[self._console :]
        wrong = [line for line in said if any(words in line for words in COMPLAINTS)]
        if wrong:
            raise CellFailed(f"the guest complains: {wrong[0]}", wrong)

    def _story(self) -> str:
        """What has happened so far, for a message."""
        events = self.testbed.backend.events
        triggered = "the rule was carried out" if events.of("triggered", self.mark) else "the rule was not carried out"
        heard = events.of("message", self.mark)
        last = f"last message {heard[-1]['name']} on connection {heard[-1]['connection']}" if heard else "no message"
        return f"{triggered}, {len(self._connections())} connections since, {last}"
