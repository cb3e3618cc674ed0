"""A cell's timeline, from the record of its probe."""

from __future__ import annotations

from reconnect.lab.probe.log import ProbeRecord
from reconnect.lab.process.stages import StageTimes
from reconnect.lab.timeline import timeline_of


def test_all_is_on_one_clock() -> None:
    """Steps: a guest whose clock is 100 s behind; probes before and after a fault; a link that goes and comes.

    Verify: milliseconds since the fault; probes of long before are left out; a lost one has no answer.
    """
    record = ProbeRecord()
    for line in ("l up 100000", "s 1 1000000", "a 1 1000000 1000500", "s 2 4000000", "a 2 4000000 4000500"):
        record.add(line, 100 + int(line.split()[-1]) / 1e6)
    for line in ("l down 4600000", "s 3 5000000", "l up 6000000", "s 4 6500000", "a 4 6500000 6500400"):
        record.add(line, 100 + int(line.split()[-1]) / 1e6)
    stages = StageTimes(started=105.0, listening=105.2, first_reply=106.5004)
    found = timeline_of(record, 104.5, stages)
    assert found.events == {
        **{"fault": 0.0, "restart": 500.0, "listening": 700.0, "first_reply": 2000.4},
        "link_down": 100.0,
    }
    assert found.probes == ((-500.0, 0.5), (500.0, None), (2000.0, 0.4))
