"""Our scripted vhost-user peer as a switch (see :mod:`reconnect.lab.stub`).

It accepts a connection the moment it comes, so what a recovery takes is QEMU's own. And it objects: where QEMU breaks
a rule of the specification, the cell fails.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reconnect.kit.deadline import Deadline
from reconnect.lab.backends import Backend, Endpoint
from reconnect.lab.faults import Fault
from reconnect.lab.process.child import Child
from reconnect.lab.process.failure import CellError, CellFailed
from reconnect.lab.process.lines import Line, LineReader
from reconnect.lab.process.waiter import Waiter
from reconnect.lab.stub import events
from reconnect.lab.stub.script import Script

PACKAGE = "reconnect.lab.stub"
ROOT = Path(__file__).resolve().parents[3]
"""The folder that holds the package ``reconnect``: the child finds it there, wherever it is started."""


@dataclass(frozen=True)
class StubArguments:
    """The stub's command line.

    :param script: file that holds the script; read again at SIGHUP.
    :param queue_pairs: queue pairs.
    :param extra: more words, for experiments.
    """

    socket: Path
    client: bool
    script: Path
    queue_pairs: int = 1
    extra: tuple[str, ...] = ()

    def argv(self) -> list[str]:
        """The whole command. Without ``site`` (-S) it starts in half the time, and needs nothing of it."""
        return [
            *(sys.executable, "-S", "-m", PACKAGE, "--socket", str(self.socket), "--script", str(self.script)),
            *("--queue-pairs", str(self.queue_pairs), *(["--client"] if self.client else []), *self.extra),
        ]


class Events:
    """The events of one incarnation, as they come."""

    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []

    def take(self, line: Line) -> None:
        """Take a line of its output; what is no event stays in the log alone."""
        event = events.parse(line.text)
        if event is not None:
            self.all.append(event)

    def of(self, kind: str, start: int = 0, **facts: object) -> list[dict[str, Any]]:
        """The events of a kind with these facts, from the ``start``-th event of all on."""
        found = (e for e in tuple(self.all[start:]) if e["event"] == kind)
        return [e for e in found if all(e.get(name) == value for name, value in facts.items())]


@dataclass
class _Incarnation:
    child: Child
    lines: LineReader
    events: Events
    told_to_end: bool = field(default=False)


class Stub(Backend):
    """The stub.

    :param extra: see :class:`StubArguments`.
    """

    name = "stub"

    def __init__(self, place: Endpoint, waiter: Waiter, queue_pairs: int = 1, extra: tuple[str, ...] = ()) -> None:
        super().__init__(place, waiter, queue_pairs)
        self._extra = extra
        self._incarnations: list[_Incarnation] = []
        self._script = place.scratch / "script.json"
        self._script.write_text(Script().json(), encoding="utf-8")
        self.strict = True

    @classmethod
    def require(cls) -> None:
        """It needs what the lab needs."""

    def start(self, deadline: Deadline) -> float:
        """See :meth:`Backend.start`."""
        started = self.launch()
        with self.waiter.guard(self.check):
            kind = "listening" if self.place.listens else "script"
            self.waiter.wait(lambda: self.events.of(kind), deadline, "the stub to start")
        return started

    def launch(self) -> float:
        """See :meth:`Backend.launch`."""
        if self.place.listens:
            self.place.remove_stale_socket()
        number = len(self._incarnations) + 1
        arguments = StubArguments(
            self.place.socket, not self.place.listens, self._script, self.queue_pairs, self._extra
        )
        child = Child("the stub", arguments.argv(), self.waiter, subprocess.PIPE, {"PYTHONPATH": str(ROOT)})
        seen = Events()
        log = self.place.logs / f"stub-{number}.log"
        self._incarnations.append(_Incarnation(child, LineReader(child.stream, log, self.waiter, seen.take), seen))
        log.with_suffix(".cmd").write_text(f"{child.pasteable}\n", encoding="utf-8")
        return child.started

    def load(self, script: Script, deadline: Deadline) -> int:
        """Give the running stub a script and wait until it has it; returns the number of events before it."""
        self._script.write_text(script.json(), encoding="utf-8")
        mark = len(self.events.all)
        self._now.child.send(signal.SIGHUP)
        with self.waiter.guard(self.check):
            self.waiter.wait(lambda: self.events.of("script", mark), deadline, "the stub to take its script")
        return mark

    def inject(self, fault: Fault, deadline: Deadline) -> float:
        """See :meth:`Backend.inject`."""
        now = self._now
        now.told_to_end = True
        at = now.child.send(fault.signal)
        now.child.wait(deadline, f"the stub's end after {fault.signal.name}")
        now.lines.join()
        return at

    @property
    def events(self) -> Events:
        """What the present incarnation saw."""
        return self._now.events

    @property
    def ended(self) -> bool:
        """Whether the present incarnation has ended."""
        return self._now.child.ended is not None

    def send(self, number: signal.Signals) -> float:
        """See :meth:`Backend.send`."""
        return self._now.child.send(number)

    def handshake(self) -> float | None:
        """See :meth:`Backend.handshake`: both rings of the first pair run and are enabled."""
        ready = self.events.of("ready")
        return float(ready[0]["t"]) if ready else None

    def connections(self) -> int:
        """See :meth:`Backend.connections`."""
        return len(self.events.of("connected"))

    def check(self) -> None:
        """See :meth:`Backend.check`; objects to a front-end that breaks the rules as well.

        :raises CellFailed: it does.
        """
        if not self._incarnations:
            return
        now = self._now
        if now.child.ended is not None and not now.told_to_end:
            now.lines.join()
            raise CellError(f"the stub ended by itself with {now.child.ending}", now.lines.tail())
        if self.strict and (broken := self.broken_rules()):
            raise CellFailed(f"QEMU broke a rule of the protocol: {broken[0]}", broken)

    @property
    def seen(self) -> int:
        """How many events there were by now, in all incarnations."""
        return sum(len(incarnation.events.all) for incarnation in self._incarnations)

    def broken_rules(self, start: int = 0) -> list[str]:
        """What the front-end did against the specification, and what was wrong in the rings.

        :param start: from which event on, counted over all incarnations as :attr:`seen` does: a rule that was broken
            before the backend was killed is broken.
        """
        events = [event for incarnation in self._incarnations for event in tuple(incarnation.events.all)]
        return [str(event["what"]) for event in events[start:] if event["event"] in ("violation", "fault")]

    def close(self) -> None:
        """See :meth:`Backend.close`."""
        for incarnation in self._incarnations:
            incarnation.told_to_end = True
            incarnation.child.kill()
            incarnation.lines.join()

    @property
    def _now(self) -> _Incarnation:
        return self._incarnations[-1]
