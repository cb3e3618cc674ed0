"""One waiter for all that happens in a cell, so that waits are for events and never for a guessed time.

Whatever runs beside the main thread (a reader of a log, the watcher of a process) notifies the waiter when it has news.
The main thread waits for a condition: it looks again at each notice, and before each look every *guard* may object
(a QEMU that has died ends any wait at once). A thread that breaks reports that: it ends the cell too, for what it
would have seen is missing.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from reconnect.kit.deadline import Deadline
from reconnect.lab.process.failure import CellEnded, CellError

T = TypeVar("T")
Guard = Callable[[], None]


class Waiter:
    """The waiter of one cell: a condition variable that counts its notices.

    :ivar epoch: when the cell began, on the monotonic clock; logs count from here.
    """

    def __init__(self) -> None:
        self.epoch = time.monotonic()
        self._condition = threading.Condition()
        self._notices = 0
        self._guards: list[Guard] = []
        self._broken: list[tuple[str, Exception]] = []

    def notify(self) -> None:
        """Say that something happened. Any thread may."""
        with self._condition:
            self._notices += 1
            self._condition.notify_all()

    def report(self, who: str, error: Exception) -> None:
        """Say that a thread could not do its work: from now on every look ends the cell. Any thread may.

        :param who: for the message, for example ``the reader of qemu.log``.
        """
        self._broken.append((who, error))
        self.notify()

    @contextmanager
    def guard(self, guard: Guard) -> Iterator[None]:
        """Let ``guard`` end all waits of this block by raising."""
        self._guards.append(guard)
        try:
            yield
        finally:
            self._guards.remove(guard)

    def check(self) -> None:
        """Let every guard object now.

        :raises CellError: a thread has broken.
        """
        if self._broken:
            who, error = self._broken[0]
            details = "".join(traceback.format_exception(error)).splitlines()
            raise CellError(f"{who} broke: {type(error).__name__}: {error}", details) from error
        for guard in tuple(self._guards):
            guard()

    def wait(
        self,
        condition: Callable[[], T | None],
        deadline: Deadline,
        what: str,
        failure: type[CellEnded] = CellError,
    ) -> T:
        """Wait until ``condition`` gives something true, and return that.

        :param what: completes "waited N s for ..." in the failure.
        :param failure: what is raised when the deadline passes.
        """
        while True:
            notices = self._notices
            self.check()
            if found := condition():
                return found
            if deadline.passed:
                raise failure(f"waited {deadline.seconds:.0f} s for {what}")
            self._sleep(notices, deadline)

    def sleep(self, deadline: Deadline) -> None:
        """Let the deadline pass while the guards watch. For an observation that has to last."""
        while not deadline.passed:
            notices = self._notices
            self.check()
            self._sleep(notices, deadline)
        self.check()

    def _sleep(self, notices: int, deadline: Deadline) -> None:
        """Sleep until the next notice after the ``notices``-th, which may have come already, or the deadline."""
        with self._condition:
            if self._notices == notices:
                self._condition.wait(deadline.remaining)
