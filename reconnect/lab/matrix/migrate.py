"""The phase ``migrate``: the guest is sent to a destination that takes all and forgets it, and then goes on here.

Rules cut the connection at a message of the log's start or of the stop. ``dead:VARIANT@migrate`` needs no rule:

=============  ======================================================================================================
``crashed``    the backend dies, and ``migrate`` is asked for at once
``absent``     the same when the guest has been told that its link is down
``under-way``  the backend dies in the middle, and comes back: the migration may fail or be completed
=============  ======================================================================================================

A migration that is asked for without a backend must be completed; one that is asked for as it dies may fail, as QEMU
may try to begin its log. The guest goes on here. When the backend is back the next one must be completed.
"""

from __future__ import annotations

from reconnect.kit.deadline import Deadline
from reconnect.lab.faults import FAULTS
from reconnect.lab.matrix.cases import DEAD
from reconnect.lab.matrix.disturb import Disturb
from reconnect.lab.matrix.matrix_case import MONITOR_SECONDS, STEADY, NotSent
from reconnect.lab.probe.log import ProbeRecord
from reconnect.lab.process.failure import CellFailed
from reconnect.lab.qemu.qmp import CommandRefused

NOWHERE = "exec:cat >/dev/null"
COMPLETED, FAILED, CANCELLED = "completed", "failed", "cancelled"
MIGRATION_SECONDS = 60.0
SLOW, FAST = 2**20, 2**30
"""Bytes in a second."""

LOST = 5
LOOK_SECONDS = 0.05


class Migrate(Disturb):
    """A case of this phase."""

    def _carry_out(self) -> None:
        # Without it one would have to ask again and again how far it is.
        events = [{"capability": "events", "state": True}]
        self._monitor("migrate-set-capabilities", {"capabilities": events})
        self._speed(FAST)
        if self.case.kind == DEAD:
            self._before()
            (self._under_way if self.case.variant == "under-way" else self._dead)()
            self._check_health()
        else:
            super()._carry_out()

    def _act(self) -> None:
        ended, why = self._migrate()
        rule = self.case.rule
        triggered = self.testbed.backend.events.of("triggered", self.mark)
        if rule is not None and not triggered:
            self._go_on(ended)
            raise NotSent(f"QEMU does not send {rule.message} ({rule.occurrence}) in a migration")
        needed = ended
        if rule is None:
            needed = COMPLETED
        elif rule.message == "SET_LOG_BASE":
            # Nobody keeps a log where its start was not answered: the destination would have old memory.
            needed = FAILED
        if ended != needed:
            raise CellFailed(f"the migration was {ended} where it should have been {needed} ({why})")
        self._go_on(ended)

    def _migrate(self) -> tuple[str, str]:
        """Migrate; returns how that ended, and the error."""
        try:
            self._monitor("migrate", {"uri": NOWHERE})
        except CommandRefused as refused:
            return FAILED, refused.what
        return self._ended()

    def _ended(self) -> tuple[str, str]:
        final = (COMPLETED, FAILED, CANCELLED)
        deadline = Deadline(MIGRATION_SECONDS)
        ended = self.testbed.vm.event("MIGRATION", deadline, lambda data: data.get("status") in final)
        told = self._monitor("query-migrate", {})
        return str(ended["status"]), str(told.get("error-desc", "")) if isinstance(told, dict) else ""

    def _go_on(self, ended: str) -> None:
        """Let the guest run: one that was sent away stands still, one that was not must not."""
        deadline = Deadline(MONITOR_SECONDS)
        # QEMU tells of the end of a migration before it has come to its end, and of that not at all.
        while (status := self._status()) == "finish-migrate" and not deadline.passed:
            self.testbed.waiter.sleep(Deadline(LOOK_SECONDS))
        if ended == COMPLETED and status == "postmigrate":
            self._monitor("cont", {})
        elif status != "running":
            raise CellFailed(f"the migration was {ended}, and the guest is {status}")

    def _speed(self, limit: int) -> None:
        try:
            self._monitor("migrate-set-parameters", {"max-bandwidth": limit})
        except CommandRefused:
            # Before QEMU 2.8.
            self._monitor("migrate_set_speed", {"value": limit})

    def _dead(self) -> None:
        testbed = self.testbed
        deadline = Deadline(testbed.options.recovery)
        testbed.backend.inject(FAULTS["crash"], deadline)
        if self.case.variant == "absent":
            self._wait_long(deadline)
        ended, why = self._migrate()
        self._go_on(ended)
        if ended != COMPLETED and self.case.variant == "absent":
            raise CellFailed(f"a migration without a backend was {ended}")
        if ended == FAILED and not why:
            raise CellFailed("a migration without a backend has failed, and QEMU does not say why")
        self._back()
        ended, why = self._migrate()
        self._go_on(ended)
        if ended != COMPLETED:
            raise CellFailed(f"the migration after the recovery was {ended}: {why}")
        self._steady()

    def _under_way(self) -> None:
        testbed = self.testbed
        deadline = Deadline(testbed.options.recovery)
        self.mark = len(testbed.backend.events.all)
        self._speed(SLOW)
        self._monitor("migrate", {"uri": NOWHERE})
        self._wait(lambda: testbed.backend.events.of("reply", self.mark, name="SET_LOG_BASE"), deadline, "the log")
        testbed.backend.inject(FAULTS["crash"], deadline)
        self._back()
        self._speed(FAST)
        ended, _ = self._ended()
        self._go_on(ended)
        self._steady()

    def _back(self) -> None:
        """The backend is started again, and the guest's network comes back."""
        testbed = self.testbed
        deadline = Deadline(testbed.options.recovery)
        testbed.waiter.wait(
            lambda: testbed.vm.record.unanswered_in_a_row() >= LOST, deadline, "probes to be lost", CellFailed
        )
        before = testbed.reset_probe_record()
        testbed.backend.start(deadline)
        self.mark = 0
        ready = self._wait(lambda: self._ready(0.0), deadline, "the rings to run again")
        self._steady()
        self._measure(before, ready)

    def _steady(self) -> ProbeRecord:
        testbed = self.testbed
        old = testbed.reset_probe_record()
        deadline = Deadline(testbed.options.recovery)
        self._wait(lambda: testbed.vm.record.streak >= STEADY, deadline, "probes to be answered again")
        return old
