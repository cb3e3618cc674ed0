"""Real QEMUs against the scripted peer: the ordinary cells, and a few entries of the matrix, good and bad."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reconnect.lab.binaries import Binaries
from reconnect.lab.cells import Cell, select
from reconnect.lab.guest import Guest
from reconnect.lab.matrix.runner import run_matrix
from reconnect.lab.results import CellResult
from reconnect.lab.scenario import Options, run_cell


def _matrix(
    words: str, binaries: Binaries, guest: Guest, folder: Path, scheme: str = "default"
) -> dict[str, CellResult]:
    cells = select(scheme, "stub", words)
    return {result.fault: result for result in run_matrix(cells, binaries, guest, folder, Options())}


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
    """Steps: a rehearsal and cuts at moments of a running guest.

    Verify: all pass on one QEMU for each moment; a cut costs one connection more than a rehearsal.
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
    """Verify: the same entries with the stub as the client."""
    words = "rehearse@reconnect,cut:GET_QUEUE_NUM:before-read@reconnect,many:6@reconnect"
    _all_pass(_matrix(words, binaries, guest, tmp_path, "server"))


def test_a_message_that_is_not_sent_is_no_pass(binaries: Binaries, guest: Guest, tmp_path: Path) -> None:
    """Verify: skipped with the reason; the next entry has the same guest."""
    results = _matrix("cut:SEND_RARP:after-read@set-link,rehearse@set-link", binaries, guest, tmp_path)
    first, second = results.values()
    assert (first.verdict, first.why) == ("skip", "QEMU does not send SEND_RARP (1) at this moment")
    assert second.verdict == "pass"
    assert len(list(tmp_path.glob("matrix-*"))) == 1


def test_a_handshake_that_is_made_twice_is_found(binaries: Binaries, guest: Guest, tmp_path: Path) -> None:
    """Steps: cut the first greeting of a QEMU without our patches (REFERENCE B8).

    Verify: a failure that names the broken rule, with all that was said in the cell's folder.
    """
    wrong = replace(binaries, patched=binaries.baseline)
    (result,) = _matrix("lie:CONNECT:after-read@startup", wrong, guest, tmp_path, "explicit").values()
    assert (result.verdict, result.why) == ("fail", "QEMU broke a rule of the protocol: SET_OWNER: a second SET_OWNER")
    story = (tmp_path / "explicit-stub-lie-CONNECT-after-read-startup-1" / "failure.txt").read_text("utf-8")
    assert "'event': 'connected'" in story


def test_a_qemu_that_spins_is_found(binaries: Binaries, guest: Guest, tmp_path: Path) -> None:
    """Steps: a backend with too few queues, for a while; a QEMU with our patches, and one without (REFERENCE B7).

    Verify: once a second; a failure that counts the connections.
    """
    spin = "spin:GET_QUEUE_NUM:answer=0x0@any@startup"
    _all_pass(_matrix(spin, binaries, guest, tmp_path / "good", "explicit"))
    wrong = replace(binaries, patched=binaries.baseline)
    (result,) = _matrix(spin, wrong, guest, tmp_path / "bad", "explicit").values()
    assert result.verdict == "fail"
    assert "QEMU spins: " in result.why
