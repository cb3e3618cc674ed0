"""Cells with a network of our own: what ends each, and that a good one passes."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest

from reconnect.kit.deadline import Deadline
from reconnect.lab import boot as boot_module
from reconnect.lab.backends.known import BackendSpec
from reconnect.lab.binaries import Binaries, Qemu
from reconnect.lab.boot import LibvirtSetup, boot
from reconnect.lab.cell import Cell
from reconnect.lab.faults import FAULTS, Fault
from reconnect.lab.guest.image import Guest
from reconnect.lab.libvirt.shared_memory import SharedMemory
from reconnect.lab.process.failure import CellEnded, CellError, CellFailed
from reconnect.lab.scenario import CellRun
from reconnect.report.results import CellResult
from tests.unit.lab.network import OPTIONS, Network

HOLD_SECONDS = 0.2
RECOVERING, DEAD = Cell("default", "testpmd", "crash"), Cell("baseline", "testpmd", "crash")
HELD = Cell("default", "testpmd", "wedge")


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    """A good one."""
    with Network(tmp_path) as made:
        yield made


@pytest.fixture(autouse=True)
def _short_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    fault: Fault = replace(FAULTS["wedge"], hold=HOLD_SECONDS)
    monkeypatch.setitem(FAULTS, "wedge", fault)


def run(cell: Cell, network: Network, folder: Path) -> CellResult:
    """Measure a cell whose guest is up."""
    cell_run = CellRun(cell, folder, OPTIONS)
    booted = network.booted()
    booted.wait_steady(Deadline(10), 0, "probes to be answered", CellError)
    try:
        with ExitStack() as stack:
            cell_run.measure(booted, stack)
    except CellEnded as failure:
        return cell_run.result(failure.verdict, failure.what)
    return cell_run.result("pass", "")


@pytest.mark.parametrize("cell", [RECOVERING, HELD])
def test_a_good_network_passes(network: Network, tmp_path: Path, cell: Cell) -> None:
    """Verify: the verdict and all figures; without it the other tests here would show nothing."""
    found = run(cell, network, tmp_path)
    assert (found.verdict, found.why, found.connections) == ("pass", "", 1)
    assert found.outage_ms is not None
    assert found.recovery_ms is not None
    assert found.qemu is not None
    assert (found.monitor_ms is None) == (cell is RECOVERING)
    assert found.stages_ms["accepted"] is not None


def test_a_network_that_stays_dead_passes_where_it_must(network: Network, tmp_path: Path) -> None:
    """Verify: the same for the scheme without the series."""
    network.recovers = False
    found = run(DEAD, network, tmp_path)
    assert (found.verdict, found.expected, found.outage_ms) == ("pass", "dead", None)


@pytest.mark.parametrize(
    ("cell", "facts", "verdict", "why"),
    [
        pytest.param(
            *(RECOVERING, {"dies": False}, "fail", "for probes to go unanswered after crash"),
            marks=pytest.mark.guards("scenario.py CellRun.measure waits for probes to go unanswered after"),
        ),
        pytest.param(
            *(HELD, {"listens": False}, "error", "for the backend to listen again"),
            marks=pytest.mark.guards("recovery.py Recovery.hold waits for the backend to listen again"),
        ),
        pytest.param(
            *(HELD, {"connects": False}, "fail", "for QEMU to connect to a backend that hangs"),
            marks=pytest.mark.guards("recovery.py Recovery.hold waits for QEMU to connect to a backend that hangs"),
        ),
        pytest.param(
            *(HELD, {"accept_at_once": True}, "error", "accepted a connection before it could be stopped"),
            marks=pytest.mark.guards("recovery.py Recovery.hold: the backend accepted a connection before ..."),
        ),
        pytest.param(
            *(HELD, {"status": CellError("the monitor gave no answer")}, "error", "gave no answer"),
        ),
        pytest.param(
            *(HELD, {"slow": 1.1}, "fail", "the virtual machine stalled while its backend kept silent"),
        ),
        pytest.param(
            *(DEAD, {"listens": False}, "error", "for the backend to listen again"),
            marks=pytest.mark.guards("recovery.py Recovery.require_dead waits for the backend to listen again"),
        ),
        pytest.param(
            *(DEAD, {}, "fail", "the network came back"),
            marks=pytest.mark.guards(
                "recovery.py Recovery.require_dead.still_dead: the network came back, though nothing in ..."
            ),
        ),
        pytest.param(
            *(RECOVERING, {"recovers": False}, "fail", r"did not come back: .* \(reached: listening, connected"),
            marks=pytest.mark.guards(
                "recovery.py Recovery.require_recovery waits for a probe to be answered",
                "recovery.py Recovery.require_recovery: the network did not come back:",
            ),
        ),
        pytest.param(
            *(RECOVERING, {"made": 2}, "fail", "made 2 connections instead of 1"),
            marks=pytest.mark.guards("recovery.py Recovery.require_recovery: QEMU and the restarted backend made"),
        ),
        pytest.param(
            *(
                RECOVERING,
                {"status": {"status": "paused"}},
                "fail",
                "the guest is not running: .*paused",
            ),
            marks=pytest.mark.guards("scenario.py CellRun.measure: QEMU's monitor says that the guest is ..."),
        ),
        pytest.param(
            *(RECOVERING, {"status": None}, "fail", "the guest is not running: None"),
        ),
        pytest.param(
            *(RECOVERING, {"gone": psutil.NoSuchProcess(1)}, "error", "figures can't be read"),
            marks=pytest.mark.guards("qemu/usage.py usage_of: QEMU's figures can't be read:"),
        ),
    ],
)
def test_what_ends_a_cell(
    network: Network, tmp_path: Path, cell: Cell, facts: dict[str, Any], verdict: str, why: str
) -> None:
    """Verify: the verdict that tells a wrong network from a broken measurement, and the reason."""
    for name, value in facts.items():
        setattr(network, name, value)
    found = run(cell, network, tmp_path)
    assert found.verdict == verdict
    assert re.search(why, found.why), found.why


def test_a_backend_that_cannot_be_let_go_on_ends_the_cell(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps: SIGCONT fails, which happens in a thread of its own.

    Verify: an error that says so, not a switch that hangs for ever.
    """
    send = network._send

    def fail(number: signal.Signals) -> float:
        if number == signal.SIGCONT:
            raise PermissionError("no")
        return send(number)

    monkeypatch.setattr(network, "_send", fail)
    found = run(HELD, network, tmp_path)
    assert found.verdict == "error"
    assert "the timer that lets the backend go on broke: PermissionError" in found.why


