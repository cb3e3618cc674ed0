"""Root's lock of libvirt: nothing of a cell's time runs while another run holds it."""

from __future__ import annotations

import fcntl
import tempfile
import threading
import time
from pathlib import Path

import pytest

from reconnect.lab.binaries import Binaries, Libvirt, Qemu
from reconnect.lab.cell import Cell
from reconnect.lab.guest.image import Guest
from reconnect.lab.options import Options
from reconnect.lab.scenario import run_cell

BOOT_SECONDS = 1.0
HELD_SECONDS = 1.5


@pytest.fixture
def binaries(tmp_path: Path) -> Binaries:
    """A libvirtd that never answers, so that a cell ends when the time for its start is over."""
    prefix = tmp_path / "prefix"
    for name in ("sbin/libvirtd", "bin/virsh"):
        program = prefix / name
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\nexec sleep 600\n", encoding="utf-8")
        program.chmod(0o755)
    qemu = Qemu("qemu-7.2", "7.2.22", tmp_path / "qemu", (), "c" * 40, (), "t" * 40)
    return Binaries(qemu, qemu, Libvirt("libvirt-9.0", "9.0.0", prefix, tmp_path / "run"))


def test_another_runs_libvirtd_costs_a_cell_nothing(
    binaries: Binaries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps: another run holds the lock for longer than a start may take, then lets go.

    Verify: the cell's libvirtd has its whole time after that.
    """
    monkeypatch.setattr("reconnect.lab.libvirt.places.os.geteuid", lambda: 0)
    assert binaries.libvirt is not None
    # Below tmp_path there is no room for a socket's name.
    with tempfile.TemporaryDirectory(prefix="t-") as short, (Path(short) / ".s.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        libvirt = Libvirt("libvirt-9.0", "9.0.0", binaries.libvirt.prefix, Path(short) / "s")
        timer = threading.Timer(HELD_SECONDS, fcntl.flock, (lock, fcntl.LOCK_UN))
        timer.start()
        began = time.monotonic()
        cell = Cell("explicit", "stub", "crash", launcher="libvirt")
        found = run_cell(
            *(cell, Binaries(binaries.baseline, binaries.patched, libvirt), Guest(tmp_path, tmp_path, "6.1.0")),
            *(tmp_path / "cell", Options(boot=BOOT_SECONDS)),
        )
        took = time.monotonic() - began
    assert found.why == "waited 1 s for libvirtd to listen"
    assert took >= HELD_SECONDS + BOOT_SECONDS
