"""A rule, or none, at a phase of a running guest: the rings run again afterwards, and nobody complains."""

from __future__ import annotations

from functools import partial

from reconnect.kit.deadline import Deadline
from reconnect.lab.matrix.cases import CUT_SOMEWHERE, HANG, REHEARSE
from reconnect.lab.matrix.matrix_case import MONITOR_SECONDS, STEADY, MatrixCase
from reconnect.lab.process.failure import CellFailed
from reconnect.lab.qemu import stall_check

ACTIONS: dict[str, tuple[tuple[str, dict[str, object]], ...]] = {
    "set-link": (("set_link", {"name": "net", "up": False}), ("set_link", {"name": "net", "up": True})),
    "stop-cont": (("stop", {}), ("cont", {})),
    "reboot": (("system_reset", {}),),
}
"""What makes the phase, in commands of QEMU's monitor."""


class Disturb(MatrixCase):
    """A case at a phase of a running guest."""

    def _carry_out(self) -> None:
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

    def _act(self) -> None:
        """Make the phase."""
        for command, arguments in ACTIONS.get(self.case.phase, ()):
            self._monitor(command, arguments)

    def _watch_machine(self, since: float, deadline: Deadline) -> None:
        """Look at the machine, until the rings run again, while its backend keeps silent since an instant."""
        vm = self.testbed.vm
        over = partial(self._ready, since)
        self.monitor_ms = stall_check.slowest_answer(vm, self.testbed.waiter, lambda: over() is not None, deadline)
        self.tx_gap_ms = vm.record.tx_gap_ms(since)

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

    def _check_coverage(self) -> None:
        heard = {event["name"] for event in self.testbed.backend.events.of("message", self.mark)}
        uncut = sorted(heard - CUT_SOMEWHERE)
        if uncut:
            raise CellFailed(f"QEMU sends what no case cuts: {', '.join(uncut)}")
