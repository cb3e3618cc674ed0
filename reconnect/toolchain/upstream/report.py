"""What ``test-upstream`` tells: a table and totals in the terminal, results.json and junit.xml in a folder."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import Element

from rich import box
from rich.markup import escape
from rich.table import Table

from reconnect.kit import console, jsonfile, junit
from reconnect.kit.junit import Case, Suite
from reconnect.toolchain.upstream.compare import Change, Row
from reconnect.toolchain.upstream.outcome import Outcome
from reconnect.toolchain.upstream.run import Verdict

SCHEMA = 1
FILE = "results.json"
SHOWN = 60
"""More rows than these are left to results.json."""

STYLES = {Change.WORSE: "bold red", Change.LOST: "bold red", Change.FLAKY: "yellow"}


def save(tested: Verdict, folder: Path) -> None:
    """Write results.json and junit.xml; each appears whole."""
    jsonfile.write(
        folder / FILE,
        {
            "schema": SCHEMA,
            "component": tested.component.name,
            "version": tested.version,
            "started": tested.started,
            "commits": dict(tested.commits),
            "unpatched": _outcomes(row.unpatched for row in tested.rows),
            "patched": _outcomes(row.patched for row in tested.rows),
            "changes": dict(Counter(str(row.change) for row in tested.rows)),
            "tests": [dataclasses.asdict(row) for row in tested.rows],
        },
    )
    junit.write(document(tested), folder)


def show(tested: Verdict, folder: Path) -> None:
    """Print what differs, and the totals."""
    name = tested.component.name
    differing = [row for row in tested.rows if row.unpatched != row.patched or row.change is Change.FLAKY]
    differing.sort(key=lambda row: (not row.change.bad, row.change is not Change.FLAKY))
    console.say(f"{name} {tested.version}: {len(tested.rows)} tests and cases", "bold")
    if differing:
        console.out.print(table(differing[:SHOWN]), soft_wrap=False)
    if len(differing) > SHOWN:
        console.say(f"... and {len(differing) - SHOWN} more in {folder / FILE}")
    for row in differing:
        if row.change.bad or row.change is Change.FLAKY:
            console.say(f"{row.name}: {row.change}: {row.why}")
    for line in remarks(tested):
        console.say(line)
    console.say(f"results: {folder / FILE}")
    console.say(f"{name}: {summary(tested)}", "bold red" if tested.bad else "bold green")


def remarks(tested: Verdict) -> list[str]:
    """What failed before too, and why tests were skipped."""
    lines = [f"fails unpatched too: {row.name} ({row.why})" for row in tested.rows if row.change is Change.BEFORE]
    skipped = Counter(row.why for row in tested.rows if row.patched == "skip" and row.change is Change.SAME)
    return [*lines, *(f"skipped, on both trees: {number} ({why})" for why, number in skipped.items())]


def summary(tested: Verdict) -> str:
    """The line that counts."""
    before = _words(_outcomes(row.unpatched for row in tested.rows))
    after = _words(_outcomes(row.patched for row in tested.rows))
    changes = Counter(row.change for row in tested.rows)
    told = (Change.NEW, Change.BETTER, Change.WORSE, Change.LOST, Change.FLAKY, Change.BEFORE)
    return f"unpatched {before}; patched {after}; {', '.join(f'{changes[change]} {change}' for change in told)}"


def table(rows: Iterable[Row]) -> Table:
    """One row a test or case, in the order of the rows."""
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    grid.add_column("test", overflow="fold")
    for heading in ("unpatched", "patched", "change"):
        grid.add_column(heading, no_wrap=True)
    for name, row in _folded(rows):
        style = STYLES.get(row.change, "green")
        grid.add_row(escape(name), row.unpatched or "-", row.patched or "-", f"[{style}]{row.change}[/]")
    return grid


def _folded(rows: Iterable[Row]) -> Iterator[tuple[str, Row]]:
    """Good news of many cases of one test program in one row."""
    groups: dict[object, list[Row]] = {}
    for row in rows:
        alone = row.name if row.change in STYLES else ""
        groups.setdefault((row.suite, row.test, row.unpatched, row.patched, row.change, alone), []).append(row)
    for group in groups.values():
        yield group[0].name if len(group) == 1 else f"{group[0].test} ({len(group)} cases)", group[0]


def document(tested: Verdict) -> Element:
    """JUnit: a suite for each suite, a case for each test; what failed before too counts as skipped."""
    component = tested.component.name
    suites = [
        Suite(
            f"{component}.{name}", tested.started, [_case(component, row) for row in tested.rows if row.suite == name]
        )
        for name in dict.fromkeys(row.suite for row in tested.rows)
    ]
    return junit.document(f"test-upstream {component}", suites)


def _case(component: str, row: Row) -> Case:
    case = Case(f"{component}.{row.suite}.{row.test}", row.case or row.test)
    if row.change.bad:
        detail = f"unpatched: {row.unpatched or 'not there'}, patched: {row.patched or 'not there'}"
        return replace(case, outcome=junit.FAILURE, message=row.why, kind=str(row.change), detail=detail)
    if row.change in (Change.BEFORE, Change.FLAKY):
        return replace(case, outcome=junit.SKIPPED, message=f"{row.change}: {row.why}")
    if row.patched is None or row.patched == "skip":
        return replace(case, outcome=junit.SKIPPED, message=row.why or "not there with the patches")
    return case


def _outcomes(found: Iterable[Outcome | None]) -> dict[str, int]:
    counts = Counter(found)
    return {str(outcome): counts[outcome] for outcome in Outcome if counts[outcome]}


def _words(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {word}" for word, number in counts.items()) or "nothing"
