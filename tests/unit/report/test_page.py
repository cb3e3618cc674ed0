"""The page of a run: what it says, and the figures that it shows."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from lxml import html  # type: ignore[import-untyped]

from reconnect.report import page, timeline
from reconnect.report.distribution import Distribution
from reconnect.report.groups import groups, paired
from reconnect.report.table import comparison
from reconnect.report.timeline import Timeline
from tests.unit.report.test_results import PASSED, RUN

SLOW = replace(PASSED, repeat=2, recovery_ms=61.0, outage_ms=2043.2)
DEAD = replace(PASSED, scheme="baseline", expected="dead", outage_ms=None, recovery_ms=None)
WRONG = replace(PASSED, scheme="explicit", verdict="fail", why="2 connections <instead> of 1", recovery_ms=None)
CASE = replace(PASSED, backend="stub", fault="cut:SET_OWNER:after-read@reconnect")
WHOLE = replace(RUN, cells=(DEAD, PASSED, SLOW, WRONG, CASE))
SEEN = Timeline({"fault": 0.0, "restart": 200.0, "listening": 260.0}, ((-20.0, 0.4), (0.0, None), (300.0, 0.5)))


@pytest.mark.parametrize(
    ("values", "median", "p95", "p99"),
    [([3.0], 3.0, 3.0, 3.0), ([1.0, None, 3.0], 2.0, 2.9, 2.98), ([float(n) for n in range(101)], 50.0, 95.0, 99.0)],
)
def test_a_distribution(values: list[float | None], median: float, p95: float, p99: float) -> None:
    """Verify: what is unknown counts for nothing; percentiles lie between neighbours."""
    found = Distribution.of(values)
    assert found is not None
    assert (found.median, found.p95, found.p99) == pytest.approx((median, p95, p99))
    assert Distribution.of([None]) is None


def test_repeats_are_one_group() -> None:
    """Verify: cases of the matrix are none; the worst verdict is the group's; the command repeats all of it."""
    dead, default, explicit = groups(WHOLE.cells)
    assert [len(group.cells) for group in (dead, default, explicit)] == [1, 2, 1]
    assert replace(default, cells=(PASSED, replace(SLOW, verdict="fail"))).verdict == "fail"
    command = "./inv test-reconnect --stack debian-12 --scheme default --backend testpmd --fault crash --launcher qemu"
    assert default.command("debian-12") == f"{command} --repeat 2"
    assert dead.recovery is None


def test_two_runs_side_by_side() -> None:
    """Verify: only cells that both have, with the ratio of their medians; a run without any says so."""
    other = replace(RUN, run="other", cells=(replace(PASSED, recovery_ms=82.0), DEAD))
    assert [(one.first.scheme, two.first.scheme) for one, two in paired(WHOLE, other)] == [
        ("baseline", "baseline"),
        ("default", "default"),
    ]
    lines = comparison(WHOLE, other)
    assert lines[1] == "baseline, testpmd, crash: pass here, pass there"
    assert lines[2] == "default, testpmd, crash: recovery 51 ms here, 82 ms there, ratio 0.62"
    assert comparison(WHOLE, replace(other, cells=()))[-1] == "they have no cell in common"


def test_the_page_has_it_all_in_one_file(tmp_path: Path) -> None:
    """Verify: no script, nothing from elsewhere; each cell with its figures; words of others are no markup."""
    (tmp_path / PASSED.name).mkdir()
    timeline.save(SEEN, tmp_path / PASSED.name)
    text = page.write(WHOLE, tmp_path, replace(RUN, run="other", cells=(PASSED,))).read_text(encoding="utf-8")
    assert "<script" not in text
    assert not re.search(r"""(?:src|href)=["']https?:""", text)
    tree = html.fromstring(text)
    table = tree.xpath("//table")[0]
    assert [cell.text_content() for cell in table.xpath(".//tbody/tr/th")] == ["baseline", "default", "explicit"]
    assert "dead, as expected" in table.text_content()
    assert "recovery 51 ms" in table.text_content()
    assert "2 connections <instead> of 1" in tree.text_content()
    assert "1 of 1 default, reconnect" in " ".join(tree.text_content().split())
    assert "Beside run other" in tree.text_content()
    assert len(tree.xpath("//*[local-name()='svg']")) == 2
    assert [p.name for p in tmp_path.glob(".*")] == []


def test_a_timeline_reads_back(tmp_path: Path) -> None:
    """Verify: the same; one that is missing, cut short or of another schema is none."""
    assert timeline.load(tmp_path) is None
    timeline.save(SEEN, tmp_path)
    assert timeline.load(tmp_path) == SEEN
    file = tmp_path / timeline.FILE
    whole = json.loads(file.read_text())
    for text in ("{", "[]", json.dumps({**whole, "schema": 9}), json.dumps({**whole, "probes": [[1]]})):
        file.write_text(text)
        assert timeline.load(tmp_path) is None
