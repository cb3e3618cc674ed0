"""What can happen to a backend."""

from __future__ import annotations

import signal
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """A fault that a signal commits.

    :param name: as on the command line and in results.json.
    :param what: for people.
    """

    name: str
    signal: signal.Signals
    what: str


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("crash", signal.SIGKILL, "the process dies at once and leaves its socket behind"),
        Fault("stop", signal.SIGTERM, "the process closes its ports and ends in order"),
    )
}
