"""A seed's endless steps through the matrix: any cut of any message that the phase sends, at any phase of a guest."""

from __future__ import annotations

import random
from collections.abc import Iterator

from reconnect.lab.matrix.cases import CUT, CUTS, GONE, TABLE, Case
from reconnect.lab.stub.script import CLOSING, Rule

SECONDS = 300.0
"""How long one seed is followed."""

PHASES = ("reconnect", "set-link", "stop-cont", "unload", "migrate")
TABLED = ("reconnect", "set-link", "stop-cont", "reboot")
TABLE_SHARE = 0.1
"""At these the backend may also refuse the memory table, and does so in this share of the steps."""

REBOOT_SHARE = 0.04
"""A reboot takes as long as five of the others."""


def steps(seed: int) -> Iterator[Case]:
    """The cases of a seed: always the same ones. What a QEMU does not send at that phase is to be passed over."""
    dice = random.Random(seed)
    while True:
        phase = "reboot" if dice.random() < REBOOT_SHARE else dice.choice(PHASES)
        if phase in TABLED and dice.random() < TABLE_SHARE:
            yield Case(GONE, Rule.parse(dice.choice(TABLE)), phase)
        else:
            yield Case(CUT, Rule.parse(f"{dice.choice(CUTS[phase])}:{dice.choice(CLOSING)}"), phase)
