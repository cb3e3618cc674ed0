"""The parent of libvirtd and of whatever it starts: ``python -m reconnect.lab.libvirt.keeper PROGRAM WORD...``

libvirtd turns each QEMU into a daemon: a process that outlives it, and that no signal to a group or to a session
reaches. The keeper is their *subreaper* (prctl(2), PR_SET_CHILD_SUBREAPER): all that is orphaned below it becomes its
child. So it knows how each of them ended, and says so on its output; of the program it also says the beginning::

    keeper: PID started
    keeper: PID ended with EXIT-CODE-OR-SIGNAL

When it is told to end (SIGTERM, which the kernel sends when the harness dies), or libvirtd has ended, it ends what is
left. It ends itself when it has no children any more, with libvirtd's exit code.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time

import psutil

from reconnect.kit.command import describe_exit

PR_SET_CHILD_SUBREAPER = 36
"""linux/prctl.h, since Linux 3.4."""

GRACE_SECONDS = 2.0
"""What libvirtd has to end by itself: less than the harness gives the keeper."""

SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)


class Keeper:
    """Keeps one program.

    :ivar status: the program's exit code as a shell has it; None while it runs.
    """

    def __init__(self, argv: list[str]) -> None:
        self.status: int | None = None
        self._kill_at: float | None = None
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
        self._program = os.posix_spawn(argv[0], argv, os.environ, setsigmask=[], setsigdef=[signal.SIGINT])
        _say(f"{self._program} started")

    def run(self) -> int:
        """Return when nothing is left, with the program's exit code."""
        while self._reap():
            if self.status is not None:
                kill_descendants()
            elif self._kill_at is not None and time.monotonic() >= self._kill_at:
                os.kill(self._program, signal.SIGKILL)
            self._next_signal()
        return self.status or 0

    def _next_signal(self) -> None:
        # A child of a descendant that is killed becomes ours without a signal: look again soon.
        seconds = 0.05 if self.status is not None else 3600.0
        if self.status is None and self._kill_at is not None:
            seconds = max(0.0, self._kill_at - time.monotonic())
        came = signal.sigtimedwait(SIGNALS, seconds)
        if came and came.si_signo != signal.SIGCHLD and self._kill_at is None:
            self._kill_at = time.monotonic() + GRACE_SECONDS
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._program, signal.SIGTERM)

    def _reap(self) -> bool:
        """Take the exit codes of all children that have ended; False when there are no children."""
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return True
                code = os.waitstatus_to_exitcode(status)
                _say(f"{pid} ended with {describe_exit(code)}")
                if pid == self._program:
                    self.status = code if code >= 0 else 128 - code
        except ChildProcessError:
            return False


def _say(text: str) -> None:
    """Write a line, if anybody is left to read it: the keeper must live on when the harness has died."""
    with contextlib.suppress(OSError):
        os.write(1, f"keeper: {text}\n".encode())


def kill_descendants() -> None:
    """SIGKILL to all processes below this one: nobody wants their state any more."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


if __name__ == "__main__":
    sys.exit(Keeper(sys.argv[1:]).run())
