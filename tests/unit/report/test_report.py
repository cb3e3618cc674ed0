"""The table and JUnit, from results alone."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from reconnect.kit import console
from reconnect.report import junit, table
from reconnect.report.results import CellResult, ComponentInfo, RunResult, StackInfo

PASSED = CellResult("default", "testpmd", "crash", 1, "recovers", "permanent", "pass", "", 1043.2, 41.0, 200, 52)
DEAD = CellResult("baseline", "testpmd", "crash", 1, "dead", "permanent", "pass", "")
FAILED = replace(
    PASSED, scheme="explicit", verdict="fail", why="2 connections <instead> of 1 [really]", logs=("a/b.log",)
)
BROKEN = replace(DEAD, scheme="server", verdict="error", why="QEMU ended by itself with signal SIGSEGV")
SKIPPED = replace(DEAD, fault="stop", verdict="skip", why="no hugepages")
STACK = StackInfo("debian-12", "auto", "no git server", {"qemu": ComponentInfo("7.2.22", "c" * 40, (), "t" * 40)})
RUN = RunResult("id", "2026-11-22T12:00:00+00:00", {"processors": 2}, STACK, (DEAD, PASSED, FAILED, BROKEN, SKIPPED))


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> str:
    """What a terminal of 80 columns shows."""
    sink = io.StringIO()
    monkeypatch.setattr(console, "out", Console(file=sink, width=80, highlight=False, soft_wrap=True))
    table.show(RUN, Path("/results/id"))
    return sink.getvalue()


def test_the_table_has_a_row_a_cell_and_fits_80_columns(shown: str) -> None:
    """Verify: headings are whole, each cell is one line, figures are rounded, what is unknown is a dash."""
    lines = shown.splitlines()
    assert lines[0] == "stack debian-12: qemu 7.2.22 (no git server)"
    head = next(i for i, line in enumerate(lines) if line.startswith("scheme"))
    assert lines[head].split() == [
        *("scheme", "launcher", "fault", "#", "backend", "verdict", "outage", "recovery", "lost", "connections"),
    ]
    rows = [line.split() for line in lines[head + 2 : head + 7]]
    assert rows[0] == ["baseline", "qemu", "crash", "1", "testpmd", "pass", "dead", "-", "0/0", "0"]
    assert rows[1] == [
        *("default", "qemu", "crash", "1", "testpmd", "pass"),
        *("1043", "ms", "41", "ms", "52/200", "0"),
    ]
    assert max(map(len, lines[head : head + 7])) <= 80


def test_a_bad_cell_says_why_and_where_to_look(shown: str) -> None:
    """Verify: under the table, one line why and one where; words in brackets are no markup; the last line counts."""
    assert "explicit-testpmd-crash-1: fail: 2 connections <instead> of 1 [really]\n" in shown
    assert "    look in /results/id/explicit-testpmd-crash-1\n" in shown
    assert "baseline-testpmd-stop-1: skip: no hugepages" in shown
    assert shown.splitlines()[-1] == "2 passed, 2 failed, 1 skipped"


def test_junit_has_a_case_a_cell(tmp_path: Path) -> None:
    """Steps: write the file and parse it.

    Verify: counts, names and the elements that Jenkins and GitLab look for; only the file itself is left.
    """
    root = ElementTree.parse(junit.write(RUN, tmp_path)).getroot()
    (suite,) = root
    assert root.tag == "testsuites"
    assert {k: suite.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5",
        "failures": "1",
        "errors": "1",
        "skipped": "1",
    }
    cases = suite.findall("testcase")
    assert [case.get("classname") for case in cases][:2] == [
        "reconnect.debian-12.baseline",
        "reconnect.debian-12.default",
    ]
    assert len({(case.get("classname"), case.get("name")) for case in cases}) == 5
    failure = cases[2].find("failure")
    assert failure is not None
    assert failure.get("message") == FAILED.why
    assert "a/b.log" in (failure.text or "")
    assert cases[3].find("error") is not None
    skipped = cases[4].find("skipped")
    assert skipped is not None
    assert skipped.get("message") == "skip: no hugepages"
    assert not list(cases[1].iter("failure"))
    assert [p.name for p in tmp_path.iterdir()] == ["junit.xml"]


def test_junit_survives_what_a_log_may_hold(tmp_path: Path) -> None:
    """Verify: characters that XML can't hold (a guest's console has them) don't make the file unreadable."""
    run = replace(RUN, cells=(replace(FAILED, why="panic: \x1b[31m\x00 & <oops>"),))
    ElementTree.parse(junit.write(run, tmp_path))
