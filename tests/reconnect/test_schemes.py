"""The real thing: a guest, a switch, a fault, for every scheme."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from reconnect.lab.backends.testpmd import Testpmd
from reconnect.lab.binaries import Binaries
from reconnect.lab.cell import Cell
from reconnect.lab.guest.image import Guest
from reconnect.lab.options import Options
from reconnect.lab.scenario import run_cell
from reconnect.report.results import CellResult


def _run(cell: Cell, binaries: Binaries, guest: Guest, folder: Path, options: Options | None = None) -> CellResult:
    return run_cell(cell, binaries, guest, folder / cell.name, options or Options())


@pytest.mark.parametrize(
    ("scheme", "fault"),
    [("server", "crash"), ("default", "crash"), ("explicit", "crash"), ("server", "stop"), ("explicit", "stop")],
)
def test_the_network_comes_back(binaries: Binaries, guest: Guest, tmp_path: Path, scheme: str, fault: str) -> None:
    """A patched QEMU finds its switch again.

    Steps: boot a guest on testpmd; end testpmd; start it again.
    Verify: a pass, with figures; the stages come in their order; one connection; no descriptor leaked.
    """
    result = _run(Cell(scheme, "testpmd", fault), binaries, guest, tmp_path)
    assert (result.verdict, result.why) == ("pass", "")
    assert result.outage_ms is not None
    assert result.recovery_ms is not None
    assert 0 < result.recovery_ms < 30_000
    assert result.recovery_ms < result.outage_ms
    # Fifty a second are lost while the network is away, give or take what a busy machine delays.
    assert 0 < result.probes_lost < result.probes_sent
    assert result.connections == 1
    stages = [result.stages_ms[name] for name in ("connected", "accepted", "handshake", "first_reply")]
    reached = [at for at in stages if at is not None]
    assert len(reached) == 4
    # Samples of the kernel, lines of a log, stamps of the guest: a busy machine reads some of them late.
    assert all(later - earlier > -500 for earlier, later in pairwise(reached))
    assert all(at > 0 for at in reached)
    assert result.stages_ms["listening"] == (None if scheme == "server" else 0.0)
    assert result.qemu is not None
    assert result.qemu.fds_after <= result.qemu.fds_before
    assert result.qemu.rss_kib_before > 0
    assert all((tmp_path / log).is_file() for log in result.logs)
    assert {Path(log).name for log in result.logs} >= {"qemu.cmd", "qemu.log", "console.log", "probe.log"}


def test_without_the_feature_the_network_stays_dead(binaries: Binaries, guest: Guest, tmp_path: Path) -> None:
    """The problem that the project exists for.

    Steps: boot a guest on testpmd with a QEMU that lacks the feature; crash testpmd; start it again; watch.
    Verify: a pass, because not one probe was answered; the guest and QEMU are alive.
    """
    result = _run(Cell("baseline", "testpmd", "crash"), binaries, guest, tmp_path)
    assert (result.verdict, result.why, result.expected) == ("pass", "", "dead")
    assert (result.outage_ms, result.recovery_ms, result.connections) == (None, None, 0)
    assert result.probes_lost > 250
    assert result.stages_ms["listening"] == 0.0
    assert result.stages_ms["connected"] is None


def test_a_baseline_that_lives_is_a_broken_run(binaries: Binaries, guest: Guest, tmp_path: Path) -> None:
    """Steps: run the baseline's cell with the patched QEMU, which brings the network back.

    Verify: a failure that says so.
    """
    wrong = replace(binaries, baseline=binaries.patched)
    result = _run(Cell("baseline", "testpmd", "crash"), wrong, guest, tmp_path)
    assert result.verdict == "fail"
    assert "the network came back" in result.why


def test_a_network_that_does_not_come_back_is_a_failure(binaries: Binaries, guest: Guest, tmp_path: Path) -> None:
    """Steps: run the cell of the default with a QEMU that lacks it.

    Verify: a failure that says how far it came; its whole story is in failure.txt.
    """
    wrong = replace(binaries, patched=binaries.baseline)
    result = _run(Cell("default", "testpmd", "crash"), wrong, guest, tmp_path, Options(recovery=4))
    assert result.verdict == "fail"
    assert "did not come back" in result.why
    assert "reached: listening; the guest's link is down" in result.why
    assert (tmp_path / "default-testpmd-crash-1/failure.txt").read_text(encoding="utf-8").startswith(result.why)


def test_a_second_connection_is_a_failure(
    binaries: Binaries, guest: Guest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No QEMU of ours connects twice any more: count wrong on purpose.

    Steps: run a cell that recovers, with a backend that counts one connection too many.
    Verify: a failure that says how many there were.
    """
    counted = Testpmd.connections
    monkeypatch.setattr(Testpmd, "connections", lambda self: counted(self) + 1)
    result = _run(Cell("explicit", "testpmd", "crash"), binaries, guest, tmp_path)
    assert result.verdict == "fail"
    assert "made 2 connections instead of 1" in result.why


def test_a_guest_that_asks_for_its_peers_address(binaries: Binaries, guest: Guest, tmp_path: Path) -> None:
    """Steps: as the default, with a guest that resolves its peer's address by ARP.

    Verify: a pass, and the result says which it was.
    """
    result = _run(Cell("default", "testpmd", "crash"), binaries, guest, tmp_path, Options(neighbour="arp"))
    assert (result.verdict, result.why, result.neighbour) == ("pass", "", "arp")
