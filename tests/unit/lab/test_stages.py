"""Stages, from logs that real DPDK wrote, and from sockets that really exist."""

from __future__ import annotations

import io
import socket
from pathlib import Path

import pytest

from reconnect.kit.deadline import Deadline
from reconnect.lab.backends.program import connections_in, handshake_in
from reconnect.lab.process import procunix
from reconnect.lab.process.lines import Line, LineReader
from reconnect.lab.process.stages import NAMES, SocketWatch, StageTimes
from reconnect.lab.process.waiter import Waiter

DATA = Path(__file__).with_name("data")


def _lines(name: str) -> list[Line]:
    """The lines of a captured log, with the stamps that they were captured with."""
    lines = []
    for text in (DATA / name).read_text(encoding="utf-8").splitlines():
        stamp, _, words = text.strip().partition(" ")
        lines.append(Line(float(stamp), words))
    return lines


@pytest.mark.parametrize(("name", "listens"), [("as-server", True), ("as-client", False)])
def test_a_real_log_tells_handshake_and_connections(name: str, listens: bool) -> None:
    """Steps: read what testpmd 22.11 wrote in a recovery.

    Verify: one connection, and the handshake's time is the stamp of its line; nothing before the line was there.
    """
    lines = _lines(f"testpmd-22.11-{name}.log")
    at = handshake_in(lines)
    assert at is not None
    assert connections_in(lines, listens) == 1
    before = [line for line in lines if line.at < at]
    assert before
    assert handshake_in(before) is None
    assert connections_in([], listens) == 0


def test_stages_are_milliseconds_since_the_origin() -> None:
    """Verify: relative to listening where there is one, else to the start; null where a stage wasn't reached."""
    seen = StageTimes(started=9.0, listening=10.0, connected=10.0201, handshake=10.5)
    found = seen.milliseconds()
    assert tuple(found) == NAMES
    assert found == {
        "listening": 0.0,
        "connected": 20.1,
        "accepted": None,
        "handshake": 500.0,
        "link_up": None,
        "first_reply": None,
    }
    assert StageTimes(started=9.0, connected=9.25).milliseconds()["connected"] == 250.0


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s") / "v.sock"


def test_a_watch_sees_each_stage_of_a_socket(path: Path) -> None:
    """Steps: watch a path; listen, connect and accept there, each after the watch has seen the one before.

    Verify: the three are seen one by one, and none before it happened.
    """
    waiter = Waiter()
    watch = SocketWatch(path, waiter)
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(path))
        assert not procunix.listens(path)
        server.listen(1)
        assert procunix.listens(path)
        listening = waiter.wait(lambda: watch.listening, Deadline(5), "the listener to be seen")
        assert watch.connected is None
        client.connect(str(path))
        connected = waiter.wait(lambda: watch.connected, Deadline(5), "the connection to be seen")
        assert watch.accepted is None
        with server.accept()[0]:
            accepted = waiter.wait(lambda: watch.accepted, Deadline(5), "the accepted connection to be seen")
    watch.close()
    assert listening < connected < accepted


def test_a_watch_ignores_what_was_there_before(path: Path) -> None:
    """Steps: watch a path at which somebody listens and is connected already; connect once more.

    Verify: only the new connection is seen.
    """
    waiter = Waiter()
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as old:
        server.bind(str(path))
        server.listen(2)
        old.connect(str(path))
        with server.accept()[0]:
            watch = SocketWatch(path, waiter)
            with socket.socket(socket.AF_UNIX) as new:
                new.connect(str(path))
                with server.accept()[0]:
                    waiter.wait(lambda: watch.accepted, Deadline(5), "the new connection to be seen")
                    watch.close()
    assert watch.listening is None


def test_the_kernels_table_is_read_by_path() -> None:
    """Verify: listener, accepted and waiting connections of a captured table; a longer path is another one."""
    table = (
        "Num       RefCount Protocol Flags    Type St Inode Path\n"
        "0000000000000000: 00000002 00000000 00010000 0001 01 4711 /run/lab/v.sock\n"
        "0000000000000000: 00000003 00000000 00000000 0001 03 4712 /run/lab/v.sock\n"
        "0000000000000000: 00000002 00000000 00000000 0001 02     0 /run/lab/v.sock\n"
        "0000000000000000: 00000003 00000000 00000000 0001 03 4713\n"
        "0000000000000000: 00000002 00000000 00010000 0001 01 4714 /run/lab/v.sock.old\n"
        "0000000000000000: 00000002 00000000 00010000 0001 01 4715 /other/run/lab/v.sock\n"
    )
    found = list(procunix.entries(Path("/run/lab/v.sock"), table))
    assert [(e.inode, e.state, e.listening) for e in found] == [(4711, 1, True), (4712, 3, False), (0, 2, False)]


def test_a_reader_stamps_keeps_and_logs_each_line(tmp_path: Path) -> None:
    """Steps: read a stream with a line that isn't UTF-8 and one without an end.

    Verify: all lines are kept and in the file, with stamps that do not go back.
    """
    reader = LineReader(io.BytesIO(b"one\r\n\xfftwo\n\nlast"), tmp_path / "x.log", Waiter())
    reader.join()
    assert [line.text for line in reader.lines] == ["one", "\ufffdtwo", "", "last"]
    assert reader.tail(2) == ["\ufffdtwo", "last"]
    assert [line.at for line in reader.lines] == sorted(line.at for line in reader.lines)
    assert reader.first("two") is reader.lines[1]
    assert len((tmp_path / "x.log").read_text(encoding="utf-8").splitlines()) == 4
