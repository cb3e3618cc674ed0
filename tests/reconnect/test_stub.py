"""Real QEMUs against the scripted peer: the ordinary cells, and a few cases of the matrix, good and bad."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from reconnect.kit.deadline import Deadline
from reconnect.lab.binaries import Binaries
from reconnect.lab.cell import Cell
from reconnect.lab.cells import select
from reconnect.lab.guest.image import Guest
from reconnect.lab.matrix.runner import run_matrix
from reconnect.lab.matrix.testbed import Shape, Testbed
from reconnect.lab.options import Options
from reconnect.lab.process.failure import CellError
from reconnect.lab.scenario import run_cell
from reconnect.lab.schemes import SCHEMES
from reconnect.report.results import CellResult


def _matrix(
    words: str,
    binaries: Binaries,
    guest: Guest,
    folder: Path,
    scheme: str = "default",
    options: Options | None = None,
) -> dict[str, CellResult]:
    cells = select(scheme, "stub", words)
    return {result.fault: result for result in run_matrix(cells, binaries, guest, folder, options or Options())}


def _all_pass(results: dict[str, CellResult]) -> None:
    assert {name: (result.verdict, result.why) for name, result in results.items()} == dict.fromkeys(
        results, ("pass", "")
    )


@pytest.mark.parametrize("scheme", ["server", "default"])
def test_the_stub_is_a_switch_like_any_other(binaries: Binaries, guest: Guest, tmp_path: Path, scheme: str) -> None:
    """Steps: the ordinary cell with a crash.

    Verify: a pass with all its stages; the stub heard nothing that the specification forbids.
    """
    cell = Cell(scheme, "stub", "crash")
    result = run_cell(cell, binaries, guest, tmp_path / cell.name, Options())
    assert (result.verdict, result.why, result.connections) == ("pass", "", 1)
    assert all(result.stages_ms[stage] is not None for stage in ("accepted", "handshake", "first_reply"))
    assert not [log for log in (tmp_path / cell.name).glob("stub-*.log") if "violation" in log.read_text("utf-8")]


def test_one_guest_serves_many_cuts(binaries: Binaries, guest: Guest, tmp_path: Path) -> None:
    """Steps: a rehearsal and cuts at phases of a running guest.

    Verify: all pass on one QEMU for each phase; a cut costs one connection more than a rehearsal.
    """
    words = "rehearse@reconnect,cut:SET_MEM_TABLE:half-reply@reconnect,rehearse@set-link,cut:GET_VRING_BASE:*@set-link"
    results = _matrix(words, binaries, guest, tmp_path)
    _all_pass(results)
    assert len(list(tmp_path.glob("matrix-*"))) == 2
    assert results["rehearse@reconnect"].connections == 1
    assert results["cut:SET_MEM_TABLE:half-reply@reconnect"].connections == 2
    assert (results["cut:GET_VRING_BASE:after-read@set-link"].outage_ms or 0) > 500


def test_a_qemu_that_starts_or_quits_is_cut_too(binaries: Binaries, guest: Guest, tmp_path: Path) -> None:
    """Verify: each has a QEMU of its own, which ends in order."""
    words = "rehearse@startup,cut:SET_OWNER:after-read@startup,cut:GET_VRING_BASE:before-read@quit"
    _all_pass(_matrix(words, binaries, guest, tmp_path))
    assert len(list(tmp_path.glob("matrix-*"))) == 3


def test_where_qemu_listens(binaries: Binaries, guest: Guest, tmp_path: Path) -> None:
    """Verify: the same cases with the stub as the client."""
    words = "rehearse@reconnect,cut:GET_QUEUE_NUM:before-read@reconnect,many:6@reconnect"
    _all_pass(_matrix(words, binaries, guest, tmp_path, "server"))


def test_a_message_that_is_not_sent_is_no_pass(binaries: Binaries, guest: Guest, tmp_path: Path) -> None:
    """Verify: skipped with the reason; the next case has the same guest."""
    results = _matrix("cut:SEND_RARP:after-read@set-link,rehearse@set-link", binaries, guest, tmp_path)
    first, second = results.values()
    assert (first.verdict, first.why) == ("skip", "QEMU does not send SEND_RARP (1) at this phase")
    assert second.verdict == "pass"
    assert len(list(tmp_path.glob("matrix-*"))) == 1


def test_a_handshake_that_is_made_twice_is_found(binaries: Binaries, guest: Guest, tmp_path: Path) -> None:
    """Steps: cut the first handshake of a QEMU without our patches.

    Verify: a failure that names the broken rule, with all that was said in the cell's folder.
    """
    wrong = replace(binaries, patched=binaries.baseline)
    (result,) = _matrix("lie:CONNECT:after-read@startup", wrong, guest, tmp_path, "explicit").values()
    assert (result.verdict, result.why) == ("fail", "QEMU broke a rule of the protocol: SET_OWNER: a second SET_OWNER")
    story = (tmp_path / "explicit-stub-lie-CONNECT-after-read-startup-1" / "failure.txt").read_text("utf-8")
    assert "'event': 'connected'" in story


def test_a_qemu_that_spins_is_found(binaries: Binaries, guest: Guest, tmp_path: Path) -> None:
    """Steps: a backend that is no good for a while as a QEMU with our patches starts; one with too few queues, which
    would end that start, and a QEMU without.

    Verify: at most once a second; a failure that counts the connections.
    """
    _all_pass(_matrix("spin:CONNECT:after-read@any@startup", binaries, guest, tmp_path / "good", "explicit"))
    spin = "spin:GET_QUEUE_NUM:answer=0x0@any@startup"
    wrong = replace(binaries, patched=binaries.baseline)
    (result,) = _matrix(spin, wrong, guest, tmp_path / "bad", "explicit").values()
    assert result.verdict == "fail"
    assert "QEMU spins: " in result.why


def test_a_machine_that_stands_still_is_found(binaries: Binaries, guest: Guest, tmp_path: Path) -> None:
    """Steps: a backend that comes back, and hangs before it accepts; a QEMU with our patches, and one without.

    Verify: the one goes on; the other answers nobody until its backend does, which fails the cell with both figures.
    """
    cell = Cell("explicit", "stub", "wedge")
    good = run_cell(cell, binaries, guest, tmp_path / "good", Options())
    assert (good.verdict, good.why, good.connections) == ("pass", "", 1)
    assert good.tx_gap_ms is not None
    assert good.tx_gap_ms < 1000
    wrong = replace(binaries, patched=binaries.baseline)
    bad = run_cell(cell, wrong, guest, tmp_path / "bad", Options())
    assert bad.verdict == "fail"
    assert bad.why.startswith("the virtual machine stalled while its backend kept silent: ")
    assert min(bad.tx_gap_ms or 0, bad.monitor_ms or 0) > 4000


def test_a_backend_that_hangs_is_sent_one_question(binaries: Binaries, guest: Guest, tmp_path: Path) -> None:
    """Verify: whatever the user and the guest do meanwhile; a backend that never answers is given up."""
    results = _matrix("wedge:commands@reconnect,hang:CONNECT:stall@reconnect", binaries, guest, tmp_path)
    _all_pass(results)
    assert results["wedge:commands@reconnect"].connections == 1
    assert (results["hang:CONNECT:stall@reconnect"].monitor_ms or 1000) < 1000


def test_a_hot_plugged_card(binaries: Binaries, guest: Guest, tmp_path: Path) -> None:
    """Steps: plug a card, restart its backend, unplug it; unplug one while QEMU tries to connect.

    Verify: one guest for all; the card that was told not to reconnect is dead, and that is a pass.
    """
    words = "plug:default@hot-plug,plug:reconnect=0@hot-plug,unplug:away@hot-plug,unplug:queues=2@hot-plug"
    results = _matrix(words, binaries, guest, tmp_path)
    _all_pass(results)
    assert len(list(tmp_path.glob("matrix-*"))) == 1
    assert results["plug:default@hot-plug"].connections == 1
    assert results["plug:reconnect=0@hot-plug"].expected == "dead"


def test_a_card_with_two_queue_pairs(binaries: Binaries, guest: Guest, tmp_path: Path) -> None:
    """Steps: the ordinary cell with a crash and two pairs, with DPDK.

    Verify: recovered through one connection; DPDK has started all four rings again.
    """
    cell = Cell("default", "testpmd", "crash-mq")
    result = run_cell(cell, binaries, guest, tmp_path / cell.name, Options())
    assert (result.verdict, result.why, result.connections) == ("pass", "", 1)
    log = (tmp_path / cell.name / "testpmd-2.log").read_text("utf-8")
    for ring in range(4):
        assert f"vring kick idx:{ring}" in log


def test_the_guest_does_its_part(binaries: Binaries, guest: Guest, tmp_path: Path) -> None:
    """Steps: the driver is unloaded and loaded; two queue pairs; a migration; memory that is plugged and unplugged.

    Verify: all pass; the second pair's rings carried the frames.
    """
    words = "rehearse@unload,away@unload,rehearse@queues,rehearse@migrate,dimm:3@memory"
    _all_pass(_matrix(words, binaries, guest, tmp_path))
    (log,) = tmp_path.glob("matrix-*-queues/stub-1.log")
    stopped = [json.loads(line.split(None, 1)[1]) for line in log.read_text("utf-8").splitlines() if "stopped" in line]
    frames = {event["ring"]: event["frames"] for event in stopped}
    assert frames[3] > frames[1]


def test_what_the_series_mends_is_seen_without_it(binaries: Binaries, guest: Guest, tmp_path: Path) -> None:
    """Steps: cases on a QEMU without our patches, whose chardev is told to reconnect.

    Verify: each fails, and says why: features of a driver that is gone, an abort() where the log
    starts, a hot-plugged port that stays dead.
    """
    wrong = replace(binaries, patched=binaries.baseline)
    whys = {
        "away@unload": "the backend was told",
        "cut:SET_LOG_BASE:after-read@migrate": "SIGABRT",
        "plug:default@hot-plug": "the rings to run again",
    }
    results = _matrix(",".join(whys), wrong, guest, tmp_path, "explicit", Options(recovery=10))
    assert {name: result.verdict == "pass" for name, result in results.items()} == dict.fromkeys(whys, False)
    for name, why in whys.items():
        assert why in results[name].why


def test_an_order_that_the_guest_cannot_carry_out(binaries: Binaries, guest: Guest, tmp_path: Path) -> None:
    """Verify: an error that names the order, where the agent does not know it and where it fails."""
    with Testbed(SCHEMES["default"], binaries.patched, guest, tmp_path, Options(), Shape()) as testbed:
        testbed.power_on(Deadline(120))
        testbed.wait_steady(3, Deadline(120), "probes to be answered", CellError)
        with pytest.raises(CellError, match=r"carry out: dance \(exit code 127\)"):
            testbed.order("dance", deadline=Deadline(10))
        with pytest.raises(CellError, match=r"carry out: network \(exit code 2\)"):
            testbed.order("network", deadline=Deadline(10))
