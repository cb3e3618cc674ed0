"""What counts against a series, and what does not."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from reconnect.project import config
from reconnect.project.workspace import ROOT
from reconnect.toolchain.upstream import report
from reconnect.toolchain.upstream.compare import Change, Row, compare, reclassify_flaky
from reconnect.toolchain.upstream.outcome import Outcome, Result
from reconnect.toolchain.upstream.run import Verdict


def result(outcome: str | None, case: str = "") -> list[Result]:
    return [Result("s", "t", case, Outcome(outcome), "because")] if outcome else []


@pytest.mark.parametrize(
    ("unpatched", "patched", "change"),
    [
        ("pass", "pass", Change.SAME),
        ("skip", "skip", Change.SAME),
        ("fail", "fail", Change.BEFORE),
        ("timeout", "fail", Change.BEFORE),
        ("fail", "timeout", Change.BEFORE),
        ("fail", "pass", Change.BETTER),
        ("timeout", "skip", Change.BETTER),
        ("skip", "pass", Change.BETTER),
        ("fail", None, Change.BETTER),
        ("pass", "fail", Change.WORSE),
        ("pass", "timeout", Change.WORSE),
        ("skip", "fail", Change.WORSE),
        ("pass", "skip", Change.LOST),
        ("pass", None, Change.LOST),
        (None, "pass", Change.NEW),
        (None, "skip", Change.NEW),
        (None, "fail", Change.WORSE),
        (None, "timeout", Change.WORSE),
    ],
)
def test_the_judgement(unpatched: str | None, patched: str | None, change: Change) -> None:
    (row,) = compare(result(unpatched), result(patched))
    assert row.change is change
    assert row.change.bad == (change in (Change.WORSE, Change.LOST))
    assert (row.unpatched, row.patched) == (unpatched, patched)


def test_a_failure_that_does_not_come_back_is_flaky() -> None:
    """Steps: three cases are worse; run their test again: one passes, one fails again, one is gone.

    Verify: only the first is forgiven, and its reason says so.
    """
    before = [*result("pass", "a"), *result("pass", "b"), *result("pass", "c")]
    first = compare(before, [*result("fail", "a"), *result("fail", "b"), *result("fail", "c")])
    again = compare(before, [*result("pass", "a"), *result("fail", "b")])
    told = reclassify_flaky(first, again)
    assert [row.change for row in told] == [Change.FLAKY, Change.WORSE, Change.WORSE]
    assert told[0].why == "because; passed when run again, alone"


def test_what_was_not_run_again_is_not_forgiven() -> None:
    rows = compare(result("pass"), result("fail"))
    assert reclassify_flaky(rows, []) == rows


@pytest.fixture
def tested() -> Verdict:
    component = config.load(ROOT / "stacks.toml", ROOT / "patches").component("qemu-7.2")
    made = Verdict(component, "1", {"baseline": "a", "patched": "b"}, "2026-01-01T00:00:00+00:00")
    made.rows = [
        Row("unit", "t", "/same", Outcome.PASS, Outcome.PASS, Change.SAME),
        Row("unit", "t", "/new/1", None, Outcome.PASS, Change.NEW),
        Row("unit", "t", "/new/2", None, Outcome.PASS, Change.NEW),
        Row("unit", "t", "/worse", Outcome.PASS, Outcome.FAIL, Change.WORSE, "why [not]\x1b"),
        Row("qtest", "u", "", Outcome.FAIL, Outcome.FAIL, Change.BEFORE, "old"),
        Row("qtest", "v", "", Outcome.SKIP, Outcome.SKIP, Change.SAME, "no rom"),
        Row("qtest", "w", "", Outcome.PASS, Outcome.FAIL, Change.FLAKY, "once"),
    ]
    return made


def test_results_for_machines(tested: Verdict, tmp_path: Path) -> None:
    report.save(tested, tmp_path)
    written = json.loads((tmp_path / "results.json").read_text())
    assert written["changes"] == {"same": 2, "new": 2, "worse": 1, "failed before": 1, "flaky": 1}
    assert written["unpatched"] == {"pass": 3, "fail": 1, "skip": 1}
    assert written["tests"][3]["patched"] == "fail"
    root = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert [(suite.get("tests"), suite.get("failures"), suite.get("skipped")) for suite in root] == [
        ("4", "1", "0"),
        ("3", "0", "3"),
    ]
    (failure,) = root.iter("failure")
    assert failure.get("message") == "why [not]?"
    assert [case.get("message") for case in root.iter("skipped")] == ["failed before: old", "no rom", "flaky: once"]


def test_the_table_shows_what_differs(
    tested: Verdict, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    report.show(tested, tmp_path)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    rows = [line.split() for line in lines[3:6]]
    assert [(row[0], row[-1]) for row in rows] == [("t", "worse"), ("w", "flaky"), ("t", "new")]
    assert "t (2 cases)" in lines[5]
    assert not any("/same" in line for line in lines)
    assert "fails unpatched too: u (old)" in lines
    assert "skipped, on both trees: 1 (no rom)" in lines
    assert lines[-1] == (
        "qemu-7.2: unpatched 3 pass, 1 fail, 1 skip; patched 3 pass, 3 fail, 1 skip; "
        "2 new, 0 better, 1 worse, 0 lost, 1 flaky, 1 failed before"
    )
