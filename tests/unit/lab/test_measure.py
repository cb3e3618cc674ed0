"""Outage, losses and stages, worked out on lists of events."""

from __future__ import annotations

import math
from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconnect.lab.measure import figures, stage_times
from reconnect.lab.probe.log import ProbeRecord
from reconnect.lab.process.failure import CellFailed
from reconnect.lab.process.stages import StageTimes
from reconnect.lab.qemu.stall_check import judge

OFFSET = 1000.0
DELAY = 0.001


def _record(answered: set[int], last: int = 100, links: tuple[tuple[int, bool], ...] = ()) -> ProbeRecord:
    """A guest that sends one probe every 20 ms from guest time 0 on; each answer takes 1 ms."""
    record = ProbeRecord()
    for sequence in range(1, last + 1):
        sent = sequence * 20_000
        record.add(f"s {sequence} {sent}", OFFSET + sent / 1e6)
        if sequence in answered:
            at = sent + 1000
            record.add(f"a {sequence} {sent} {at}", OFFSET + at / 1e6 + DELAY)
    for at, up in links:
        record.add(f"l {'up' if up else 'down'} {at}", OFFSET + at / 1e6 + 0.5)
    return record


def test_outage_and_recovery_of_a_network_that_came_back() -> None:
    """Steps: answers to 1-30 and 61-100; the backend is started again at probe 40 and listens at probe 50.

    Verify: outage from the answer to 30 to that to 61, recovery from the listening to the answer to 61, 30 lost.
    """
    record = _record(set(range(1, 31)) | set(range(61, 101)))
    reached = stage_times(record, StageTimes(started=OFFSET + 0.8, listening=OFFSET + 1.0))
    found = figures(record, reached)
    assert found.outage_ms == pytest.approx(620.0)
    assert found.recovery_ms == pytest.approx(221.0)
    assert (found.probes_sent, found.probes_lost) == (100, 30)
    assert reached.milliseconds()["listening"] == 0.0
    assert reached.milliseconds()["first_reply"] == pytest.approx(221.0)


def test_a_network_that_stays_dead_has_no_outage_time() -> None:
    """Verify: no figure where there is nothing to measure to; every probe to the end counts as lost."""
    record = _record(set(range(1, 31)))
    found = figures(record, stage_times(record, StageTimes(started=OFFSET + 0.8, listening=OFFSET + 1.0)))
    assert found.outage_ms is None
    assert found.recovery_ms is None
    assert (found.probes_sent, found.probes_lost) == (100, 70)


def test_probes_before_the_first_answer_are_the_boot() -> None:
    """Verify: what was sent while the backend's first connection was made is not counted."""
    record = _record(set(range(21, 31)) | set(range(61, 91)))
    found = figures(record, stage_times(record, StageTimes(started=OFFSET + 0.8)))
    assert (found.probes_sent, found.probes_lost) == (70, 30)


def test_recovery_counts_from_the_start_where_qemu_listens() -> None:
    """Verify: without a listening backend, the origin is the start of its process."""
    record = _record(set(range(1, 31)) | set(range(61, 101)))
    found = figures(record, stage_times(record, StageTimes(started=OFFSET + 1.2)))
    assert found.recovery_ms == pytest.approx(21.0)


def test_an_answer_in_flight_at_the_fault_is_no_recovery() -> None:
    """Steps: probe 30's answer arrives after the fault, but before the backend is started again.

    Verify: it is the last answer before, not the first after.
    """
    record = _record(set(range(1, 31)) | set(range(61, 101)))
    fault_between = OFFSET + 0.6005
    found = figures(record, stage_times(record, StageTimes(started=fault_between + 0.2)))
    assert found.outage_ms == pytest.approx(620.0)


def test_only_a_link_that_comes_up_after_the_restart_is_a_stage() -> None:
    """Verify: the link's first up after the restart is taken; the boot's is not."""
    links = ((10_000, True), (700_000, False), (1_100_000, True), (1_200_000, True))
    record = _record(set(range(1, 31)) | set(range(61, 101)), links=links)
    assert stage_times(record, StageTimes(started=OFFSET + 0.8)).link_up == pytest.approx(OFFSET + 1.1)
    assert stage_times(record, StageTimes(started=OFFSET + 1.5)).link_up is None
    assert record.link_up is True


