"""``many:N@reconnect``: the backend is restarted again and again, and nothing may grow."""

from __future__ import annotations

from functools import partial

from reconnect.kit.deadline import Deadline
from reconnect.lab.matrix.matrix_case import LIFE_SECONDS, MONITOR_SECONDS, MatrixCase
from reconnect.lab.process.failure import CellFailed
from reconnect.lab.qemu.usage import ResourceUsage
from reconnect.lab.stub.script import Script

SETTLED, THREADS, ANONYMOUS_KIB = 4, 2, 4096
"""Restarts before QEMU's size is taken, and what it may gain: idle workers of its pool come and go, and the
translator's buffer fills as the guest runs."""


class Many(MatrixCase):
    """The backend is restarted so many times."""

    def _carry_out(self) -> None:
        testbed, loaded = self.testbed, Script(hang_up=True)
        self._before()
        self.mark = len(testbed.backend.events.all)
        first: ResourceUsage | None = None
        for number in range(self.case.count):
            mark = testbed.backend.load(loaded, Deadline(MONITOR_SECONDS))
            again = partial(testbed.backend.events.of, "ready", mark)
            testbed.waiter.wait(again, Deadline(testbed.options.recovery), f"restart {number + 1}", CellFailed)
            testbed.waiter.sleep(Deadline(LIFE_SECONDS))
            # The first ones may still fill a cache.
            first = testbed.usage if number == SETTLED else first
        self._check_connections(self.case.count)
        if first is not None:
            self._check_growth(first, testbed.usage)

    def _check_growth(self, first: ResourceUsage, last: ResourceUsage) -> None:
        grown = [
            f"{name} from {before} to {after}"
            for name, before, after, room in (
                ("descriptors", first.fds, last.fds, 0),
                ("threads", first.threads, last.threads, THREADS),
                ("private memory (KiB)", first.anonymous_kib, last.anonymous_kib, ANONYMOUS_KIB),
            )
            if after > before + room
        ]
        if grown:
            raise CellFailed(f"QEMU grew in {self.case.count} restarts: {', '.join(grown)}")