@pytest.mark.guards("recovery.py Recovery.require_dead: the guest sent")
def test_a_guest_that_hangs_shows_nothing(network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps: a guest that sends no probe while its network must stay dead.

    Verify: an error: a dead guest answers nothing either.
    """
    network.recovers = False
    launch = network._launch

    def hang() -> float:
        network.sends = False
        return launch()

    monkeypatch.setattr(network, "_launch", hang)
    found = run(DEAD, network, tmp_path)
    assert found.verdict == "error"
    assert "it hangs" in found.why


@pytest.mark.guards(
    "recovery.py Recovery.require_recovery waits for probes to be answered steadily again",
    "boot.py Booted.wait_steady waits for {what}",
)
def test_a_network_that_loses_each_third_probe_has_not_recovered(network: Network, tmp_path: Path) -> None:
    """Verify: so many answers in a row are wanted, not so many at all."""
    network.gaps = 3
    found = run(RECOVERING, network, tmp_path)
    assert found.verdict == "fail"
    assert "for probes to be answered steadily again" in found.why


QEMU = Qemu("qemu", "1", Path("/nonexistent"), (), "c", (), "t")
BINARIES = Binaries(QEMU, QEMU)


class _Up:
    """A context manager that takes any arguments: something that starts well."""

    def __init__(self, vm: object) -> None:
        self._vm = vm

    def __call__(self, *_: object, **__: object) -> _Up:
        return self

    def __enter__(self) -> Any:
        return self._vm

    def __exit__(self, *_: object) -> None:
        pass


def _guest(network: Network) -> SimpleNamespace:
    """A guest that has a monitor, and whose card can be plugged."""
    return SimpleNamespace(
        record=network.record, connect_monitor=lambda: None, plug=lambda _: None, verify=lambda: None
    )


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.guards("boot.py boot waits for the guest to boot and its probes to be ...")
def test_a_guest_whose_probes_are_not_answered_is_an_error(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answered: bool
) -> None:
    """Steps: boot a guest that answers steadily only when its time is over; the same with answers at once.

    Verify: an error, for the fault was not even tried; a good guest is booted.
    """
    backend = cast("Any", network.booted().backend)
    monkeypatch.setattr(BackendSpec, "create", lambda *_: _Up(backend))
    monkeypatch.setattr(boot_module, "Vm", _Up(_guest(network)))
    network._answers = False
    with ExitStack() as stack:
        words = (stack, RECOVERING, BINARIES, Guest(tmp_path, tmp_path, "6"), None)
        with pytest.raises(CellError, match="for the guest to boot and its probes to be answered steadily"):
            boot(*words, runtime=tmp_path, folder=tmp_path, options=OPTIONS)
        if answered:
            network._answers = True
            assert boot(*words, runtime=tmp_path, folder=tmp_path, options=OPTIONS).record is network.record


@pytest.mark.guards("boot.py _start_domain waits for the guest to boot and wait for its ...")
def test_a_guest_that_never_waits_for_its_card_is_an_error(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verify: the cell ends before anything is attached."""
    backend = cast("Any", network.booted().backend)
    monkeypatch.setattr(BackendSpec, "create", lambda *_: _Up(backend))
    monkeypatch.setattr(boot_module, "Libvirtd", _Up(None))
    monkeypatch.setattr(boot_module, "LibvirtVm", _Up(_guest(network)))
    setup = LibvirtSetup(cast("Any", None), cast("Any", None), SharedMemory("memfd", "a test"))
    cell = Cell("explicit", "testpmd", "crash", launcher="attach")
    guest = Guest(tmp_path, tmp_path, "6")
    with ExitStack() as stack, pytest.raises(CellError, match="wait for its network card"):
        boot(stack, cell, BINARIES, guest, setup, runtime=tmp_path, folder=tmp_path, options=OPTIONS)


def test_the_kinds_are_told_apart() -> None:
    """Verify: what results.json calls fail and error."""
    assert (CellFailed("x").verdict, CellError("x").verdict) == ("fail", "error")
