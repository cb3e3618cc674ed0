"""A fake testbed for each test, and no pause that is longer than it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconnect.lab.matrix import dimm, fresh, hotplug, matrix_case, migrate
from reconnect.lab.matrix.cases import Case
from reconnect.lab.matrix.kinds import matrix_case_for
from reconnect.lab.matrix.matrix_case import MatrixCase
from tests.unit.lab.fakes import FakeTestbed

PAUSES = {
    dimm: ("UNMAPPED_SECONDS",),
    fresh: ("LATE_SECONDS", "MONITOR_SECONDS"),
    hotplug: ("GUEST_SECONDS", "DEAD_SECONDS", "UNHEARD_SECONDS"),
    matrix_case: ("GONE_SECONDS", "SPIN_SECONDS"),
    migrate: ("MONITOR_SECONDS", "LOOK_SECONDS"),
}


@pytest.fixture
def testbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTestbed:
    """A testbed on which all is well."""
    _hasten(monkeypatch)
    return FakeTestbed(tmp_path)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTestbed:
    """The same where QEMU listens."""
    _hasten(monkeypatch)
    return FakeTestbed(tmp_path, "server")


def _hasten(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, names in PAUSES.items():
        for name in names:
            monkeypatch.setattr(module, name, 0.02)


def run(testbed: FakeTestbed, name: str) -> MatrixCase:
    """Run a case; returns it."""
    matrix_case = matrix_case_for(Case.parse(name), testbed)
    matrix_case.run()
    return matrix_case
