"""The phase ``unload``: the guest unloads its card's driver and loads it again.

``away@unload`` lets it load another one while there is no backend: its virtio transport speaks as virtio 0.9 did, so
that it accepts other features than before (without VERSION_1). Those must reach the backend when it is back, and not
those of the time before.
"""

from __future__ import annotations

from reconnect.kit.deadline import Deadline
from reconnect.lab.matrix.cases import AWAY
from reconnect.lab.matrix.disturb import Disturb
from reconnect.lab.matrix.matrix_case import MONITOR_SECONDS, STEADY
from reconnect.lab.process.failure import CellError, CellFailed
from reconnect.lab.stub.protocol import Feature, has
from reconnect.lab.stub.script import Script

COMPARED = (Feature.VERSION_1, Feature.NET_MRG_RXBUF, Feature.RING_INDIRECT_DESC)
"""Features that the guest's driver decides on and the backend must know of."""

LOAD_SECONDS = 30.0


class Unload(Disturb):
    """A case of this phase."""

    def _carry_out(self) -> None:
        if self.case.kind == AWAY:
            self._away()
        else:
            super()._carry_out()
            self._check_features()

    def _act(self) -> None:
        self.testbed.order("reload", deadline=Deadline(LOAD_SECONDS))

    def _away(self) -> None:
        testbed = self.testbed
        self._before()
        self.mark = testbed.backend.load(self.case.script, Deadline(MONITOR_SECONDS))
        testbed.order("transport", 1, deadline=Deadline(LOAD_SECONDS))
        testbed.backend.load(Script(), Deadline(MONITOR_SECONDS))
        self._steady_again()
        if has(self._check_features(), Feature.VERSION_1):
            raise CellError("the guest's driver still speaks virtio 1: there is nothing to see")
        # The other way round, with the backend there; and the next case finds the guest as it was.
        testbed.order("transport", 0, deadline=Deadline(LOAD_SECONDS))
        self._steady_again()
        self._check_features()
        self._check_health()

    def _steady_again(self) -> None:
        testbed, deadline = self.testbed, Deadline(self.testbed.options.recovery)
        self._wait(lambda: self._ready(0.0), deadline, "the rings to run again")
        testbed.reset_probe_record()
        self._wait(lambda: testbed.vm.record.streak >= STEADY, deadline, "probes to be answered again")

    def _check_features(self) -> int:
        """The backend must have been told what the guest's driver has accepted; returns that."""
        said = self.testbed.order("features", deadline=Deadline(MONITOR_SECONDS))
        accepted = int(said[::-1], 2)
        told = self.testbed.backend.events.of("message", name="SET_FEATURES")[-1]["value"]
        wrong = [bit.name for bit in COMPARED if has(accepted, bit) != has(told, bit)]
        if wrong:
            raise CellFailed(
                f"the guest's features are {accepted:#x}, the backend was told {told:#x}: {', '.join(wrong)}"
            )
        return accepted
