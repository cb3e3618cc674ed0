"""A process between us and a program, so that nothing which the program has started outlives it.

Daemons leave their session and their group: no signal to either reaches them. This process is the one that orphans
are given to (a *subreaper*: prctl(2), PR_SET_CHILD_SUBREAPER). It reaps them at once, since tests wait for their
daemons to be gone; and when the program has ended, or we have been told to end, or our parent has died, it ends
whatever is left, and ends as the program did. It is a program of its own: in ours, reaping would take the exit codes
that :mod:`subprocess` waits for. With ``--announce`` it says on its output how everything below it ended::

    subreaper: PID started
    subreaper: PID ended with RETURNCODE

for the program and for each orphan; a return code is negative for a signal, as :mod:`subprocess` has it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterable, Sequence

import psutil

GRACE_SECONDS = 2.0
"""What the program has to end by itself after it was told to; less than whoever tells us gives us."""

KILL_SECONDS = 20.0
"""After that, a process which can't be killed (another user's, or one that hangs in the kernel) is left alone."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_TELLING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_AWAITED = (signal.SIGCHLD, *_TELLING)


def below_subreaper(argv: Iterable[str | os.PathLike[str]], *, announce: bool = False) -> list[str]:
    """The command that runs a command below a subreaper.

    :param announce: let it say on standard output how each process ended.
    """
    return [sys.executable, "-P", __file__, *(["--announce"] if announce else []), "--", *map(str, argv)]


class Subreaper:
    """Runs one program and outlives all of its descendants.

    :ivar returncode: the program's, negative for a signal; None while it runs.
    """

    def __init__(self, argv: Sequence[str], *, announce: bool = False) -> None:
        self.returncode: int | None = None
        self._announce = announce
        self._deadline: float | None = None
        # Blocked, and awaited in one place: no signal, the first or the tenth, interrupts what is done meanwhile.
        signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
        libc = ctypes.CDLL(None, use_errno=True)
        for option, value in ((_PR_SET_CHILD_SUBREAPER, 1), (_PR_SET_PDEATHSIG, signal.SIGTERM)):
            if libc.prctl(option, value, 0, 0, 0):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        self._program = os.posix_spawnp(argv[0], list(argv), os.environ, setsigmask=[], setsigdef=[signal.SIGINT])
        self._say(f"{self._program} started")

    def run(self) -> int:
        """Return the program's return code when nothing is left that can be ended."""
        while self._reap():
            if self.returncode is not None:
                if self._out_of_time():
                    self._say(f"{', '.join(map(str, _descendants()))} can't be ended")
                    break
                kill_descendants()
            elif self._deadline is not None and self._out_of_time():
                self._tell(signal.SIGKILL)
            self._await_signal()
        return self.returncode or 0

    def _await_signal(self) -> None:
        # A child of a descendant that is killed becomes ours without a signal: look again soon.
        seconds = 0.05 if self.returncode is not None else 3600.0
        if self.returncode is None and self._deadline is not None:
            seconds = max(0.05, self._deadline - time.monotonic())
        came = signal.sigtimedwait(_AWAITED, seconds)
        if came and came.si_signo != signal.SIGCHLD and self._deadline is None:
            self._deadline = time.monotonic() + GRACE_SECONDS
            self._tell(signal.SIGTERM)

    def _reap(self) -> bool:
        """Take the exit codes of all children that have ended; False when there are no children."""
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return True
                code = os.waitstatus_to_exitcode(status)
                self._say(f"{pid} ended with {code}")
                if pid == self._program:
                    self.returncode = code
                    self._deadline = time.monotonic() + KILL_SECONDS
        except ChildProcessError:
            return False

    def _out_of_time(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _tell(self, sig: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(self._program, sig)

    def _say(self, text: str) -> None:
        """Write a line, if anybody is left to read it: this process must live on when the reader has died."""
        if self._announce:
            with contextlib.suppress(OSError):
                os.write(1, f"subreaper: {text}\n".encode())


def kill_descendants() -> None:
    """SIGKILL to all processes below this one: nobody wants their state any more."""
    for process in _descendants().values():
        # Gone since, or another user's (a setuid program): the others are to be ended all the same.
        with contextlib.suppress(psutil.Error):
            process.kill()


def _descendants() -> dict[int, psutil.Process]:
    return {process.pid: process for process in psutil.Process().children(recursive=True)}


def main(words: Sequence[str]) -> int:
    """Run ``[--announce] -- PROGRAM WORD...``; returns the program's return code, 127 where it can't be started."""
    options, argv = words[: words.index("--")], words[words.index("--") + 1 :]
    try:
        return Subreaper(argv, announce="--announce" in options).run()
    except OSError as error:
        print(f"{argv[0]}: {error.strerror}", file=sys.stderr)
        return 127


if __name__ == "__main__":
    ended = main(sys.argv[1:])
    if ended < 0:  # so shall it look from outside
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _AWAITED)
        if -ended != signal.SIGKILL:
            signal.signal(-ended, signal.SIG_DFL)
        os.kill(os.getpid(), ended * -1)
    sys.exit(ended)
