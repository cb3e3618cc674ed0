"""A cell from the restart of its backend on: the network comes back, or stays dead."""

from __future__ import annotations

import signal
import threading

from reconnect.kit.deadline import Deadline
from reconnect.lab.boot import Booted
from reconnect.lab.measure import stage_times
from reconnect.lab.process.failure import CellError, CellFailed
from reconnect.lab.process.stages import SocketWatch, StageTimes
from reconnect.lab.qemu import stall_check
from reconnect.lab.qemu.usage import ResourceUsage, usage_of


class Recovery:
    """What comes of a backend that is started again, which making this does. What was seen stays readable after.

    :param watch: of the vhost-user socket, since before the restart.
    :raises CellError: the old backend isn't gone.
    :ivar end_of_outage: what QEMU held then; None before.
    :ivar monitor_ms: the slowest answer of QEMU's monitor while the backend was held; None where it was not.
    """

    def __init__(self, booted: Booted, watch: SocketWatch) -> None:
        self.end_of_outage: ResourceUsage | None = None
        self.monitor_ms: float | None = None
        self._booted = booted
        self._watch = watch
        self._resumed: float | None = None
        # By now the lab has seen a run of probes go unanswered: an answer from here on is the recovery's.
        self._answered = len(booted.record.answered)
        self._restarted = booted.backend.launch()

    def hold(self, seconds: float) -> None:
        """Stop the backend's new process as soon as it listens, and let it go on a while after QEMU has connected.

        :raises CellFailed: QEMU does not connect.
        :raises CellError: the backend did not listen, or was not stopped in time; QEMU's monitor gave no answer.
        """
        booted, watch, deadline = self._booted, self._watch, Deadline(self._booted.options.fault)
        backend, waiter = booted.backend, booted.waiter
        waiter.wait(lambda: watch.listening, deadline, "the backend to listen again")
        backend.send(signal.SIGSTOP)

        def resume() -> None:
            try:
                self._resumed = backend.send(signal.SIGCONT)
            except Exception as error:  # noqa: BLE001  # a thread: whoever waits is told
                waiter.report("the timer that lets the backend go on", error)

        # In a thread: a QEMU that waits for its backend answers nobody before that goes on.
        timer = threading.Timer(seconds, resume)
        try:
            waiter.wait(lambda: watch.connected, deadline, "QEMU to connect to a backend that hangs", CellFailed)
            if watch.accepted:
                raise CellError("the backend accepted a connection before it could be stopped")
            timer.start()
            over = Deadline(booted.options.fault)
            self.monitor_ms = stall_check.slowest_answer(booted.vm, waiter, lambda: self._resumed is not None, over)
        finally:
            timer.cancel()

    def require_dead(self) -> None:
        """Watch a network that must stay dead, for the whole time after the backend listens again.

        :raises CellFailed: it came back.
        :raises CellError: the backend did not listen, or the guest hangs: then nothing was shown.
        """
        booted, options = self._booted, self._booted.options
        record, watch = booted.record, self._watch
        booted.waiter.wait(lambda: watch.listening, Deadline(options.recovery), "the backend to listen again")
        sent = record.last_sent

        def still_dead() -> None:
            if len(record.answered) > self._answered:
                raise CellFailed("the network came back, though nothing in this scheme could bring it back")

        with booted.waiter.guard(still_dead):
            booted.waiter.sleep(Deadline(options.dead))
        self.end_of_outage = usage_of(booted.vm)
        # A guest that hangs answers nothing either: only one that goes on probing shows that its network is dead.
        expected = options.dead * 1e6 / options.interval_us
        if record.last_sent - sent < expected / 2:
            raise CellError(f"the guest sent {record.last_sent - sent} probes where {expected:.0f} were due: it hangs")

    def require_recovery(self) -> None:
        """Wait until probes are answered steadily again.

        :raises CellFailed: they are not, or QEMU needed more than one connection, or it stalled the guest meanwhile.
        """
        booted = self._booted
        record, deadline = booted.record, Deadline(booted.options.recovery)
        answered = self._answered
        try:
            booted.waiter.wait(lambda: len(record.answered) > answered, deadline, "a probe to be answered", CellFailed)
        except CellFailed as failed:
            raise CellFailed(f"the network did not come back: {failed.what} ({self._reached()})") from failed
        self.end_of_outage = usage_of(booted.vm)
        booted.wait_steady(deadline, answered, "probes to be answered steadily again", CellFailed)
        if self.monitor_ms is not None:
            stall_check.judge(self.monitor_ms, self.tx_gap_ms)
        if (made := booted.backend.connections()) != 1:
            raise CellFailed(f"QEMU and the restarted backend made {made} connections instead of 1")

    @property
    def tx_gap_ms(self) -> float:
        """The longest time for which the guest sent nothing, since the restart."""
        return self._booted.record.tx_gap_ms(self._restarted)

    @property
    def stages(self) -> StageTimes:
        """When each stage was reached, so far."""
        watch, handshake = self._watch, self._booted.backend.handshake()
        times = (self._restarted, watch.listening, watch.connected, watch.accepted, handshake)
        return stage_times(self._booted.record, StageTimes(*times, resumed=self._resumed))

    def _reached(self) -> str:
        """The last stage that was reached, for a network that did not come back."""
        reached = [name for name, at in self.stages.milliseconds().items() if at is not None]
        link = {True: "up", False: "down", None: "unknown"}[self._booted.record.link_up]
        return f"reached: {', '.join(reached) or 'nothing'}; the guest's link is {link}"
