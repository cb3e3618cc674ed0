"""``./inv report``: the pages of a run again, and what it says where there is no run."""

from __future__ import annotations

from dataclasses import replace

from reconnect.report import results
from tests.toolchain.world import Checkout
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
