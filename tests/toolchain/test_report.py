"""``./inv report``: the pages of a run again, and what it says where there is no run."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from reconnect.report import results
from tests.toolchain.world import Checkout
from tests.unit.report.test_merge import ONE, TWO
from tests.unit.report.test_results import PASSED, RUN


def test_the_pages_of_a_run(checkout: Checkout) -> None:
    """Steps: two runs, one of them the latest; report it, beside the other.

    Verify: the table, the ratio, and both files; by id, by folder and by file it is the same run.
    """
    runs = checkout.root / "build/results"
    for name, recovery in (("one", 41.0), ("two", 82.0)):
        (runs / name).mkdir(parents=True)
        results.save(replace(RUN, run=name, cells=(replace(PASSED, recovery_ms=recovery),)), runs / name)
    (runs / "latest").symlink_to("two")
    done = checkout.run("report", "--compare", "one").expect(0, "compared with run one", "ratio 2.00")
    assert "report: build/results/two/report.html" in done.output
    assert sorted(p.name for p in (runs / "two").iterdir()) == ["junit.xml", "report.html", "results.json"]
    assert not (runs / "one/report.html").exists()
    assert list((checkout.cache / "matplotlib").glob("fontlist*"))
    for name in ("one", str(runs / "one"), str(runs / "one/results.json")):
        (runs / "one/report.html").unlink(missing_ok=True)
        checkout.run("report", "--run", name).expect(0, "recovery", "report: build/results/one/report.html")
        assert (runs / "one/report.html").is_file()


def test_runs_that_can_not_be_read(checkout: Checkout) -> None:
    """Steps: no run; one that is named and is not there; a results.json that is cut short.

    Verify: exit code 2 each time, with where it was looked for.
    """
    checkout.run("report").expect(2, "there is no run yet", "build/results", "run ./inv test-reconnect first")
    checkout.run("report", "--run", "gone").expect(2, "there is no run gone")
    folder = checkout.root / "build/results/cut"
    folder.mkdir(parents=True)
    (folder / "results.json").write_text('{"schema": 2, "run"')
    checkout.run("report", "--run", "cut").expect(2, "results.json can't be read as results")
    assert not (folder / "report.html").exists()
    for schema, words in ((9, "its schema is 9: this version reads 1 to 2"), (0, "its schema is 0")):
        (folder / "results.json").write_text(json.dumps({"schema": schema, "cells": []}))
        checkout.run("report", "--run", "cut").expect(2, words)


def test_shards_become_one_run(checkout: Checkout) -> None:
    """Steps: two shards with logs, put together; a page of the new run once more, after the shards are gone.

    Verify: results, pages and logs are whole, each shard's in a folder of its own; it is the latest run.
    """
    runs = checkout.root / "build/results"
    for run in (ONE, TWO):
        for cell in run.cells:
            (runs / run.run / cell.name).mkdir(parents=True)
            (runs / run.run / cell.name / "qemu.log").write_text(f"{run.run} {cell.name}")
        results.save(run, runs / run.run)
        (runs / run.run / ".junit.xml.partial").touch()
    done = checkout.run("report", "--merge", str(runs / ONE.run), "--merge", TWO.run)
    done.expect(0, "7 passed, 0 failed", "report: build/results/2")
    folder = (runs / "latest").resolve()
    whole = results.load(folder)
    assert [cell.shard for cell in whole.cells] == [1, 1, 1, 2, 2, 2, 2]
    assert (folder / whole.cells[-1].logs[0]).read_text() == "run-2 default-testpmd-crash-7"
    assert sorted(p.name for p in folder.iterdir()) == [
        *("junit.xml", "report.html", "results.json", "shard-1", "shard-2"),
    ]
    assert not (folder / "shard-1/.junit.xml.partial").exists()
    assert "Shard 2 (2/2 of the plan, run run-2): processors 2" in (folder / "report.html").read_text()
    checkout.run("report", "--compare", str(folder / "shard-1")).expect(0, "default, testpmd, crash, shard 2: recovery")


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (lambda run: replace(run, cells=run.cells[1:]), 7, "1 of 7 cells were run by nobody: default-testpmd-crash-4"),
        (lambda run: replace(run, plan=None), 7, "run run-2 has no plan"),
        (lambda run: replace(run, stack=replace(run.stack, name="qemu-2.7")), 7, "is of the stack qemu-2.7"),
    ],
)
def test_shards_that_are_not_one_run(checkout: Checkout, change, code: int, said: str) -> None:  # type: ignore[no-untyped-def]
    """Verify: each is refused with the reason, and nothing is written."""
    runs = checkout.root / "build/results"
    for run in (ONE, change(TWO)):
        (runs / run.run).mkdir(parents=True)
        results.save(run, runs / run.run)
    checkout.run("report", "--merge", ONE.run, "--merge", TWO.run).expect(code, "2 runs are not one", said)
    assert sorted(p.name for p in runs.iterdir()) == ["run-1", "run-2"]
    checkout.run("report", "--run", ONE.run, "--merge", TWO.run).expect(2, "--run and --merge exclude each other")
    (runs / "run-2/results.json").write_text('{"schema": 2')
    checkout.run("report", "--merge", ONE.run, "--merge", TWO.run).expect(2, "can't be read as results")


def test_shards_of_which_one_failed(checkout: Checkout) -> None:
    """Verify: they are put together all the same, and the exit code is that of a run with such a cell."""
    runs = checkout.root / "build/results"
    bad = replace(TWO.cells[0], verdict="fail", why="2 connections")
    for run in (ONE, replace(TWO, cells=(bad, *TWO.cells[1:]))):
        (runs / run.run).mkdir(parents=True)
        results.save(run, runs / run.run)
    done = checkout.run("report", "--merge", ONE.run, "--merge", TWO.run)
    done.expect(7, "6 passed, 1 failed", f"shard-2/{bad.name}")
    assert (runs / "latest/report.html").is_file()


def test_the_cells_of_a_call(checkout: Checkout) -> None:
    """Verify: --list is JSON alone, does nothing, and two shards are the whole."""
    words = ("test-reconnect", "--list", "--scheme", "default,explicit", "--repeat", "2")
    whole = json.loads(checkout.run(*words).expect(0).output)
    assert whole["shard"] == "1/1"
    assert [cell["seconds"] for cell in whole["cells"]] == [12.0] * 4
    assert whole["seconds"] == 48.0
    parts = [json.loads(checkout.run(*words, "--shard", f"{n}/2").expect(0).output)["cells"] for n in (1, 2)]
    assert sorted(cell["name"] for part in parts for cell in part) == sorted(cell["name"] for cell in whole["cells"])
    checkout.run(*words, "--shard", "5/5").expect(2, "--shard 5/5: no cell is left for it", "at most 4 shards")
    assert not (checkout.root / "build/results").exists()
