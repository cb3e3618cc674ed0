"""The keeper: nothing that its program has started outlives it, and it knows how each ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from reconnect.lab.libvirt import keeper
from tests.processes import assert_ended

DAEMON = "setsid sh -c 'trap \"\" TERM; echo daemon $$; exec sleep 600' & "
"""A shell's words for a process that leaves its group and session, and ignores SIGTERM."""


@contextmanager
def kept(script: str) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-m", keeper.__name__, "/bin/sh", "-c", script]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=env, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


def lines_until(process: subprocess.Popen[str], word: str) -> list[str]:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if word in line:
            break
    return lines


def daemon_in(lines: list[str]) -> int:
    return int(next(line for line in lines if line.startswith("daemon")).split()[1])


@pytest.mark.parametrize(
    ("script", "code", "ending"),
    [("exit 0", 0, "exit code 0"), ("exit 3", 3, "exit code 3"), ("kill -SEGV $$", 139, "signal SIGSEGV")],
)
def test_the_programs_end_is_its_own(script: str, code: int, ending: str) -> None:
    """Verify: its exit code, as a shell has it; its beginning and its end are said."""
    with kept(script) as process:
        lines = process.communicate(timeout=20)[0].splitlines()
    assert process.returncode == code
    pid = lines[0].split()[1]
    assert lines == [f"keeper: {pid} started", f"keeper: {pid} ended with {ending}"]


def test_a_daemon_ends_with_the_program_that_left_it() -> None:
    """Steps: a program ends and leaves a process in a session of its own.

    Verify: it is killed, and its end is said.
    """
    started = time.monotonic()
    with kept(DAEMON + "sleep 0.3; exit 0") as process:
        lines = process.communicate(timeout=20)[0].splitlines()
    pid = daemon_in(lines)
    assert f"keeper: {pid} ended with signal SIGKILL" in lines
    assert time.monotonic() - started < 10
    assert not psutil.pid_exists(pid)


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_of_them(sig: signal.Signals) -> None:
    """Steps: a signal to the keeper of a program that ignores SIGTERM, and of its daemon.

    Verify: all are gone within the grace that the lab gives the keeper.
    """
    with kept(f"trap '' TERM; {DAEMON} sleep 600 & while :; do wait; done") as process:
        pid = daemon_in(lines_until(process, "daemon"))
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) >= 3
        started = time.monotonic()
        process.send_signal(sig)
        process.wait(20)
    assert time.monotonic() - started < 5
    assert_ended([pid, *(member.pid for member in family)])


def test_it_goes_on_when_nobody_reads_what_it_says() -> None:
    """Steps: close the keeper's output, as a harness does that dies; then tell it to end.

    Verify: the daemon is gone all the same.
    """
    with kept(DAEMON + "exec sleep 600") as process:
        pid = daemon_in(lines_until(process, "daemon"))
        assert process.stdout is not None
        process.stdout.close()
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    assert_ended([pid])
