"""One bell for all that happens in a cell, so that waits are for events and never for a guessed time.

Whatever runs beside the main thread (a reader of a log, the watcher of a process) rings the bell when it has news.
The main thread waits for a condition: it looks again at each ring, and before each look every *guard* may object
(a QEMU that has died ends any wait at once).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from reconnect.kit.deadline import Deadline
from reconnect.lab.process.failure import Broken, CellFailure

T = TypeVar("T")
Guard = Callable[[], None]


class Bell:
    """The bell of one cell.

    :ivar epoch: when the cell began, on the monotonic clock; logs count from here.
    """

    def __init__(self) -> None:
        self.epoch = time.monotonic()
        self._condition = threading.Condition()
        self._rings = 0
        self._guards: list[Guard] = []

    def ring(self) -> None:
        """Say that something happened. Any thread may."""
        with self._condition:
            self._rings += 1
            self._condition.notify_all()

    @contextmanager
    def guarded(self, guard: Guard) -> Iterator[None]:
        """Let ``guard`` end all waits of this block by raising."""
        self._guards.append(guard)
        try:
            yield
        finally:
            self._guards.remove(guard)

    def check(self) -> None:
        """Let every guard object now."""
        for guard in tuple(self._guards):
            guard()

    def wait(
        self,
        condition: Callable[[], T | None],
        deadline: Deadline,
        what: str,
        failure: type[CellFailure] = Broken,
    ) -> T:
        """Wait until ``condition`` gives something true, and return that.

        :param what: completes "waited N s for ..." in the failure.
        :param failure: what is raised when the deadline passes.
        """
        while True:
            rings = self._rings
            self.check()
            if found := condition():
                return found
            if deadline.passed:
                raise failure(f"waited {deadline.seconds:.0f} s for {what}")
            self._sleep(rings, deadline)

    def pause(self, deadline: Deadline) -> None:
        """Let the deadline pass while the guards watch. For an observation that has to last."""
        while not deadline.passed:
            rings = self._rings
            self.check()
            self._sleep(rings, deadline)
        self.check()

    def _sleep(self, rings: int, deadline: Deadline) -> None:
        """Sleep until the next ring after the ``rings``-th, which may have come already, or the deadline."""
        with self._condition:
            if self._rings == rings:
                self._condition.wait(deadline.remaining)
