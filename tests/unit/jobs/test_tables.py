"""What ``doctor`` and ``status`` print."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reconnect.jobs import tables
from reconnect.jobs.doctor import BAD, NOTE, OK, Finding
from reconnect.kit.console import out
from reconnect.report import results
from reconnect.toolchain.status import Status
from tests.unit.report.test_results import PASSED, RUN

ROWS = [
    Status("qemu-7.2", "debian-12", "not asked", "1:7.2", "30 patches", "yes"),
    Status("libvirt-9.0", "debian-12", "not asked", "no", "no", "no: series"),
]


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that folds nothing."""
    monkeypatch.setattr(out, "width", 200)


@pytest.mark.usefixtures("wide")
def test_doctor_has_a_row_for_each_finding_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    """Verify: state, check and detail; text in brackets is no markup."""
    findings = [
        Finding("Debian packages [build]", OK, "40 installed"),
        Finding("/dev/kvm", NOTE, "[none]"),
        Finding("memory", BAD, "1 MiB", "buy some"),
    ]
    tables.doctor(findings)
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["check", "found"]
    assert [row.split() for row in rows] == [
        ["ok", "Debian", "packages", "[build]", "40", "installed"],
        ["note", "/dev/kvm", "[none]"],
        ["missing", "memory", "1", "MiB"],
    ]


@pytest.mark.usefixtures("wide")
def test_status_has_a_row_for_each_component(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tables.status(ROWS, tmp_path)
    head, first, second, last = capsys.readouterr().out.splitlines()
    assert head.split() == ["component", "stack", "origin", "fetched", "patched", "built"]
    assert first.split() == ["qemu-7.2", "debian-12", "not", "asked", "1:7.2", "30", "patches", "yes"]
    assert second.split() == ["libvirt-9.0", "debian-12", "not", "asked", "no", "no", "no:", "series"]
    assert last == "last run: none"


@pytest.mark.usefixtures("wide")
def test_status_counts_the_verdicts_of_the_last_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Steps: two runs, the second the latest. Verify: its id, its stack and its verdicts, not the other's."""
    failed = replace(PASSED, repeat=2, verdict="fail")
    for name, cells in (("first", (failed,)), ("second", (PASSED, failed, replace(PASSED, repeat=3)))):
        (tmp_path / name).mkdir()
        results.save(replace(RUN, run=name, cells=cells), tmp_path / name)
    (tmp_path / "latest").symlink_to("second")
    tables.status(ROWS, tmp_path)
    assert capsys.readouterr().out.splitlines()[-1] == "last run: second, stack debian-12: 2 pass, 1 fail"
