"""The lock of a folder: alone or shared, kept by the children of a holder that was killed."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconnect.kit.lock import exclusive, held, shared
from tests.processes import assert_ended

HOLDER = """
import sys
from pathlib import Path
from reconnect.kit import command, lock
with getattr(lock, sys.argv[1])(Path(sys.argv[2]), "build it"):
    command.run(["sh", "-c", sys.argv[3]], on_line=lambda line: print(line, flush=True))
"""


@contextmanager
def holder(kind: str, folder: Path, script: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A process that holds the lock while it runs a script; with the words of the script's first line."""
    argv = [sys.executable, "-c", HOLDER, kind, str(folder), script]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process, process.stdout.readline().split()
        finally:
            process.kill()


def is_free(folder: Path, kind: int = fcntl.LOCK_EX) -> bool:
    with (folder / "lock").open() as file:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_alone_or_shared(tmp_path: Path) -> None:
    with exclusive(tmp_path, "build"):
        assert not is_free(tmp_path, fcntl.LOCK_SH)
    with shared(tmp_path, "run"), shared(tmp_path, "run"):
        assert is_free(tmp_path, fcntl.LOCK_SH)
        assert not is_free(tmp_path)
        assert len(held()) == 2
    assert is_free(tmp_path)
    assert held() == ()


def test_who_waits_is_told_for_whom(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Steps: two share a lock, one of them ends, somebody wants it alone. Verify: it waits for the other one."""
    with (
        holder("shared", tmp_path, "echo ready; exec sleep 600") as (first, _),
        holder("shared", tmp_path, "echo ready; exec sleep 600") as (second, _),
    ):
        first.kill()
        first.wait()
        killer = threading.Timer(1.0, second.kill)
        killer.start()
        with exclusive(tmp_path, "clean"):
            killer.join()
    assert f"waiting for process {second.pid} (build it), which holds {tmp_path}" in capsys.readouterr().out


def test_a_child_of_a_holder_that_was_killed_keeps_the_lock(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Steps: a holder runs a command that ignores SIGTERM; SIGKILL the holder; end the command later.

    Verify: the lock is held until the command has ended, and whoever waits is told so.
    """
    with holder("exclusive", tmp_path, "trap '' TERM; echo $$; while :; do sleep 0.1; done") as (process, words):
        child = int(words[0])
        process.kill()
        process.wait()
        assert not is_free(tmp_path)
        killer = threading.Timer(1.0, os.kill, (child, signal.SIGKILL))
        killer.start()
        with exclusive(tmp_path, "build"):
            assert_ended([child])
        killer.join()
    assert f"waiting for what process {process.pid} (build it) left running" in capsys.readouterr().out
