"""How long a cell takes, roughly: what shards are balanced by. Estimates for two processors under TCG."""

from __future__ import annotations

from reconnect.lab.backends.known import BackendSpec
from reconnect.lab.backends.ovs import Ovs
from reconnect.lab.cell import Cell
from reconnect.lab.faults import FAULTS
from reconnect.lab.matrix.cases import Case, is_case
from reconnect.lab.schemes import QEMU, SCHEMES

CELL_SECONDS = 12.0
LIBVIRT_SECONDS = 3.0
OVS_SECONDS = 4.0
DEAD_SECONDS = 8.0
"""A network that is to be dead is watched for ten seconds; one that comes back needs two."""

CASE_SECONDS = 4.0
BOOT_SECONDS = 10.0
"""What a case takes longer that boots a guest of its own, or boots its guest again."""
BOOTING = ("boot", "reboot", "quit")


def seconds_of(cell: Cell) -> float:
    """Expected seconds of a cell, its guest's boot included; cases of the matrix share theirs."""
    if is_case(cell.fault):
        return CASE_SECONDS + (BOOT_SECONDS if Case.parse(cell.fault).phase in BOOTING else 0.0)
    return (
        CELL_SECONDS
        + FAULTS[cell.fault].hold
        + (LIBVIRT_SECONDS if cell.launcher != QEMU else 0.0)
        + (OVS_SECONDS if BackendSpec.parse(cell.backend).name == Ovs.name else 0.0)
        + (DEAD_SECONDS if SCHEMES[cell.scheme].expected == "dead" else 0.0)
    )
