"""What can happen to a backend."""

from __future__ import annotations

import signal
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """A fault that a signal commits.

    :param name: as on the command line and in results.json.
    :param what: for people.
    :param hold: seconds for which the new process is stopped (SIGSTOP) as soon as it listens: before it accepts.
    :param queue_pairs: queue pairs of the card that it happens to. The guest then has as many processors, and its probe
        runs on the last one: its packets go through the last pair.
    """

    name: str
    signal: signal.Signals
    what: str
    queue_pairs: int = 1
    hold: float = 0.0


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("crash", signal.SIGKILL, "the process dies at once and leaves its socket behind"),
        Fault("crash-mq", signal.SIGKILL, "the same under a card with two queue pairs", queue_pairs=2),
        Fault("wedge", signal.SIGKILL, "it dies; the new process listens, and hangs before it accepts", hold=5.0),
        Fault("stop", signal.SIGTERM, "the process closes its ports and ends in order"),
    )
}
