"""The monitor's events, with a QEMU of our own at the other end."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from reconnect.kit.deadline import Deadline
from reconnect.lab.process.failure import CellError
from reconnect.lab.qemu.qmp import CommandRefused, Monitor

GREETING = {"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": ""}, "capabilities": []}}
REFUSAL = {"error": {"class": "GenericError", "desc": "no"}}


def _event(name: str, **data: object) -> dict[str, object]:
    return {"event": name, "data": data, "timestamp": {"seconds": 1, "microseconds": 0}}


def _serve(connection: socket.socket, events: list[dict[str, object]]) -> None:
    """Greet, answer each command, and tell the events before the answer to ``query-status``."""

    def tell(*messages: object) -> None:
        connection.sendall("".join(f"{json.dumps(message)}\r\n" for message in messages).encode())

    with closing(connection):
        tell(GREETING)
        # One command at a time, and the library ends none of them with a newline.
        while said := connection.recv(65536):
            command = json.loads(said)
            if command["execute"] == "quit":
                return
            if command["execute"] == "query-status":
                tell(*events)
            answer = REFUSAL if command["execute"] == "bad" else {"return": {}}
            tell({**answer, "id": command["id"]} if "id" in command else answer)


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    """Connected; its QEMU has told of four events when ``query-status`` is answered."""
    ours, theirs = socket.socketpair()
    told = [_event("A", n=1), _event("B", n=1), _event("A", n=2), _event("STOP")]
    thread = threading.Thread(target=_serve, args=(theirs, told), daemon=True)
    thread.start()
    ours.setblocking(False)
    made = Monitor(ours, Deadline(10))
    yield made
    made.close()
    thread.join(10)


def test_an_event_that_was_passed_over_is_still_there(monitor: Monitor) -> None:
    """Steps: ask for the third event, then for the second, which came before it.

    Verify: both come; the first and the fourth are left for events(), in their order; nothing comes twice.
    """
    monitor.execute("query-status", Deadline(10))
    assert monitor.event("A", Deadline(10), lambda data: data["n"] == 2) == {"n": 2}
    assert monitor.event("B", Deadline(10), lambda _: True) == {"n": 1}
    assert [event["event"] for event in monitor.events()] == ["A", "STOP"]
    assert monitor.events() == []


@pytest.mark.guards("qemu/qmp.py Monitor._run: QEMU's monitor did not give")
def test_an_event_that_is_not_wanted_is_no_event(monitor: Monitor) -> None:
    """Verify: its deadline ends the wait, and what came meanwhile is still there."""
    with pytest.raises(CellError, match="did not give the event A within 0 s"):
        monitor.event("A", Deadline(0.2), lambda data: data["n"] == 3)
    monitor.execute("query-status", Deadline(10))
    with pytest.raises(CellError, match="the event A"):
        monitor.event("A", Deadline(0.2), lambda data: data["n"] == 3)
    assert len(monitor.events()) == 4


@pytest.mark.guards(
    "qemu/qmp.py Monitor._run: QEMU refused:", "qemu/qmp.py Monitor._run: QEMU's monitor did not give#2"
)
def test_a_qemu_that_hangs_up_ends_the_wait(monitor: Monitor) -> None:
    """Verify: at once, not at the deadline; a refused command is told from that."""
    with pytest.raises(CommandRefused, match="no"):
        monitor.execute("bad", Deadline(10))
    with pytest.raises(CellError):
        monitor.execute("quit", Deadline(10))
    asked = time.monotonic()
    with pytest.raises(CellError, match="did not give the event A: ConnectionError"):
        monitor.event("A", Deadline(30), lambda _: True)
    assert time.monotonic() - asked < 10
