"""A fake testbed for each test, and no pause that is longer than it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconnect.lab.matrix import dimm, fresh, hotplug, matrix_case, migrate
from tests.unit.lab.fakes import FakeTestbed

PAUSES = {
    dimm: ("UNMAPPED_SECONDS",),
    fresh: ("LATE_SECONDS",),
    hotplug: ("GUEST_SECONDS", "DEAD_SECONDS", "UNHEARD_SECONDS"),
    matrix_case: ("GONE_SECONDS", "SPIN_SECONDS"),
    migrate: ("MONITOR_SECONDS", "LOOK_SECONDS"),
}


@pytest.fixture
def testbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTestbed:
    """A testbed on which all is well."""
    for module, names in PAUSES.items():
        for name in names:
            monkeypatch.setattr(module, name, 0.02)
    return FakeTestbed(tmp_path)
