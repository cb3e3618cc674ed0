"""The stub as a backend of the lab, with a front-end of our own instead of QEMU."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconnect.kit.deadline import Deadline
from reconnect.lab.backends import Endpoint
from reconnect.lab.backends.stub import Stub, StubArguments
from reconnect.lab.faults import FAULTS
from reconnect.lab.process import procunix
from reconnect.lab.process.failure import CellError, CellFailed
from reconnect.lab.process.waiter import Waiter
from reconnect.lab.stub.protocol import Request
from reconnect.lab.stub.script import Script
from tests.unit.lab.stub.frontend import FrontEnd


@pytest.fixture
def place(short: Path, tmp_path: Path) -> Endpoint:
    """A backend that listens."""
    return Endpoint(short / "v", True, short, tmp_path)


@pytest.fixture
def backend(place: Endpoint) -> Iterator[Stub]:
    """A stub that listens."""
    with Stub(place, Waiter()) as stub:
        stub.start(Deadline(20))
        yield stub


def test_the_command_line() -> None:
    """Verify: what the stub's own parser takes (test_session runs it)."""
    words = StubArguments(Path("/s"), True, Path("/x"), 2, ("--repair",)).argv()
    assert words[1:4] == ["-S", "-m", "reconnect.lab.stub"]
    assert words[4:] == ["--socket", "/s", "--script", "/x", "--queue-pairs", "2", "--client", "--repair"]


@pytest.mark.parametrize("fault", FAULTS.values(), ids=str)
def test_it_ends_and_starts_again(backend: Stub, place: Endpoint, fault: object) -> None:
    """Steps: a handshake; the fault; a new incarnation; a handshake.

    Verify: the handshake's time and the connections are those of the incarnation at hand.
    """
    front = FrontEnd.connect(place.socket)
    front.greet()
    front.start()
    backend.waiter.wait(backend.handshake, Deadline(20), "the handshake")
    assert backend.connections() == 1
    backend.inject(FAULTS[getattr(fault, "name", "")], Deadline(20))
    assert not procunix.listens(place.socket)
    backend.start(Deadline(20))
    assert (backend.handshake(), backend.connections()) == (None, 0)
    front.close()
    front = FrontEnd.connect(place.socket)
    front.greet()
    front.close()
    backend.check()


def test_a_script_reaches_the_running_stub(backend: Stub, place: Endpoint) -> None:
    """Verify: it is in force when load() returns."""
    mark = backend.load(Script.parse("GET_FEATURES:answer=9"), Deadline(20))
    assert FrontEnd.connect(place.socket).ask(Request.GET_FEATURES) == 9
    backend.waiter.wait(lambda: backend.events.of("triggered", mark), Deadline(20), "the rule")
    backend.load(Script(), Deadline(20))
    FrontEnd.connect(place.socket).greet()


@pytest.mark.guards("backends/stub.py Stub.check: QEMU broke a rule of the protocol:")
def test_a_front_end_that_breaks_a_rule_fails_the_cell(backend: Stub, place: Endpoint) -> None:
    """Verify: wrong, not broken; and only where that is asked for."""
    FrontEnd.connect(place.socket).send(Request.RESET_OWNER)
    with pytest.raises(CellFailed, match="QEMU broke a rule of the protocol: RESET_OWNER"):
        backend.waiter.wait(backend.check, Deadline(20), "the violation")
    backend.strict = False
    backend.check()
    assert backend.broken_rules()


def test_a_rule_that_was_broken_before_the_crash_is_broken(backend: Stub, place: Endpoint) -> None:
    """Steps: break a rule; kill the stub before anybody looks, and start it again.

    Verify: the cell fails all the same; from later events on it is not told again.
    """
    front = FrontEnd.connect(place.socket)
    front.greet()
    backend.waiter.wait(lambda: backend.events.of("message", name="SET_OWNER"), Deadline(20), "the greeting")
    before = backend.seen
    front.send(Request.RESET_OWNER)
    backend.strict = False
    backend.waiter.wait(lambda: backend.events.of("violation"), Deadline(20), "the violation")
    backend.inject(FAULTS["crash"], Deadline(20))
    backend.start(Deadline(20))
    assert backend.broken_rules() == backend.broken_rules(before)
    assert backend.broken_rules(before)[0].startswith("RESET_OWNER")
    assert not backend.broken_rules(backend.seen)
    backend.strict = True
    with pytest.raises(CellFailed, match="QEMU broke a rule of the protocol: RESET_OWNER"):
        backend.check()
    front.close()


@pytest.mark.guards("backends/stub.py Stub.start waits for the stub to start")
def test_one_that_does_not_start_in_time_is_given_up(place: Endpoint) -> None:
    """Verify: its deadline; a new Python takes longer than this one."""
    with Stub(place, Waiter()) as backend, pytest.raises(CellError, match="for the stub to start"):
        backend.start(Deadline(0.001))


@pytest.mark.guards("backends/stub.py Stub.load waits for the stub to take its script")
def test_one_that_does_not_take_its_script_is_given_up(backend: Stub) -> None:
    """Verify: its deadline, where its process is stopped."""
    backend.send(signal.SIGSTOP)
    with pytest.raises(CellError, match="for the stub to take its script"):
        backend.load(Script(), Deadline(0.3))


@pytest.mark.guards("backends/stub.py Stub.check: the stub ended by itself with")
def test_an_end_of_its_own_is_an_error(backend: Stub) -> None:
    """Verify: a stub that ends because its script is wrong is quoted."""
    (backend.place.scratch / "script.json").write_text("{", encoding="utf-8")
    with pytest.raises(CellError, match="the stub ended by itself with exit code 2"):
        backend.load(_Unreadable(), Deadline(20))


class _Unreadable(Script):
    def json(self) -> str:
        return "{"


def test_it_connects_where_qemu_listens(short: Path, tmp_path: Path) -> None:
    """Verify: it connects, whenever the listener comes."""
    with (
        Stub(Endpoint(short / "v", False, short, tmp_path), Waiter()) as backend,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener,
    ):
        backend.start(Deadline(20))
        listener.bind(str(short / "v"))
        listener.listen(1)
        listener.settimeout(20)
        FrontEnd(listener.accept()[0]).greet()
        backend.waiter.wait(lambda: backend.connections() == 1, Deadline(20), "the connection")


def test_somebody_elses_socket_is_left_alone(place: Endpoint) -> None:
    """Verify: a listener at the path is not removed."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other, Stub(place, Waiter()) as backend:
        other.bind(str(place.socket))
        other.listen(1)
        with pytest.raises(CellError, match="something else listens"):
            backend.launch()
