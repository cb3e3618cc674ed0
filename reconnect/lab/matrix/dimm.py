"""``dimm:N@memory``: memory that is hot-plugged goes again after the backend was restarted N times.

QEMU keeps references to the guest's memory for its backend. One that is not dropped with the connection keeps
the memory mapped for ever: ``object-del`` says that all is well, and QEMU still holds it.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from reconnect.kit.deadline import Deadline
from reconnect.lab.matrix.matrix_case import LIFE_SECONDS, MONITOR_SECONDS, STEADY, MatrixCase
from reconnect.lab.matrix.testbed import DIMM_MIB
from reconnect.lab.process.failure import CellError, CellFailed
from reconnect.lab.qemu.qmp import CommandRefused
from reconnect.lab.stub.script import Script

MEMORY, SLOT = "extra", "dimm"
GUEST_SECONDS = 60.0
UNMAPPED_SECONDS = 10.0


class Dimm(MatrixCase):
    """A case of this phase."""

    def _carry_out(self) -> None:
        testbed = self.testbed
        self._before()
        self.mark = len(testbed.backend.events.all)
        small = self._guest_memory()
        self._add_memory()
        self._monitor("device_add", {"driver": "pc-dimm", "id": SLOT, "memdev": MEMORY})
        testbed.order("memory-above", small + DIMM_MIB * 1024 * 3 // 4, deadline=Deadline(GUEST_SECONDS))
        if not self._mapped():
            raise CellError("QEMU has not mapped the memory that was plugged")
        before = testbed.reset_probe_record()
        ready = 0.0
        for number in range(self.case.count):
            mark = testbed.backend.load(Script(hang_up=True), Deadline(MONITOR_SECONDS))
            again = partial(testbed.backend.events.of, "ready", mark)
            ready = testbed.waiter.wait(again, Deadline(testbed.options.recovery), f"restart {number + 1}", CellFailed)[
                0
            ]["t"]
            testbed.waiter.sleep(Deadline(LIFE_SECONDS))
        self._steady()
        self._measure(before, ready)
        self._check_connections(self.case.count)
        self._monitor("device_del", {"id": SLOT})
        testbed.vm.event("DEVICE_DELETED", Deadline(GUEST_SECONDS), lambda data: data.get("device") == SLOT)
        self._monitor("object-del", {"id": MEMORY})
        deadline, what = Deadline(UNMAPPED_SECONDS), "QEMU to let go of the memory that was unplugged"
        # The guest's probes notify the waiter all the time.
        testbed.waiter.wait(lambda: not self._mapped(), deadline, what, CellFailed)
        self._steady()
        self._check_health()

    def _add_memory(self) -> None:
        size = DIMM_MIB * 2**20
        facts = {"mem-path": str(self.testbed.vm.arguments.memory_dir), "share": True, "size": size}
        kind = {"qom-type": "memory-backend-file", "id": MEMORY}
        try:
            self._monitor("object-add", {**kind, **facts})
        except CommandRefused:
            # Before QEMU 5.0.
            self._monitor("object-add", {**kind, "props": facts})

    def _guest_memory(self) -> int:
        """KiB."""
        said = self.testbed.order("memory", deadline=Deadline(MONITOR_SECONDS))
        return int(said.split()[1])

    def _mapped(self) -> bool:
        """Whether QEMU has the memory mapped: it names the file after the object, and unlinks it."""
        maps = Path(f"/proc/{self.testbed.vm.process.pid}/maps").read_text(encoding="utf-8").splitlines()
        return any("qemu_back_mem" in line and MEMORY in line for line in maps)

    def _steady(self) -> None:
        testbed = self.testbed
        testbed.wait_steady(STEADY, Deadline(testbed.options.recovery), "probes to be answered", CellFailed)
