"""A process between us and a test, so that nothing which the test has started outlives it.

Tests start daemons, and daemons leave their session: no signal to a process group reaches them. This process is the
one that orphans are given to (prctl(2), PR_SET_CHILD_SUBREAPER). It reaps them at once, since tests wait for their
daemons to be gone; and when the test has ended, or we have been told to end, or our parent has died, it ends whatever
is left. It is a program of its own: in ours, reaping would take the exit codes that :mod:`subprocess` waits for.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

import psutil

GRACE_SECONDS = 3.0
"""From being told to end until SIGKILL; less than the grace that we have ourselves."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_TELLING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def kept(argv: Sequence[str]) -> list[str]:
    """The command that runs a command below a keeper."""
    return [sys.executable, "-P", __file__, *argv]


class _TimeIsUp(Exception):
    pass


class _Told(Exception):
    pass


def main(argv: Sequence[str]) -> int:
    """Run a command; returns its exit code, negative for a signal."""
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((_PR_SET_CHILD_SUBREAPER, 1), (_PR_SET_PDEATHSIG, signal.SIGTERM)):
        if libc.prctl(option, value, 0, 0, 0):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    signal.pthread_sigmask(signal.SIG_BLOCK, _TELLING)
    child = os.fork()
    if child == 0:
        _become(argv)
    try:
        for sig in _TELLING:
            signal.signal(sig, _raise_told)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _TELLING)
        code = _wait(child)
    except _Told:
        # Once is enough; and the command has a moment, as it may have children in sessions of their own to tell.
        for sig in _TELLING:
            signal.signal(sig, signal.SIG_IGN)
        _tell(child)
        code = -signal.SIGTERM
    _end_all()
    return code


def _become(argv: Sequence[str]) -> None:
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _TELLING)
        os.execvp(argv[0], list(argv))
    except OSError as error:
        print(f"{argv[0]}: {error.strerror}", file=sys.stderr)
    finally:
        os._exit(127)


def _wait(child: int) -> int:
    """Reap whatever ends, until it is the child."""
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.waitstatus_to_exitcode(status)


def _tell(child: int) -> None:
    signal.signal(signal.SIGALRM, _raise_time_is_up)
    try:
        signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS)
        os.kill(child, signal.SIGTERM)
        _wait(child)
    except (_TimeIsUp, ProcessLookupError, ChildProcessError):
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _end_all() -> None:
    """Kill and reap until there is nobody left; who loses its parent thereby becomes our child."""
    me = psutil.Process()
    while True:
        for process in me.children(recursive=True):
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        try:
            os.wait()
        except ChildProcessError:
            return


def _raise_told(_: int, __: FrameType | None) -> None:
    raise _Told


def _raise_time_is_up(_: int, __: FrameType | None) -> None:
    raise _TimeIsUp


if __name__ == "__main__":
    ended = main(sys.argv[1:])
    if ended < 0:  # so shall it look from outside
        if -ended != signal.SIGKILL:
            signal.signal(-ended, signal.SIG_DFL)
        os.kill(os.getpid(), -ended)
    sys.exit(ended)
