"""The backend testpmd, really started (without a guest)."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconnect.kit.deadline import Deadline
from reconnect.kit.errors import HostError
from reconnect.lab.backends import Endpoint
from reconnect.lab.backends.testpmd import PROGRAM, USUAL_CAUSES, Testpmd
from reconnect.lab.faults import FAULTS, Fault
from reconnect.lab.process import procunix
from reconnect.lab.process.failure import CellError
from reconnect.lab.process.rundir import runtime_dir
from reconnect.lab.process.waiter import Waiter

pytestmark = pytest.mark.skipif(not shutil.which(PROGRAM), reason=f"{PROGRAM} is not installed: apt: dpdk-dev")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Endpoint]:
    with runtime_dir() as runtime:
        yield Endpoint(runtime / "vhost.sock", True, runtime, tmp_path)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=lambda fault: fault.name)
def test_it_comes_back_after_each_fault(place: Endpoint, fault: Fault) -> None:
    """Steps: start it, commit the fault, start it again.

    Verify: it listens, is really gone, and listens again at the same path; two logs tell of two incarnations.
    """
    with Testpmd(place, Waiter()) as backend:
        backend.start(Deadline(30))
        assert procunix.listens(place.socket)
        at = backend.inject(fault, Deadline(15))
        assert at > 0
        assert not procunix.listens(place.socket)
        backend.check()
        backend.start(Deadline(30))
        assert procunix.listens(place.socket)
        assert backend.connections() == 0
        assert backend.handshake() is None
    assert not procunix.listens(place.socket)
    assert sorted(p.name for p in place.logs.glob("*.log")) == ["testpmd-1.log", "testpmd-2.log"]


def test_a_crash_leaves_a_socket_that_the_next_start_removes(place: Endpoint) -> None:
    """Verify: the stale socket is there after the crash, and is no obstacle."""
    with Testpmd(place, Waiter()) as backend:
        backend.start(Deadline(30))
        backend.inject(FAULTS["crash"], Deadline(15))
        assert stat.S_ISSOCK(place.socket.stat().st_mode)
        backend.start(Deadline(30))


@pytest.mark.guards("backends/__init__.py Endpoint.remove_stale_socket: something else listens at")
def test_a_socket_that_somebody_listens_at_is_not_taken_away(place: Endpoint) -> None:
    """Steps: somebody else listens at the path; start.

    Verify: it refuses, and the other's socket stays.
    """
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(place.socket))
        other.listen(1)
        with Testpmd(place, Waiter()) as backend, pytest.raises(CellError, match="something else listens"):
            backend.start(Deadline(30))
        assert procunix.listens(place.socket)


@pytest.mark.guards(
    "backends/testpmd.py Testpmd.start waits for testpmd to listen",
    "backends/testpmd.py Testpmd.start waits for testpmd to connect",
)
def test_one_that_never_gets_ready_is_given_up(
    place: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps: a program in its place that does nothing, as a server and as a client.

    Verify: the deadline, and what was waited for.
    """
    (tmp_path / PROGRAM).write_text("#!/bin/sh\nexec sleep 600\n", encoding="utf-8")
    (tmp_path / PROGRAM).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with Testpmd(place, Waiter()) as backend, pytest.raises(CellError, match="for testpmd to listen"):
        backend.start(Deadline(0.3))
    client = Endpoint(place.socket, False, place.scratch, place.logs)
    with Testpmd(client, Waiter()) as backend, pytest.raises(CellError, match="for testpmd to connect"):
        backend.start(Deadline(0.3))


def test_a_backend_that_does_not_start_says_why(place: Endpoint) -> None:
    """Steps: start the real testpmd with an option that it doesn't know.

    Verify: long before the deadline: its exit code, its own complaint, its last lines and the usual causes.
    """
    deadline = Deadline(60)
    with (
        Testpmd(place, Waiter(), extra=("--no-such-option",)) as backend,
        pytest.raises(CellError, match="unrecognized option '--no-such-option'") as caught,
    ):
        backend.start(deadline)
    assert "exit code 1" in caught.value.what
    assert USUAL_CAUSES in caught.value.details
    assert deadline.remaining > 30


@pytest.mark.guards(
    "backends/program.py ProgramBackend.check: {f'{self.name} ended by itself with {self.now.child.ending}{said}'}"
)
def test_a_backend_that_ends_later_is_noticed(place: Endpoint) -> None:
    """Steps: start it; end its process behind its back.

    Verify: a wait for something else ends at once and says so.
    """
    waiter = Waiter()
    with Testpmd(place, waiter) as backend:
        backend.start(Deadline(30))
        backend.now.child.send(FAULTS["crash"].signal)
        with waiter.guard(backend.check), pytest.raises(CellError, match="testpmd ended by itself with signal SIGKILL"):
            waiter.wait(lambda: None, Deadline(30), "something else")


def test_a_stopped_backend_is_connected_to_and_accepts_when_it_goes_on(place: Endpoint) -> None:
    """Steps: stop it when it listens; connect; let it go on.

    Verify: the kernel connects us, and it logs the connection only then; it has not ended.
    """
    waiter = Waiter()
    with Testpmd(place, waiter) as backend, socket.socket(socket.AF_UNIX) as front:
        backend.start(Deadline(30))
        backend.send(signal.SIGSTOP)
        front.connect(str(place.socket))
        waiter.sleep(Deadline(1.5))
        assert backend.connections() == 0
        backend.send(signal.SIGCONT)
        waiter.wait(lambda: backend.connections() == 1, Deadline(15), "the connection to be accepted")
        backend.check()


def test_a_client_waits_for_its_server(place: Endpoint) -> None:
    """Verify: as a client it is ready when it tries to connect, without anybody who listens."""
    with Testpmd(Endpoint(place.socket, False, place.scratch, place.logs), Waiter()) as backend:
        backend.start(Deadline(30))
        assert not place.socket.exists()
        assert backend.connections() == 0


def test_one_processor_is_enough(place: Endpoint) -> None:
    """Steps: allow ourselves one processor, as a small container does; start it.

    Verify: it starts: left alone, DPDK wants one for each of its two threads.
    """
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        with Testpmd(place, Waiter()) as backend:
            backend.start(Deadline(30))
            assert procunix.listens(place.socket)
    finally:
        os.sched_setaffinity(0, before)


def test_a_machine_without_testpmd_is_told_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Verify: exit code 6 and the packages."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match=PROGRAM) as caught:
        Testpmd.require()
    assert "dpdk-dev" in caught.value.hint
