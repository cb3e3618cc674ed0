"""Processes, and waits for what they do."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading

import pytest

from reconnect.kit.deadline import Deadline
from reconnect.lab.process.child import Child
from reconnect.lab.process.failure import CellError, CellFailed
from reconnect.lab.process.waiter import Waiter

PARENT = """
import subprocess, sys
from reconnect.lab.process.waiter import Waiter
from reconnect.lab.process.child import Child
print(Child("sleeper", ["sleep", "600"], Waiter(), subprocess.DEVNULL).pid, flush=True)
sys.stdin.read()
"""


def _ends(pid: int) -> bool:
    """Whether a process that is none of our children ends within seconds, reaped or not."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], 10)[0])
    finally:
        os.close(pidfd)


@pytest.mark.parametrize(
    ("script", "ending"), [("exit 3", "exit code 3"), ("kill -SEGV $$", "signal SIGSEGV"), ("true", "exit code 0")]
)
def test_an_end_is_an_event_with_its_reason(script: str, ending: str) -> None:
    """Verify: a wait returns when the process ends, and says how it ended."""
    waiter = Waiter()
    child = Child("shell", ["sh", "-c", script], waiter, subprocess.DEVNULL)
    assert child.wait(Deadline(10), "the shell's end") >= child.started
    assert child.ending == ending


def test_a_child_that_ignores_sigterm_is_ended() -> None:
    """Steps: a shell that ignores SIGTERM and has a child of its own; kill it.

    Verify: it is gone; a second time does no harm.
    """
    child = Child("shell", ["sh", "-c", "trap '' TERM; sleep 600"], Waiter(), subprocess.DEVNULL)
    child.kill()
    assert child.returncode == -signal.SIGKILL
    child.kill()
    child.close()


def test_close_ends_the_whole_group() -> None:
    """Verify: what a child started is ended with it."""
    child = Child("shell", ["sh", "-c", "sleep 600 & echo $!; wait"], Waiter(), subprocess.PIPE)
    grandchild = int(child.stream.readline())
    child.close()
    child.stream.close()
    assert child.ending == "signal SIGTERM"
    assert _ends(grandchild)


def test_children_of_a_killed_harness_die() -> None:
    """Steps: a process starts a child and is killed with SIGKILL.

    Verify: the child is gone within seconds.
    """
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=-1, stdout=-1, text=True) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        parent.kill()
        parent.wait(10)
    assert _ends(pid)


@pytest.mark.guards("process/child.py Child.wait waits for {what}")
def test_a_child_that_does_not_end_is_not_waited_for_longer() -> None:
    """Verify: the deadline, and what was waited for."""
    child = Child("shell", ["sleep", "600"], Waiter(), subprocess.DEVNULL)
    with pytest.raises(CellError, match="for the shell's end"):
        child.wait(Deadline(0.05), "the shell's end")
    child.close()


def test_a_guard_ends_any_wait() -> None:
    """Steps: wait for what never comes; a guard objects when another thread rings.

    Verify: the guard's error comes out at once, from a wait and from a pause; outside of the block it is silent.
    """
    waiter = Waiter()
    dead = threading.Event()

    def guard() -> None:
        if dead.is_set():
            raise CellError("QEMU ended by itself")

    def die() -> None:
        dead.set()
        waiter.notify()

    threading.Timer(0.05, die).start()
    with waiter.guard(guard):
        with pytest.raises(CellError, match="QEMU ended"):
            waiter.wait(lambda: None, Deadline(30), "what never comes")
        with pytest.raises(CellError, match="QEMU ended"):
            waiter.sleep(Deadline(30))
    waiter.sleep(Deadline(0.01))


def test_a_guard_may_wait_for_who_rings() -> None:
    """A guard that joins a reader must not hold what the reader needs to ring.

    Steps: a guard joins a thread that rings; wait.
    Verify: the thread ended in the guard's join, not after its timeout.
    """
    waiter = Waiter()
    ringer = threading.Thread(target=waiter.notify, daemon=True)

    def guard() -> None:
        if not ringer.ident:
            ringer.start()
        ringer.join(10)
        assert not ringer.is_alive()

    with waiter.guard(guard):
        assert waiter.wait(lambda: True, Deadline(10), "nothing")


@pytest.mark.guards("process/waiter.py Waiter.wait: waited")
def test_a_wait_that_is_too_long_says_what_for() -> None:
    """Verify: the deadline's seconds, the thing, and the kind of failure that was asked for."""
    with pytest.raises(CellFailed, match=r"waited 0 s for the moon") as caught:
        Waiter().wait(lambda: None, Deadline(0.01), "the moon", CellFailed)
    assert caught.value.verdict == "fail"
    assert CellError("x").verdict == "error"
