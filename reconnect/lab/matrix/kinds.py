"""Which case is told by which module."""

from __future__ import annotations

from reconnect.lab.matrix.cases import FUZZ, MANY, WEDGE, Case
from reconnect.lab.matrix.dimm import Dimm
from reconnect.lab.matrix.disturb import Disturb
from reconnect.lab.matrix.fresh import Boot, Quit, Startup
from reconnect.lab.matrix.fuzz_case import FuzzCase
from reconnect.lab.matrix.hotplug import HotPlug
from reconnect.lab.matrix.many import Many
from reconnect.lab.matrix.matrix_case import MatrixCase
from reconnect.lab.matrix.migrate import Migrate
from reconnect.lab.matrix.queues import Queues
from reconnect.lab.matrix.testbed import Testbed
from reconnect.lab.matrix.unload import Unload
from reconnect.lab.matrix.wedge import Wedge

CASES_BY_PHASE: dict[str, type[MatrixCase]] = {
    "startup": Startup,
    "boot": Boot,
    "quit": Quit,
    "hot-plug": HotPlug,
    "memory": Dimm,
    "migrate": Migrate,
    "queues": Queues,
    "unload": Unload,
}
"""By phase, where it takes more than a rule at a running guest."""

CASES_BY_KIND: dict[str, type[MatrixCase]] = {MANY: Many, WEDGE: Wedge}
"""By kind, whatever the phase."""


def matrix_case_for(case: Case, testbed: Testbed) -> MatrixCase:
    """A case on a testbed, not begun."""
    if case.kind == FUZZ:
        return FuzzCase(case, testbed, matrix_case_for)
    by_phase = CASES_BY_PHASE.get(case.phase, Disturb)
    return CASES_BY_KIND.get(case.kind, by_phase)(case, testbed)
