"""The stub's log: one JSON object a line, so that a test needs no guess about words.

Every event has ``t``, seconds of CLOCK_MONOTONIC (the same clock as the lab's, on the same machine), and ``event``:

=============  ======================================================================================================
``start``      ``pid``, ``client``, ``socket``
``listening``  the socket is made and takes connections
``script``     a script was loaded: ``rules``; connections count from 0 (those open now), the next is 1
``connected``  ``connection``
``message``    ``connection``, ``name``, ``n`` (which of its kind on this connection since the script was loaded),
               ``flags``, ``fds``, ``value`` (the payload, decoded as far as it is short)
``reply``      ``connection``, ``name``, ``value``
``violation``  ``connection``, ``what``: the front-end broke a rule of the specification
``triggered``      ``connection``, ``rule``: a rule of the script was carried out
``ring``       ``connection``, ``ring``, ``base``, ``used``, ``avail``: a ring was started from ``base``
``ready``      ``connection``: both rings of the first pair are started and enabled (again)
``stopped``    ``connection``, ``ring``, ``base``, ``frames``, ``kicks``: GET_VRING_BASE was handled
``log``        ``connection``, ``marked``, ``left``: of a connection that had ended when a script was loaded, the log of
               written pages: how many went into it, and how many the front-end did not take out until then
``fault``      ``connection``, ``ring``, ``what``: a ring's contents are nonsense (an index, an address)
``closed``     ``connection``, ``by``: ``front-end``, ``script``, ``garbled`` or ``end``
``end``        ``why``
=============  ======================================================================================================
"""

from __future__ import annotations

import json
import os
import time
from typing import Any


class EventLog:
    """Writes events to a descriptor, each with one write(2): nothing is lost when the process kills itself.

    :param fd: the standard output, as a rule.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def log(self, event: str, **facts: Any) -> None:
        """Write one event."""
        line = json.dumps({"t": round(time.monotonic(), 6), "event": event, **facts}, separators=(",", ":"))
        os.write(self._fd, f"{line}\n".encode())


def parse(line: str) -> dict[str, Any] | None:
    """An event from its line; None where the line is none (a traceback of the stub's, say)."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event and "t" in event else None
