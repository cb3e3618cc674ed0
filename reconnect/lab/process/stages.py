"""The stages of a recovery, each with its time.

``listening``, ``connected`` and ``accepted`` are sampled from ``/proc/net/unix`` every two milliseconds by
:class:`SocketWatch`, which works for any backend and for either side that listens. ``handshake`` is a line in the
backend's log. ``link_up`` and ``first_reply`` are the guest's own, mapped to the host's clock. A guest's kernel tells
of its links at most once in a second (Linux, net/core/link_watch.c): a link that was down for less may show no
``link_up``. On a busy machine a line of a log can be read some ten milliseconds after it was written, so that stages
that are close to each other may come out in another order.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

from reconnect.lab.process import procunix
from reconnect.lab.process.waiter import Waiter

SAMPLE_SECONDS = 0.002

NAMES = ("listening", "connected", "accepted", "handshake", "link_up", "first_reply")
"""In the order in which they come."""


@dataclass(frozen=True)
class StageTimes:
    """When each stage was reached, on the monotonic clock; None where it was not, or is none of this scheme.

    :param started: when the backend's new process was started.
    :param resumed: when it went on, where its fault has held it. Stages that came before it have negative times.
    """

    started: float
    listening: float | None = None
    connected: float | None = None
    accepted: float | None = None
    handshake: float | None = None
    link_up: float | None = None
    first_reply: float | None = None
    resumed: float | None = None

    @property
    def origin(self) -> float:
        """What recovery counts from: the backend listens, or goes on, or has been started where QEMU listens."""
        if self.resumed is not None:
            return self.resumed
        return self.started if self.listening is None else self.listening

    def milliseconds(self) -> dict[str, float | None]:
        """Each stage in milliseconds since the origin."""
        times = {name: getattr(self, name) for name in NAMES}
        return {name: None if at is None else round((at - self.origin) * 1000, 1) for name, at in times.items()}


class SocketWatch:
    """Samples the sockets at a path from its making until :meth:`close`.

    Sockets that exist when it is made are not counted: a listener that was there before stays out of
    :attr:`listening`, a connection that is still being torn down out of the others.

    :ivar listening: when a new listener was first seen.
    :ivar connected: when a new connection was first seen.
    :ivar accepted: when a new connection was first seen accepted.
    """

    def __init__(self, path: Path, waiter: Waiter) -> None:
        self.listening: float | None = None
        self.connected: float | None = None
        self.accepted: float | None = None
        self._path = path
        self._waiter = waiter
        # A connection in the backlog has no inode yet (0): such a one can't be told from an older one.
        self._known = {entry.inode for entry in procunix.entries(path)} - {0}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch of {path.name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop sampling."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._closed.wait(SAMPLE_SECONDS) and self.accepted is None:
                before = (self.listening, self.connected, self.accepted)
                self._look()
                if before != (self.listening, self.connected, self.accepted):
                    self._waiter.notify()
        except Exception as error:  # noqa: BLE001  # a thread: whoever waits is told
            self._waiter.report(f"the watch of {self._path.name}", error)

    def _look(self) -> None:
        now = time.monotonic()
        for entry in procunix.entries(self._path):
            if entry.inode in self._known:
                continue
            if entry.listening:
                self.listening = self.listening or now
            elif entry.state in (procunix.CONNECTING, procunix.CONNECTED):
                self.connected = self.connected or now
                if entry.state == procunix.CONNECTED:
                    self.accepted = self.accepted or now
