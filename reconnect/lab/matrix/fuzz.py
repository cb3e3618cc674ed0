"""A seed's endless walk through the matrix: any cut of any message that the moment sends, at any moment of a guest."""

from __future__ import annotations

import random
from collections.abc import Iterator

from reconnect.lab.matrix.entries import CUT, CUTS, GONE, TABLE, Entry
from reconnect.lab.stub.script import CLOSING, Rule

SECONDS = 300.0
"""How long one seed is followed."""

MOMENTS = ("reconnect", "set-link", "stop-cont", "unload", "migrate")
TABLED = ("reconnect", "set-link", "stop-cont", "reboot")
"""At these the backend may also refuse the memory table."""

REBOOT_SHARE = 0.04
"""A reboot takes as long as five of the others."""


def walk(seed: int) -> Iterator[Entry]:
    """The entries of a seed: always the same ones. What a QEMU does not send at that moment is to be passed over."""
    dice = random.Random(seed)
    while True:
        moment = "reboot" if dice.random() < REBOOT_SHARE else dice.choice(MOMENTS)
        if moment in TABLED and dice.random() < 0.1:
            yield Entry(GONE, Rule.parse(dice.choice(TABLE)), moment)
        else:
            yield Entry(CUT, Rule.parse(f"{dice.choice(CUTS[moment])}:{dice.choice(CLOSING)}"), moment)
