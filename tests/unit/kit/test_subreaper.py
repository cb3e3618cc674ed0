"""The process between us and a program: nothing that the program has started outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from reconnect.kit import subreaper
from reconnect.kit.subreaper import below_subreaper
from tests.processes import assert_ended

DEADLINE = 20.0

DAEMON = "setsid sh -c \"trap '' TERM; echo daemon \\$\\$; exec sleep 86395\" & "
"""A shell's words for a process that leaves its group and session, and ignores SIGTERM."""


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that are killed at the end of the test, if they still run."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def start(script: str, processes: list[subprocess.Popen[str]], *, announce: bool = False) -> subprocess.Popen[str]:
    argv = below_subreaper(["sh", "-c", script], announce=announce)
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True)
    processes.append(process)
    return process


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
    ("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -SEGV $$", -signal.SIGSEGV), ("kill -9 $$", -9)]
)
def test_it_ends_as_its_program_does(script: str, code: int) -> None:
    assert subprocess.run(below_subreaper(["sh", "-c", script]), timeout=DEADLINE).returncode == code


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -SEGV $$", -11)])
def test_the_programs_beginning_and_end_are_announced(script: str, code: int) -> None:
    argv = below_subreaper(["sh", "-c", f"echo own word; {script}"], announce=True)
    done = subprocess.run(argv, timeout=DEADLINE, capture_output=True, text=True)
    said = done.stdout.splitlines()
    said.remove("own word")  # the program may be faster than the announcement of its beginning
    pid = said[0].split()[1]
    assert said == [f"subreaper: {pid} started", f"subreaper: {pid} ended with {code}"]


def test_a_program_that_does_not_exist() -> None:
    done = subprocess.run(below_subreaper(["/no/such"]), timeout=DEADLINE, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (127, "/no/such: No such file or directory\n")


def test_a_daemon_ends_with_the_program_that_left_it(started: list[subprocess.Popen[str]]) -> None:
    """Its standard output is the daemon's, too: whoever reads that comes to an end. The daemon's end is announced."""
    process = start(f"{DAEMON} sleep 0.3; exit 0", started, announce=True)
    lines = process.communicate(timeout=DEADLINE)[0].splitlines()
    pid = daemon_in(lines)
    assert process.returncode == 0
    assert f"subreaper: {pid} ended with -9" in lines
    assert not psutil.pid_exists(pid)


def test_orphans_are_reaped_while_the_program_runs() -> None:
    """libvirt's commandtest waits until kill(2) finds its daemon no more; a zombie would be found for ever."""
    script = "(sleep 0.01 & echo $!) | { read pid; while kill -0 $pid 2>/dev/null; do sleep 0.01; done; }"
    assert subprocess.run(below_subreaper(["sh", "-c", script]), timeout=DEADLINE).returncode == 0


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_told_to_end_it_ends_all(started: list[subprocess.Popen[str]], sig: signal.Signals) -> None:
    """Steps: a program with a daemon ignores SIGTERM; tell its subreaper to end, twice.

    Verify: all are gone within the grace that whoever tells it gives; the second signal changes nothing.
    """
    process = start(f"trap '' TERM; {DAEMON} while :; do sleep 0.1; done", started)
    pid = daemon_in(lines_until(process, "daemon"))
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 2
    process.send_signal(sig)
    process.send_signal(sig)
    assert process.wait(subreaper.GRACE_SECONDS + 2.5) == -signal.SIGKILL
    assert_ended([pid, *(member.pid for member in family)])


def test_a_second_signal_while_it_ends_the_rest(started: list[subprocess.Popen[str]]) -> None:
    """Steps: a program ends and leaves 40 daemons, each of which starts the next; SIGTERM as soon as it has ended.

    Verify: the subreaper still ends as the program did, and none of them is left.
    """
    script = "for n in $(seq 40); do setsid sh -c 'echo daemon $$; exec sleep 86395' & done; sleep 1; exit 3"
    process = start(script, started, announce=True)
    lines = lines_until(process, "ended with 3")
    for _ in range(20):
        process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE) == 3
    assert_ended([int(line.split()[1]) for line in lines if line.startswith("daemon")])


def test_a_process_that_can_not_be_killed_does_not_save_the_others(
    started: list[subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user's process (a setuid program) refuses our signals: psutil.AccessDenied. No such user is at hand
    where the tests don't run as root, so the refusal itself is made here.
    """
    processes = [subprocess.Popen(["sleep", "86395"], text=True, start_new_session=True) for _ in range(3)]
    started += processes
    kill = psutil.Process.kill

    def refuse(self: psutil.Process) -> None:
        if self.pid == processes[0].pid:
            raise psutil.AccessDenied(self.pid)
        if self.pid in (p.pid for p in processes):
            kill(self)

    monkeypatch.setattr(psutil.Process, "kill", refuse)
    subreaper.kill_descendants()
    assert [p.wait(DEADLINE) for p in processes[1:]] == [-signal.SIGKILL] * 2
    assert processes[0].poll() is None


def test_it_goes_on_when_nobody_reads_what_it_says(started: list[subprocess.Popen[str]]) -> None:
    """Steps: close its output, as a harness does that dies; then tell it to end. Verify: the daemon is gone."""
    process = start(f"{DAEMON} exec sleep 600", started, announce=True)
    pid = daemon_in(lines_until(process, "daemon"))
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    process.send_signal(signal.SIGTERM)
    process.wait(DEADLINE)
    assert_ended([pid])


def test_it_ends_all_when_its_parent_dies(tmp_path: Path) -> None:
    """Steps: SIGKILL the process that started the subreaper. Verify: all are gone."""
    fifo = tmp_path / "daemon"
    os.mkfifo(fifo)
    script = f"{DAEMON.replace('echo daemon', f'echo >{fifo}')} while :; do sleep 0.1; done"
    code = f"import subprocess; subprocess.run({below_subreaper(['sh', '-c', script])!r})"
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        with fifo.open() as reached:
            reached.readline()
        family = [p.pid for p in psutil.Process(parent.pid).children(recursive=True)]
        parent.kill()
    assert len(family) >= 3
    assert_ended(family, DEADLINE)
