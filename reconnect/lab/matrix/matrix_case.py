"""One case of the matrix on a testbed: a script is loaded, its phase comes, its rule is carried out, all is well again.

What "well" is: QEMU lives and its monitor answers; the rings run on a connection that was made after the rule was
carried out; the guest's probes are answered; QEMU broke no rule of the protocol; the guest's driver complained of
nothing; no more connections were made than it takes; QEMU's log did not flood.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from reconnect.kit.deadline import Deadline
from reconnect.lab.matrix.cases import (
    AWAY,
    CUT_SOMEWHERE,
    GONE,
    GREETED,
    HANG,
    MANY,
    REHEARSE,
    SPIN,
    WEDGE,
    Case,
)
from reconnect.lab.matrix.testbed import Testbed
from reconnect.lab.probe.log import ProbeRecord
from reconnect.lab.process.failure import CellEnded, CellError, CellFailed
from reconnect.lab.process.lines import tail_of
from reconnect.lab.qemu import stall_check
from reconnect.lab.qemu.usage import ResourceUsage
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

BOOTED = "init: probing"
"""What the guest's init says last."""

LATE_SECONDS = 0.3
GONE_SECONDS = 1.0
"""How long a backend that refuses or is stuck is left so."""

SPIN_SECONDS = 3.0
SPIN_CONNECTIONS = 4
"""One each second, one more at either end."""

SETTLED, THREADS, ANONYMOUS_KIB = 4, 2, 4096
"""Restarts before QEMU's size is taken, and what it may gain: idle workers of its pool come and go, and the
translator's buffer fills as the guest runs."""

COMPLAINTS = ("is not a head", "out of range", "Unexpected TXQ", "Kernel panic", "BUG:", "Oops", "Call Trace")
"""What the guest says when its rings hold nonsense."""

ACTIONS: dict[str, tuple[tuple[str, dict[str, object]], ...]] = {
    "set-link": (("set_link", {"name": "net", "up": False}), ("set_link", {"name": "net", "up": True})),
    "stop-cont": (("stop", {}), ("cont", {})),
    "reboot": (("system_reset", {}),),
}
"""What makes the phase, in commands of QEMU's monitor."""


class NotHere(CellEnded):
    """There is nothing to show here."""

    verdict = "skip"


class NotSent(NotHere):
    """QEMU does not send the message at this phase: there is nothing to cut."""


