"""A cell's timeline, from what its probe and the host saw."""

from __future__ import annotations

from reconnect.lab.probe.log import ProbeRecord
from reconnect.lab.process.stages import NAMES, StageTimes
from reconnect.report.timeline import Timeline

BEFORE_SECONDS = 1.5
"""So much of the time before the fault is kept: enough to see what was usual."""


def timeline_of(record: ProbeRecord, fault: float, stages: StageTimes) -> Timeline:
    """The timeline of a cell.

    :param fault: when its fault was committed, on the host's monotonic clock.
    """
    seen: dict[str, float | None] = {"fault": fault, "restart": stages.started}
    seen |= {name: getattr(stages, name) for name in NAMES}
    seen["resumed"] = stages.resumed
    seen["link_down"] = next((at for at, up in record.link_changes() if not up and at >= fault), None)
    events = {name: _ms(at - fault) for name, at in seen.items() if at is not None}
    begin = fault - BEFORE_SECONDS
    probes = []
    for sequence, sent_us in tuple(record.sent.items()):
        sent = record.host_time(sent_us)
        if sent >= begin:
            answered = record.answered.get(sequence)
            probes.append((_ms(sent - fault), None if answered is None else _ms((answered - sent_us) / 1e6)))
    return Timeline(events, tuple(probes))


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
