"""What the probe in the guest saw, on the host's clock.

The guest stamps its lines with its own monotonic clock. A line can't arrive before it was written, so each one
bounds the offset between the clocks; the smallest difference seen is the tightest bound and is taken as the offset.
Both clocks run at the same rate (TCG without icount, KVM), so one offset serves the whole run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import IO

from reconnect.lab.process.lines import Line, LineReader
from reconnect.lab.process.waiter import Waiter


@dataclass
class ProbeRecord:
    """All events of a probe so far. Guest times are in microseconds.

    :ivar sent: sequence number to the time of sending.
    :ivar answered: sequence number to the time of the first answer.
    :ivar links: each change of the carrier: its time, and whether it is up since.
    :ivar heard: when the line of each sent probe arrived, in seconds of the host's monotonic clock.
    :ivar streak: how many probes in a row have been answered, up to the last answer.
    :ivar waits: the guest is up, and waits for its network card.
    :ivar offset: seconds to add to a guest time to get the host's; infinite before the first event.
    """

    sent: dict[int, int] = field(default_factory=dict)
    answered: dict[int, int] = field(default_factory=dict)
    links: list[tuple[int, bool]] = field(default_factory=list)
    heard: list[float] = field(default_factory=list)
    offset: float = float("inf")
    last_sent: int = 0
    last_answered: int = 0
    streak: int = 0
    waits: bool = False

    def add(self, text: str, arrival: float) -> None:
        """Take one line. A line that isn't whole is left out: the serial port may lose the first bytes.

        :param arrival: when it arrived, in seconds of the host's monotonic clock.
        """
        match text.split():
            case ["s", number, at] if _decimal(number, at):
                self.last_sent = int(number)
                self.sent[self.last_sent] = self._bounded(at, arrival)
                self.heard.append(arrival)
            case ["a", number, sent, at] if _decimal(number, sent, at):
                sequence = int(number)
                self.streak = self.streak + 1 if sequence == self.last_answered + 1 else 1
                self.last_answered = sequence
                self.answered.setdefault(sequence, self._bounded(at, arrival))
            case ["w"]:
                self.waits = True
            case ["l", "up" | "down" as state, at] if _decimal(at):
                self.links.append((self._bounded(at, arrival), state == "up"))

    def tx_gap_ms(self, since: float) -> float:
        """The longest time between two probes that were sent one after the other, in milliseconds.

        By the host's clock alone: a clock of the guest may wrap while the guest is held.

        :param since: an instant of the host's clock: only silences that lasted beyond it count.
        """
        times = tuple(self.heard)
        return round(max((b - a for a, b in pairwise(times) if b > since), default=0.0) * 1000, 1)

    def _bounded(self, stamp: str, arrival: float) -> int:
        time = int(stamp)
        self.offset = min(self.offset, arrival - time / 1e6)
        return time

    def host_time(self, guest_us: int) -> float:
        """A guest time on the host's monotonic clock, in seconds."""
        return guest_us / 1e6 + self.offset

    @property
    def link_up(self) -> bool | None:
        """Whether the carrier is up; None before the probe said so."""
        return self.links[-1][1] if self.links else None

    def link_changes(self) -> Iterator[tuple[float, bool]]:
        """Each change of the carrier in the host's time."""
        return ((self.host_time(at), up) for at, up in tuple(self.links))

    def unanswered_in_a_row(self) -> int:
        """How many of the newest probes have no answer (yet)."""
        return self.last_sent - self.last_answered


def _decimal(*words: str) -> bool:
    return all(word.isdecimal() for word in words)


class ProbeLog:
    """Reads a probe's lines in a thread.

    :param stream: the host's end of the guest's serial port.
    :param log: file for the lines.
    :param others: is given each line as well: the agent's answers come the same way.
    """

    def __init__(self, stream: IO[bytes], log: Path, waiter: Waiter, others: Callable[[str], None]) -> None:
        self.record = ProbeRecord()
        self._others = others
        self._reader = LineReader(stream, log, waiter, self._take)

    def join(self) -> None:
        """Wait until all lines are there. QEMU must have ended."""
        self._reader.join()

    def _take(self, line: Line) -> None:
        self.record.add(line.text, line.at)
        self._others(line.text)
