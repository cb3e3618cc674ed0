"""The phase ``queues``: QEMU shakes hands with a backend that has come back, and the guest's card has two queue pairs.

The guest has two processors, and its driver enables a pair for each. Its probe runs on the second one, so that each
packet goes through the second pair: an answer shows that this pair works, and all four rings must be started.
"""

from __future__ import annotations

from reconnect.lab.matrix.disturb import Disturb
from reconnect.lab.process.failure import CellFailed

RINGS = {0, 1, 2, 3}


class Queues(Disturb):
    """A case of this phase."""

    def _carry_out(self) -> None:
        super()._carry_out()
        events = self.testbed.backend.events
        last = events.of("connected", self.mark)[-1]["connection"]
        started = {event["ring"] for event in events.of("ring", self.mark, connection=last)}
        if started != RINGS:
            raise CellFailed(f"QEMU started the rings {sorted(started)} instead of all four")
