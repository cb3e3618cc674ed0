"""One deadline that flows down through all the waits of an operation, instead of 60 s + 60 s + 60 s."""

from __future__ import annotations

import time


class Deadline:
    """A point in time on the monotonic clock.

    :param seconds: how long from now; must be positive.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        """Seconds that are left; 0.0 once it has passed, never negative."""
        return max(0.0, self._end - time.monotonic())

    @property
    def passed(self) -> bool:
        """True once no time is left."""
        return self.remaining == 0.0

    def sooner(self, seconds: float) -> Deadline:
        """A deadline ``seconds`` from now, but never later than this one."""
        return Deadline(min(seconds, self.remaining))
