"""Outage, losses and recovery from a probe's record: arithmetic only.

Two instants split a cell: the *fault*, and the *restart* of the backend, before which the lab has seen a run of
probes go unanswered. So every answer before the restart belongs to the time before the fault, and every one after it
to the recovery, however the packets in flight were treated.

Losses times the interval can be less than the outage, for two reasons, both seen: requests that wait in the guest's
ring are answered late, after the recovery; and a QEMU that begins a handshake with a backend which has not accepted
yet holds the guest, which then sends nothing at all (``tx_gap_ms`` of the results).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from reconnect.lab.probe.log import ProbeRecord
from reconnect.lab.process.stages import StageTimes


@dataclass(frozen=True)
class Figures:
    """What the probe says about a cell. Times in milliseconds; None where the network did not come back.

    :param outage_ms: last answer before the fault to first answer after the restart.
    :param probes_sent: probes from the first answered one on.
    :param probes_lost: those of them that never were answered, not counting probes after the last answer of a
        network that came back (their answers were still on their way).
    """

    outage_ms: float | None
    recovery_ms: float | None
    probes_sent: int
    probes_lost: int


def answers_after(record: ProbeRecord, instant: float) -> list[float]:
    """The times of all answers after an instant of the host's clock, sorted."""
    return sorted(at for at in map(record.host_time, tuple(record.answered.values())) if at >= instant)


def stage_times(record: ProbeRecord, seen: StageTimes) -> StageTimes:
    """Add the guest's stages to those seen on the host."""
    link = next((at for at, up in record.link_changes() if up and at >= seen.started), None)
    replies = answers_after(record, seen.started)
    return replace(seen, link_up=link, first_reply=replies[0] if replies else None)


def figures(record: ProbeRecord, reached: StageTimes) -> Figures:
    """The figures of a cell.

    :param reached: the stages, the guest's included.
    """
    answers = [record.host_time(at) for at in record.answered.values()]
    before = max((at for at in answers if at < reached.started), default=None)
    first = reached.first_reply
    known = first is not None and before is not None
    outage = (first - before) * 1000 if first is not None and before is not None else None
    recovery = (first - reached.origin) * 1000 if first is not None else None
    counted = _counted(record, known)
    return Figures(
        outage_ms=None if outage is None else round(outage, 1),
        recovery_ms=None if recovery is None else round(recovery, 1),
        probes_sent=len(counted),
        probes_lost=sum(sequence not in record.answered for sequence in counted),
    )


def _counted(record: ProbeRecord, recovered: bool) -> list[int]:
    if not record.answered:
        return []
    first = min(record.answered)
    last = max(record.answered) if recovered else record.last_sent
    return [sequence for sequence in record.sent if first <= sequence <= last]