def test_a_probe_that_said_nothing_has_no_figures() -> None:
    """Verify: no division, no guess; the link is unknown."""
    record = ProbeRecord()
    found = figures(record, stage_times(record, StageTimes(started=1.0)))
    assert (found.outage_ms, found.recovery_ms, found.probes_sent, found.probes_lost) == (None, None, 0, 0)
    assert record.link_up is None


@given(delays=st.lists(st.floats(0, 0.5), min_size=1), offset=st.floats(0, 1e6))
def test_the_offset_is_the_tightest_bound(delays: list[float], offset: float) -> None:
    """Verify: however late lines arrive, the offset is too large by the smallest delay, never by more."""
    record = ProbeRecord()
    for number, delay in enumerate(delays, 1):
        record.add(f"s {number} {number * 20_000}", offset + number * 0.02 + delay)
    assert record.offset == pytest.approx(offset + min(delays), abs=1e-6)


@pytest.mark.parametrize("line", ["", "s 1", "s x 1", "a 1 2", "l sideways 3", "p 1 20000", "42 a 1", "\x00\x00 s"])
def test_a_torn_line_is_left_out(line: str) -> None:
    """Verify: what the serial port tore apart changes nothing."""
    record = ProbeRecord()
    record.add(line, 5.0)
    assert record == ProbeRecord()
    assert record.offset == math.inf


def test_a_streak_ends_with_a_loss() -> None:
    """Verify: the streak counts answers without a gap; unanswered probes are those after the last answer."""
    record = _record({1, 2, 3, 5, 6}, last=9)
    assert record.streak == 2
    assert record.unanswered_in_a_row() == 3


def test_a_second_answer_to_the_same_probe_changes_nothing() -> None:
    """Verify: a packet that the ring's restart sent again keeps its first answer's time."""
    record = _record({1, 2}, last=2)
    first = record.answered[2]
    record.add(f"a 2 40000 {first + 900_000}", OFFSET + 2)
    assert record.answered[2] == first


def test_a_guest_that_is_held_is_silent() -> None:
    """Steps: ten probes 20 ms apart, the seventh arrives 2 s late.

    Verify: the gap is found where it ends after the instant asked for, whatever the guest's clock says of it.
    """
    record = ProbeRecord()
    for number in range(1, 11):
        late = 2.0 if number >= 7 else 0.0
        record.add(f"s {number} {number * 20_000}", 100 + number * 0.02 + late)
    assert record.tx_gap_ms(0) == pytest.approx(2020)
    assert record.tx_gap_ms(101) == pytest.approx(2020)
    assert record.tx_gap_ms(102.15) == pytest.approx(20)
    assert ProbeRecord().tx_gap_ms(0) == 0


def test_a_backend_that_was_held_recovers_from_when_it_goes_on() -> None:
    """Verify: that is the origin; what came before has a negative time."""
    reached = StageTimes(started=1.0, listening=1.5, connected=2.0, accepted=7.1, first_reply=7.2, resumed=7.0)
    assert reached.origin == 7.0
    assert reached.milliseconds()["listening"] == pytest.approx(-5500)
    assert reached.milliseconds()["first_reply"] == pytest.approx(200)


@pytest.mark.parametrize(
    ("monitor", "tx_gap", "stalled"), [(3.0, 999.0, False), (1200.0, 20.0, True), (3.0, 5000, True)]
)
def test_a_virtual_machine_that_stalls_fails(monitor: float, tx_gap: float, stalled: bool) -> None:
    """Verify: either figure counts, and the message has both."""
    with pytest.raises(CellFailed, match="stalled") if stalled else nullcontext() as caught:
        judge(monitor, tx_gap)
    if stalled:
        assert caught is not None
        assert f"took {monitor:.0f} ms" in caught.value.what
        assert f"nothing for {tx_gap:.0f} ms" in caught.value.what
