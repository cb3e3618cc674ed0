"""Memory that is plugged, and kept by a QEMU that should let go of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from reconnect.lab.matrix import testbed as testbed_module
from reconnect.lab.matrix.dimm import Dimm
from reconnect.lab.matrix.testbed import ORDINARY, SHAPES, Testbed
from reconnect.lab.process.failure import CellError, CellFailed
from reconnect.lab.schemes import SCHEMES
from reconnect.lab.stub.script import Script
from tests.unit.lab.fakes import OPTIONS, FakeTestbed
from tests.unit.lab.matrix.conftest import run

NAME = "dimm:3@memory"


@pytest.fixture
def plugged(testbed: FakeTestbed, monkeypatch: pytest.MonkeyPatch) -> FakeTestbed:
    """QEMU maps the memory that is plugged, and unmaps it when that is unplugged."""
    testbed.qemu.coming["DEVICE_DELETED"] = [{"device": "dimm"}]
    _mapped(monkeypatch, [True, False])
    return testbed


def _mapped(monkeypatch: pytest.MonkeyPatch, looks: Iterable[bool]) -> None:
    found: Iterator[bool] = iter(looks)
    last = [False]

    def mapped(_: Dimm) -> bool:
        last[0] = next(found, last[0])
        return last[0]

    monkeypatch.setattr(Dimm, "_mapped", mapped)


def test_a_good_qemu_passes(plugged: FakeTestbed) -> None:
    """Verify: a connection for each restart."""
    assert run(plugged, NAME).connections == 3


@pytest.mark.guards("matrix/dimm.py Dimm._carry_out: QEMU has not mapped the memory that was ...")
def test_memory_that_is_not_mapped(testbed: FakeTestbed) -> None:
    """Steps: look into the maps of a process that has no such memory: our own.

    Verify: an error: that it goes again would show nothing.
    """
    with pytest.raises(CellError, match="QEMU has not mapped the memory that was plugged"):
        run(testbed, NAME)


@pytest.mark.guards("matrix/dimm.py Dimm._carry_out waits for restart")
def test_a_qemu_that_stays_away(plugged: FakeTestbed) -> None:
    """Verify: the number of the restart."""
    plugged.stub.react = lambda _: plugged.stub.hang_up()
    with pytest.raises(CellFailed, match="for restart 1"):
        run(plugged, NAME)


@pytest.mark.guards("matrix/dimm.py Dimm._steady waits for probes to be answered")
def test_a_network_that_stays_dead(plugged: FakeTestbed) -> None:
    """Verify: rings that run are not enough."""

    def silent(script: Script) -> None:
        plugged.stub.good(script)
        plugged.qemu.network = False

    plugged.stub.react = silent
    with pytest.raises(CellFailed, match="for probes to be answered"):
        run(plugged, NAME)


@pytest.mark.guards("matrix/dimm.py Dimm._carry_out waits for QEMU to let go of the memory that was ...")
def test_memory_that_stays_mapped(plugged: FakeTestbed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify: a failure, though each command was answered with success."""
    _mapped(monkeypatch, [True])
    with pytest.raises(CellFailed, match="for QEMU to let go of the memory that was unplugged"):
        run(plugged, NAME)


def test_the_memory_that_will_be_plugged_has_its_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify: the folder is asked for the guest's memory and for what the phase plugs beyond it."""
    asked: list[int] = []

    def folder(mib: int) -> Path:
        asked.append(mib)
        return tmp_path

    monkeypatch.setattr(testbed_module, "memory_folder", folder)
    for phase in ("memory", "reconnect"):
        shape = SHAPES.get(phase, ORDINARY)
        nothing = cast("Any", None)
        testbed = Testbed(SCHEMES["default"], nothing, nothing, tmp_path, OPTIONS, shape)
        testbed.runtime = Path("/r")
        assert testbed._arguments().memory_dir == tmp_path
    assert asked == [256 + 128, 256]