class MatrixCase:
    """An case under way.

    :param testbed: with a running guest; for the phase ``startup`` with no QEMU yet.
    :ivar mark: the number of the stub's events before the script was loaded.
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
        """The case.

        :raises CellEnded: it went wrong, or there was nothing to do.
        """
        if self.case.phase == "startup":
            self._startup()
        elif self.case.phase == "boot":
            self._boot()
        elif self.case.phase == "quit":
            self._quit()
        elif self.case.kind == MANY:
            self._many()
        else:
            self._disturb()
        self._check_rules()

    def _act(self) -> None:
        """Make the phase."""
        for command, arguments in ACTIONS.get(self.case.phase, ()):
            self._monitor(command, arguments)

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

    def _startup(self) -> None:
        """QEMU is started against the script."""
        testbed = self.testbed
        self.mark = testbed.backend.load(self.case.script, Deadline(MONITOR_SECONDS))
        testbed.power_on(Deadline(testbed.options.recovery), self._restore)
        # QEMU may go on before it notices that a connection is gone: the next one is as good.
        deadline = Deadline(testbed.options.recovery)
        what = "QEMU to greet its backend to the end"
        self._wait(self._greeted, deadline, what)
        if self.case.rule is not None and not testbed.backend.events.of("triggered", self.mark):
            # The last messages of a greeting come after what makes one.
            testbed.waiter.sleep(Deadline(LATE_SECONDS))
            self._must_have_triggered()
            self._wait(self._greeted, deadline, what)
        self._check_connections(1 + self._expected_connections())
        testbed.vm.execute("query-status", Deadline(MONITOR_SECONDS))
        self._check_log()
        testbed.vm.quit()

    def _boot(self) -> None:
        """A guest boots, with its backend or without."""
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
        testbed.vm.quit()

    def _console_has(self, words: str) -> bool:
        return any(words in line for line in tail_of(self.testbed.vm.arguments.console, 10**6))

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

    def _greeted(self) -> bool:
        """Whether the newest connection is still there and has had the last message of a greeting.

        That is the second ring's SET_VRING_CALL: what some QEMUs send after it does not matter.
        """
        events, made = self.testbed.backend.events, self._connections()
        last = made[-1] if made else 0
        closed = events.of("closed", self.mark, connection=last)
        return not closed and bool(events.of("message", self.mark, name="SET_VRING_CALL", n=2, connection=last))

    def _quit(self) -> None:
        """QEMU is told to quit against the script."""
        self.mark = self.testbed.backend.load(self.case.script, Deadline(MONITOR_SECONDS))
        self.testbed.vm.quit()
        self._must_have_triggered()

    def _many(self) -> None:
        """The backend is restarted again and again: nothing may grow."""
        testbed, loaded = self.testbed, Script(hang_up=True)
        self._before()
        self.mark = len(testbed.backend.events.all)
        first: ResourceUsage | None = None
        for number in range(self.case.count):
            mark = testbed.backend.load(loaded, Deadline(MONITOR_SECONDS))
            again = partial(testbed.backend.events.of, "ready", mark)
            testbed.waiter.wait(again, Deadline(testbed.options.recovery), f"restart {number + 1}", CellFailed)
            # The first ones may still fill a cache.
            first = testbed.usage if number == SETTLED else first
        self._check_connections(self.case.count)
        if first is not None:
            self._check_growth(first, testbed.usage)

    def _check_growth(self, first: ResourceUsage, last: ResourceUsage) -> None:
        grown = [
            f"{name} from {before} to {after}"
            for name, before, after, room in (
                ("descriptors", first.fds, last.fds, 0),
                ("threads", first.threads, last.threads, THREADS),
                ("private memory (KiB)", first.anonymous_kib, last.anonymous_kib, ANONYMOUS_KIB),
            )
            if after > before + room
        ]
        if grown:
            raise CellFailed(f"QEMU grew in {self.case.count} restarts: {', '.join(grown)}")

    def _disturb(self) -> None:
        """All the other phases."""
        testbed, case = self.testbed, self.case
        self._before()
        self.mark = testbed.backend.load(case.script, Deadline(MONITOR_SECONDS))
        self._act()
        slow = case.phase == "reboot"
        deadline = Deadline(testbed.options.boot if slow else testbed.options.recovery)
        since = self._triggered(deadline)
        if case.unanswered:
            self._watch_machine(since, deadline)
        elif case.kind == HANG:
            self._monitor("query-status", {})
        self._restore()
        ready = self._wait(lambda: self._ready(since), deadline, "the rings to run again")
        before = testbed.reset_probe_record()
        self._wait(lambda: testbed.vm.record.streak >= STEADY, deadline, "probes to be answered again")
        if not slow:
            self._measure(before, ready)
        self._check_connections(self._expected_connections())
        self._check_health()
        if self.monitor_ms is not None and self.tx_gap_ms is not None:
            stall_check.judge(self.monitor_ms, self.tx_gap_ms)
        if case.kind == REHEARSE:
            self._check_coverage()

    def _watch_machine(self, since: float, deadline: Deadline) -> None:
        """Look at the machine, until the rings run again, while its backend keeps silent since an instant."""
        vm = self.testbed.vm
        over = partial(self._ready, since)
        self.monitor_ms = stall_check.slowest_answer(vm, self.testbed.waiter, lambda: over() is not None, deadline)
        self.tx_gap_ms = vm.record.tx_gap_ms(since)

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

    def _triggered(self, deadline: Deadline) -> float:
        """Wait until the rule was carried out; returns when that was. A rehearsal has no rule: when it began.

        :raises NotSent: the rings run again, and it was not.
        """
        testbed = self.testbed
        if self.case.rule is None:
            return float(testbed.backend.events.all[self.mark]["t"])
        triggered = partial(testbed.backend.events.of, "triggered", self.mark)
        self._wait(lambda: triggered() or self._ready(0.0), deadline, "QEMU to send the message")
        # The last message of a start comes after the rings run: give it the time to come, and probes beyond those that
        # were answered before.
        answered = len(testbed.vm.record.answered)
        more = partial(self._answered_beyond, answered + STEADY)
        self._wait(lambda: triggered() or more(), deadline, "probes to be answered")
        self._must_have_triggered()
        return float(triggered()[0]["t"])

    def _answered_beyond(self, number: int) -> bool:
        return len(self.testbed.vm.record.answered) >= number

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
        self._wait(lambda: vm.record.unanswered_in_a_row() >= GONE_LONG and not vm.record.link_up, deadline, what)

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
        return (self.case.phase in GREETED) + extra

    def _check_connections(self, most: int) -> None:
        made = len(self._connections())
        if made > most and not (self.case.kind == SPIN and self.testbed.qemu_listens):
            raise CellFailed(f"QEMU made {made} connections where {most} would do")

    def _check_rules(self) -> None:
        broken = self.testbed.backend.broken_rules(self.mark)
        if broken:
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

    def _check_coverage(self) -> None:
        heard = {event["name"] for event in self.testbed.backend.events.of("message", self.mark)}
        uncut = sorted(heard - CUT_SOMEWHERE)
        if uncut:
            raise CellFailed(f"QEMU sends what no case cuts: {', '.join(uncut)}")

    def _story(self) -> str:
        """What has happened so far, for a message."""
        events = self.testbed.backend.events
        triggered = "the rule was carried out" if events.of("triggered", self.mark) else "the rule was not carried out"
        heard = events.of("message", self.mark)
        last = f"last message {heard[-1]['name']} on connection {heard[-1]['connection']}" if heard else "no message"
        return f"{triggered}, {len(self._connections())} connections since, {last}"
