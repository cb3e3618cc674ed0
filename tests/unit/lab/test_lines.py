"""Threads that read and watch: what breaks in one of them ends the cell, and stops nobody else."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import cast

import pytest

from reconnect.kit.deadline import Deadline
from reconnect.lab.backends import Endpoint, ovsdb
from reconnect.lab.backends.ovs import Ovs
from reconnect.lab.process import procunix
from reconnect.lab.process.failure import CellError
from reconnect.lab.process.lines import Line, LineReader
from reconnect.lab.process.stages import SocketWatch
from reconnect.lab.process.waiter import Waiter


@pytest.mark.guards("process/waiter.py Waiter.check: {f'{who} broke: {type(error).__name__}: {error}'}")
@pytest.mark.parametrize("error", [ValueError("no number"), OSError("no space"), KeyError("name")])
def test_a_listener_that_breaks_ends_the_cell(tmp_path: Path, error: Exception) -> None:
    """Steps: a listener raises at the second of three lines; somebody waits for what it would have told.

    Verify: the wait ends at once, with the log's name and the error.
    """

    def take(line: Line) -> None:
        if line.text == "two":
            raise error

    waiter = Waiter()
    LineReader(io.BytesIO(b"one\ntwo\nthree\n"), tmp_path / "qemu.log", waiter, take).join()
    with pytest.raises(CellError, match=f"the reader of qemu.log broke: {type(error).__name__}: ") as caught:
        waiter.wait(lambda: None, Deadline(30), "what the listener would have told")
    assert "Traceback" in caught.value.details[0]


def test_a_reader_whose_log_cannot_be_written_ends_the_cell(tmp_path: Path) -> None:
    """Verify: the same for a log that is no file."""
    waiter = Waiter()
    LineReader(io.BytesIO(b"one\n"), tmp_path, waiter).join()
    with pytest.raises(CellError, match="IsADirectoryError"):
        waiter.check()


def test_a_broken_reader_still_drains_its_stream(tmp_path: Path) -> None:
    """Steps: a listener raises at the first line; write more than a pipe holds.

    Verify: the writer is not held.
    """

    def take(line: Line) -> None:
        raise ValueError

    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as pipe:
        reader = LineReader(os.fdopen(reading, "rb"), tmp_path / "log", Waiter(), take)
        for _ in range(1000):
            pipe.write(b"x" * 999 + b"\n")
    reader.join()


def test_an_end_of_the_stream_is_no_error(tmp_path: Path) -> None:
    """Verify: all lines are there, and nothing objects."""
    waiter = Waiter()
    reader = LineReader(io.BytesIO(b"one\ntwo\n"), tmp_path / "log", waiter)
    reader.join()
    waiter.check()
    assert [line.text for line in reader.lines] == ["one", "two"]


def test_a_watch_that_breaks_ends_the_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify: a table of sockets that can't be read is no "nobody connected"."""
    waiter = Waiter()
    watch = SocketWatch(tmp_path / "vhost.sock", waiter)
    monkeypatch.setattr(procunix, "TABLE", tmp_path / "gone")
    with pytest.raises(CellError, match=r"the watch of vhost\.sock broke: FileNotFoundError"):
        waiter.wait(lambda: watch.listening, Deadline(30), "somebody to listen")
    watch.close()


def test_flows_that_cannot_be_set_end_the_cell(tmp_path: Path) -> None:
    """Verify: a program that is not there is an error of the cell, not a wait to its deadline."""

    class Database:
        def add_flows(self) -> str:
            raise FileNotFoundError("ovs-ofctl")

    switch = Ovs(Endpoint(tmp_path / "vhost.sock", True, tmp_path, tmp_path), Waiter())
    switch.database = cast("ovsdb.Database", Database())
    switch._set_flows()
    with pytest.raises(CellError, match="Open vSwitch's flows broke: FileNotFoundError"):
        switch.waiter.check()
