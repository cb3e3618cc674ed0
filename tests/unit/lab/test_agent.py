"""The host's end of the guest's agent, with a serial port of our own. The guest's end is tried in real guests."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from reconnect.kit.deadline import Deadline
from reconnect.lab.probe.agent import Agent
from reconnect.lab.process.failure import CellError
from reconnect.lab.process.waiter import Waiter


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The host's end of a serial port, and the guest's."""
    host, guest = socket.socketpair()
    with host, guest:
        yield host, guest


def test_an_order_and_its_answer(ends: tuple[socket.socket, socket.socket]) -> None:
    """Steps: two orders; the second one's answer is there first, with the probe's lines between.

    Verify: the guest is sent numbered lines; each answer goes to its order.
    """
    agent = Agent(ends[0], Waiter())
    for line in ("r 0 0", "s 3 15", "r 2 0 two words", "a 3 15 17", "r 1 0"):
        agent.take(line)
    assert agent.ask("network", deadline=Deadline(1)) == ""
    assert agent.ask("transport", 1, deadline=Deadline(1)) == "two words"
    assert ends[1].recv(100) == b"1 network\n2 transport 1\n"


@pytest.mark.guards("probe/agent.py Agent.ask waits for the guest to carry out:")
@pytest.mark.parametrize("line", ["", "r", "r 1", "r one 0", "r 1 x", "l up 3", "R 1 0"])
def test_what_is_no_answer(ends: tuple[socket.socket, socket.socket], line: str) -> None:
    """Verify: a line that is none is left alone: the wait ends at its deadline and names the order."""
    agent = Agent(ends[0], Waiter())
    agent.take("r 0 0")
    agent.take(line)
    with pytest.raises(CellError, match="the guest to carry out: reload"):
        agent.ask("reload", deadline=Deadline(0.05))


@pytest.mark.guards("probe/agent.py Agent.ask: the guest could not carry out:")
def test_an_order_that_failed(ends: tuple[socket.socket, socket.socket]) -> None:
    """Verify: an error that names order and exit code."""
    agent = Agent(ends[0], Waiter())
    agent.take("r 0 0")
    agent.take("r 1 127 nothing of the kind")
    with pytest.raises(CellError, match=r"dance 3 \(exit code 127\)"):
        agent.ask("dance", 3, deadline=Deadline(1))


@pytest.mark.guards("probe/agent.py Agent.ask waits for the guest's agent to listen")
def test_an_agent_that_does_not_listen(ends: tuple[socket.socket, socket.socket]) -> None:
    """Verify: nothing is sent before the guest can read it."""
    agent = Agent(ends[0], Waiter())
    with pytest.raises(CellError, match="agent to listen"):
        agent.ask("network", deadline=Deadline(0.05))
    ends[1].setblocking(False)
    with pytest.raises(BlockingIOError):
        ends[1].recv(1)
