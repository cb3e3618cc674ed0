"""A switch that is one program: started again after each fault, its output read as it comes."""

from __future__ import annotations

import abc
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field

from reconnect.kit.deadline import Deadline
from reconnect.lab.backends import Backend
from reconnect.lab.faults import Fault
from reconnect.lab.process.child import Child
from reconnect.lab.process.failure import CellError
from reconnect.lab.process.lines import Line, LineReader

CONNECTING = "vhost-user client: socket created"
READY = "virtio is now ready for processing"
NEW_CONNECTION = "new vhost user connection is"
NEW_DEVICE = "new device, handle is"


@dataclass
class Incarnation:
    """One run of the program.

    :ivar told_to_end: its end is not an end of its own.
    """

    child: Child
    lines: LineReader
    told_to_end: bool = field(default=False)


class ProgramBackend(Backend):
    """A switch whose vhost-user side is DPDK's library in one program: testpmd, or Open vSwitch.

    :cvar causes: the usual reasons for which it ends by itself, for people.
    """

    causes: str = ""

    @property
    @abc.abstractmethod
    def incarnations(self) -> Sequence[Incarnation]:
        """All that were started, oldest first."""

    @property
    def now(self) -> Incarnation:
        """The present one."""
        return self.incarnations[-1]

    def inject(self, fault: Fault, deadline: Deadline) -> float:
        """See :meth:`Backend.inject`."""
        now = self.now
        now.told_to_end = True
        at = now.child.send(fault.signal)
        now.child.wait(deadline, f"{self.name}'s end after {fault.signal.name}")
        now.lines.join()
        return at

    def send(self, number: signal.Signals) -> float:
        """See :meth:`Backend.send`."""
        return self.now.child.send(number)

    def handshake(self) -> float | None:
        """See :meth:`Backend.handshake`."""
        return handshake_in(self.now.lines.lines)

    def connections(self) -> int:
        """See :meth:`Backend.connections`."""
        return connections_in(self.now.lines.lines, self.place.listens)

    def check(self) -> None:
        """See :meth:`Backend.check`."""
        if self.incarnations and self.now.child.ended is not None and not self.now.told_to_end:
            self.now.lines.join()
            tail = self.now.lines.tail()
            said = f", having said: {telling(self.now.lines.lines)}" if tail else ""
            raise CellError(f"{self.name} ended by itself with {self.now.child.ending}{said}", [*tail, self.causes])

    def close(self) -> None:
        """See :meth:`Backend.close`."""
        for incarnation in self.incarnations:
            incarnation.told_to_end = True
            incarnation.child.kill()
            incarnation.lines.join()


def handshake_in(lines: Sequence[Line]) -> float | None:
    """When the log says that the handshake was finished first; the words are the same since DPDK 16.07."""
    return next((line.at for line in tuple(lines) if READY in line.text), None)


def connections_in(lines: Sequence[Line], listens: bool) -> int:
    """How many connections the log tells of. A server logs each, a client only the device that it makes of each."""
    sign = NEW_CONNECTION if listens else NEW_DEVICE
    return sum(sign in line.text for line in tuple(lines))


def telling(lines: Sequence[Line]) -> str:
    """The line that most likely says why: the last words are often a usage text or "Port 0 is closed"."""
    words = ("error", "cannot", "fail", "unrecognized", "invalid", "emer")
    said = [line.text.strip() for line in lines if line.text.strip() and not line.text.lstrip().startswith("--")]
    return next((text for text in said if any(word in text.lower() for word in words)), said[-1] if said else "nothing")
