"""results.json: written whole, read back the same, refused where it is something else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from reconnect.kit.errors import ConfigError
from reconnect.report.results import CellResult, ComponentInfo, QemuFigures, RunResult, StackInfo, load, save

PASSED = CellResult(
    scheme="default",
    backend="testpmd",
    fault="crash",
    repeat=1,
    expected="recovers",
    neighbour="permanent",
    verdict="pass",
    why="",
    outage_ms=1043.2,
    recovery_ms=41.0,
    probes_sent=2000,
    probes_lost=104,
    stages_ms={"listening": 0.0, "connected": 20.1, "link_up": None},
    connections=1,
    qemu=QemuFigures(21, 21, 1000, 1004, 0.4),
    logs=("default-testpmd-crash-1/qemu.log",),
)
STACK = StackInfo("debian-12", "named", "", {"qemu": ComponentInfo("7.2.22", "c" * 40, ("0001-x.patch",), "t" * 40)})
RUN = RunResult("20261122T120000Z", "2026-11-22T12:00:00+00:00", {"processors": 2}, STACK, (PASSED,))


def test_a_run_reads_back_as_it_was_written(tmp_path: Path) -> None:
    """Steps: save a run with a whole cell and a bare one; load it by file and by folder.

    Verify: the same objects; no temporary file is left.
    """
    run = RUN.with_cell(CellResult("server", "testpmd", "stop", 2, "recovers", "arp"))
    path = save(run, tmp_path)
    assert load(path) == load(tmp_path) == run
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


def test_the_file_has_the_form_that_the_design_gives(tmp_path: Path) -> None:
    """Verify: keys and nesting of schema 2, which others read."""
    data = json.loads(save(RUN, tmp_path).read_text(encoding="utf-8"))
    assert list(data) == ["schema", "run", "started", "host", "stack", "cells", "plan", "shards"]
    assert data["schema"] == 2
    assert data["stack"]["components"]["qemu"] == {
        "version": "7.2.22",
        "commit": "c" * 40,
        "series": ["0001-x.patch"],
        "patched_tree": "t" * 40,
    }
    (cell,) = data["cells"]
    assert set(cell) == {
        *("scheme", "backend", "fault", "repeat", "expected", "verdict", "why", "outage_ms", "recovery_ms"),
        *("probes_sent", "probes_lost", "neighbour", "stages_ms", "connections", "qemu", "logs"),
        *("launcher", "memory", "tx_gap_ms", "monitor_ms", "shard"),
    }
    assert cell["qemu"]["cpu_percent_in_outage"] == 0.4


def test_a_file_of_schema_1_reads_as_the_same_run(tmp_path: Path) -> None:
    """Steps: write a run as schema 1 had it: other names of three fields, and a cell of before there was a launcher.

    Verify: the same objects as from schema 2.
    """
    run = replace(RUN, cells=(replace(PASSED, launcher="attach", tx_gap_ms=12.5), PASSED))
    data = json.loads(save(run, tmp_path).read_text(encoding="utf-8"))
    data |= {"schema": 1, "machine": data.pop("host")}
    first, second = data["cells"]
    first |= {"through": first.pop("launcher"), "silence_ms": first.pop("tx_gap_ms")}
    del second["launcher"], second["tx_gap_ms"]
    (tmp_path / "old.json").write_text(json.dumps(data), encoding="utf-8")
    assert load(tmp_path / "old.json") == run


def test_a_cell_that_nobody_finished_is_a_failure() -> None:
    """Verify: the verdict starts as fail, so that a crash of the harness can't look like a pass."""
    cell = CellResult("default", "testpmd", "crash", 1, "recovers", "permanent")
    assert cell.verdict == "fail"
    assert cell.why
    assert not RUN.with_cell(cell).good


@pytest.mark.parametrize("verdict", ["fail", "error"])
def test_one_bad_cell_spoils_a_run(verdict: str) -> None:
    """Verify: and the last line counts it; skipped cells alone are no success either."""
    run = RUN.with_cell(replace(PASSED, verdict=verdict))
    assert not run.good
    assert run.summary == "1 passed, 1 failed, 0 skipped"
    assert RUN.with_cell(replace(PASSED, verdict="skip")).good
    assert not replace(RUN, cells=(replace(PASSED, verdict="skip"),)).good
    assert not replace(RUN, cells=()).good


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"schema": 1}',
        json.dumps({"schema": 3, "cells": []}),
        json.dumps({"schema": 2, "cells": []}),
        json.dumps({"schema": 1, "stack": {"components": {}}, "cells": [{"verdict": "great"}]}),
    ],
)
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    """Verify: empty, cut short, another schema, another verdict: each is an error that names the file."""
    file = tmp_path / "results.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"results\.json can't be read"):
        load(file)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """Verify: as the others."""
    with pytest.raises(ConfigError, match=r"results\.json can't be read"):
        load(tmp_path)


def test_a_blocked_cell_of_schema_1_is_a_skip(tmp_path: Path) -> None:
    """Verify: it is read, and counts as before; schema 2 has no such verdict."""
    run = replace(RUN, cells=(replace(PASSED, verdict="skip"),))
    data = json.loads(save(run, tmp_path).read_text(encoding="utf-8"))
    data["cells"][0]["verdict"] = "blocked"
    (tmp_path / "results.json").write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(ConfigError, match="blocked"):
        load(tmp_path)
    data |= {"schema": 1, "machine": data.pop("host")}
    (tmp_path / "results.json").write_text(json.dumps(data), encoding="utf-8")
    assert load(tmp_path).cells[0].verdict == "skip"
