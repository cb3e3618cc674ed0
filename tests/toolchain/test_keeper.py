"""The process between us and a test, with real daemons."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from reconnect.toolchain.keeper import kept
from tests.processes import assert_ended
from tests.toolchain.world import DEADLINE, Gate

DAEMON = 'setsid sh -c "echo \\$\\$ >$PIDS; exec sleep 86395" & '
"""Starts a process in a session of its own, and writes its id to the FIFO that PIDS names."""


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -SEGV $$", -signal.SIGSEGV), ("kill -9 $$", -9)]
)
def test_it_ends_as_its_command_does(script: str, code: int) -> None:
    assert subprocess.run(kept(["sh", "-c", script]), timeout=DEADLINE).returncode == code


def test_a_command_that_does_not_exist() -> None:
    done = subprocess.run(kept(["/no/such"]), timeout=DEADLINE, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (127, "/no/such: No such file or directory\n")


@pytest.fixture
def pids(tmp_path: Path) -> Path:
    path = tmp_path / "pids"
    os.mkfifo(path)
    return path


def test_a_daemon_ends_with_the_command_that_left_it(pids: Path) -> None:
    """Its standard output is the daemon's, too: whoever reads that comes to an end."""
    script = f'{DAEMON} read pid <"$PIDS"; echo $pid'
    argv = kept(["sh", "-c", script])
    done = subprocess.run(argv, env={**os.environ, "PIDS": str(pids)}, timeout=DEADLINE, capture_output=True)
    assert_ended([int(done.stdout)])


def test_orphans_are_reaped_while_the_command_runs() -> None:
    """libvirt's commandtest waits until kill(2) finds its daemon no more; a zombie would be found for ever."""
    script = "(sleep 0.01 & echo $!) | { read pid; while kill -0 $pid 2>/dev/null; do sleep 0.01; done; }"
    assert subprocess.run(kept(["sh", "-c", script]), timeout=DEADLINE).returncode == 0


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_told_to_end_it_ends_all(pids: Path, gate: Gate, sig: int) -> None:
    """Steps: a command with a daemon ignores SIGTERM; tell its keeper to end. Verify: all are gone."""
    script = f'trap \'\' TERM; {DAEMON} read pid <"$PIDS"; echo x >"$GATE.reached"; while :; do sleep 0.1; done'
    environment = {**os.environ, "PIDS": str(pids), "GATE": str(gate.path)}
    with subprocess.Popen(kept(["sh", "-c", script]), env=environment, start_new_session=True) as keeper:
        with gate.path.with_suffix(".reached").open() as reached:
            reached.read(1)
        family = [p.pid for p in psutil.Process(keeper.pid).children(recursive=True)]
        assert len(family) >= 2
        keeper.send_signal(sig)
        assert keeper.wait(DEADLINE) == -signal.SIGTERM
    assert_ended(family)


def test_it_ends_all_when_its_parent_dies(pids: Path, gate: Gate) -> None:
    """Steps: SIGKILL the process that started the keeper. Verify: all are gone."""
    script = f'{DAEMON} read pid <"$PIDS"; echo x >"$GATE.reached"; while :; do sleep 0.1; done'
    environment = {**os.environ, "PIDS": str(pids), "GATE": str(gate.path)}
    start = f"import subprocess; subprocess.run({kept(['sh', '-c', script])!r})"
    with subprocess.Popen([sys.executable, "-c", start], env=environment) as parent:
        with gate.path.with_suffix(".reached").open() as reached:
            reached.read(1)
        family = [p.pid for p in psutil.Process(parent.pid).children(recursive=True)]
        parent.kill()
    assert len(family) >= 3
    assert_ended(family, DEADLINE)
