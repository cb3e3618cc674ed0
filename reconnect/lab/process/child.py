"""A process that lives no longer than the harness, whatever becomes of the harness."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from reconnect.kit.command import describe_exit, pasteable
from reconnect.kit.deadline import Deadline
from reconnect.kit.parent import ends_with_us
from reconnect.kit.processgroup import end_group
from reconnect.lab.process.waiter import Waiter


class Child:
    """A running program, in a process group of its own, with ``/dev/null`` as its input.

    The kernel kills it when the harness dies (prctl(2), PR_SET_PDEATHSIG, set by setpriv): even ``kill -9`` of the
    harness leaves nothing. A child must be started from the main thread: the signal comes when the *thread* that
    started it ends.

    :param name: for messages.
    :param output: where standard output and error go; ``subprocess.PIPE`` makes :attr:`stream`.
    :param env: variables to add to ours.
    :param orphan: the signal that it gets when the harness dies: another than KILL for one that has to clean up.
    :ivar started: when it was started, on the monotonic clock.
    :ivar ended: when it ended, or None.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        waiter: Waiter,
        output: int | IO[bytes],
        env: Mapping[str, str] | None = None,
        orphan: str = "KILL",
    ) -> None:
        self.name = name
        self.argv = tuple(str(word) for word in argv)
        self.ended: float | None = None
        self._waiter = waiter
        self.started = time.monotonic()
        self._process = subprocess.Popen(
            ends_with_us(self.argv, orphan),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **env} if env else None,
            start_new_session=True,
        )
        threading.Thread(target=self._watch, name=f"watcher of {name}", daemon=True).start()

    @property
    def pid(self) -> int:
        """The process id: setpriv and the shell replace themselves with the program."""
        return self._process.pid

    @property
    def stream(self) -> IO[bytes]:
        """Its output, where that was asked for as a pipe."""
        assert self._process.stdout is not None
        return self._process.stdout

    @property
    def ending(self) -> str:
        """``exit code 1`` or ``signal SIGSEGV``; empty while it runs."""
        return "" if self.ended is None else describe_exit(self._process.wait())

    @property
    def returncode(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return None if self.ended is None else self._process.wait()

    @property
    def pasteable(self) -> str:
        """Its command line, as one can paste it into a shell."""
        return pasteable(self.argv)

    def send(self, sig: signal.Signals) -> float:
        """Send a signal; returns when that was."""
        at = time.monotonic()
        self._process.send_signal(sig)
        return at

    def wait(self, deadline: Deadline, what: str) -> float:
        """Wait until it has ended; returns when that was."""
        return self._waiter.wait(lambda: self.ended, deadline, what)

    def close(self) -> None:
        """End it, if it still runs: SIGTERM, then SIGKILL, to the whole group."""
        if self.ended is None:
            end_group(self._process)
            self.ended = self.ended or time.monotonic()

    def kill(self) -> None:
        """End it at once, if it still runs: for a process whose state is of no more use."""
        if self.ended is None:
            self._process.kill()
            self._process.wait()
            self.ended = self.ended or time.monotonic()

    def _watch(self) -> None:
        # WNOWAIT leaves the reaping to subprocess, which does its own bookkeeping.
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        self.ended = self.ended or time.monotonic()
        self._waiter.notify()
