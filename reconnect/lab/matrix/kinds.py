"""Which entry is told by which module."""

from __future__ import annotations

from reconnect.lab.matrix.attempt import Attempt
from reconnect.lab.matrix.dimm import Dimm
from reconnect.lab.matrix.entries import FUZZ, WEDGE, Entry
from reconnect.lab.matrix.hotplug import HotPlug
from reconnect.lab.matrix.lane import Lane
from reconnect.lab.matrix.migrate import Migrate
from reconnect.lab.matrix.queues import Queues
from reconnect.lab.matrix.unload import Unload
from reconnect.lab.matrix.walk import Walk
from reconnect.lab.matrix.wedge import Wedge

ATTEMPTS: dict[str, type[Attempt]] = {
    "hot-plug": HotPlug,
    "memory": Dimm,
    "migrate": Migrate,
    "queues": Queues,
    "unload": Unload,
}
"""By moment, where it takes more than a rule."""


def attempt_for(entry: Entry, lane: Lane) -> Attempt:
    """An entry on a lane, not begun."""
    if entry.kind == FUZZ:
        return Walk(entry, lane, attempt_for)
    if entry.kind == WEDGE:
        return Wedge(entry, lane)
    return ATTEMPTS.get(entry.moment, Attempt)(entry, lane)
