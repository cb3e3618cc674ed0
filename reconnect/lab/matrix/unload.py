"""The moment ``unload``: the guest unloads its card's driver and loads it again.

``away@unload`` lets it load another one while there is no backend: its virtio transport speaks as virtio 0.9 did, so
that it accepts other features than before (without VERSION_1). Those must reach the backend when it is back, and not
those of the time before (REFERENCE B5).
"""

from __future__ import annotations

from reconnect.kit.deadline import Deadline
from reconnect.lab.matrix.attempt import MONITOR_SECONDS, STEADY, Attempt
from reconnect.lab.matrix.entries import AWAY
from reconnect.lab.process.failure import CellError, CellFailed
from reconnect.lab.stub.protocol import Feature, has
from reconnect.lab.stub.script import Script

COMPARED = (Feature.VERSION_1, Feature.NET_MRG_RXBUF, Feature.RING_INDIRECT_DESC)
"""Features that the guest's driver decides on and the backend must know of."""

LOAD_SECONDS = 30.0


class Unload(Attempt):
    """An entry of this moment."""

    def run(self) -> None:
        """See :meth:`Attempt.run`."""
        if self.entry.kind == AWAY:
            self._away()
        else:
            self._disturb()
            self._check_features()
        self._check_rules()

    def _act(self) -> None:
        self.lane.order("reload", deadline=Deadline(LOAD_SECONDS))

    def _away(self) -> None:
        lane = self.lane
        self._before()
        self.mark = lane.backend.load(self.entry.script, Deadline(MONITOR_SECONDS))
        lane.order("transport", 1, deadline=Deadline(LOAD_SECONDS))
        lane.backend.load(Script(), Deadline(MONITOR_SECONDS))
        self._steady_again()
        if has(self._check_features(), Feature.VERSION_1):
            raise CellError("the guest's driver still speaks virtio 1: there is nothing to see")
        # The other way round, with the backend there; and the next entry finds the guest as it was.
        lane.order("transport", 0, deadline=Deadline(LOAD_SECONDS))
        self._steady_again()
        self._check_features()
        self._check_health()

    def _steady_again(self) -> None:
        lane, deadline = self.lane, Deadline(self.lane.options.recovery)
        self._wait(lambda: self._ready(0.0), deadline, "the rings to run again")
        lane.forget_probes()
        self._wait(lambda: lane.vm.record.streak >= STEADY, deadline, "probes to be answered again")

    def _check_features(self) -> int:
        """The backend must have been told what the guest's driver has accepted; returns that."""
        said = self.lane.order("features", deadline=Deadline(MONITOR_SECONDS))
        accepted = int(said[::-1], 2)
        told = self.lane.backend.events.of("message", name="SET_FEATURES")[-1]["value"]
        wrong = [bit.name for bit in COMPARED if has(accepted, bit) != has(told, bit)]
        if wrong:
            raise CellFailed(
                f"the guest's features are {accepted:#x}, the backend was told {told:#x}: {', '.join(wrong)}"
            )
        return accepted
