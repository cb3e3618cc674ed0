"""What ``test-upstream`` tells: a table and totals in the terminal, results.json and junit.xml in a folder."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from rich import box
from rich.markup import escape
from rich.table import Table

from reconnect.kit import console, jsonfile
from reconnect.toolchain.upstream.compare import Change, Row
from reconnect.toolchain.upstream.outcome import Outcome
from reconnect.toolchain.upstream.run import Verdict

SCHEMA = 1
FILE = "results.json"
JUNIT = "junit.xml"
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
    partial = folder / f".{JUNIT}.partial"
    tree = ElementTree.ElementTree(document(tested))
    ElementTree.indent(tree)
    tree.write(partial, encoding="utf-8", xml_declaration=True)
    partial.replace(folder / JUNIT)


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
    root = Element("testsuites", {"name": f"test-upstream {tested.component.name}"})
    for name in dict.fromkeys(row.suite for row in tested.rows):
        rows = [row for row in tested.rows if row.suite == name]
        cases = [_case(tested.component.name, row) for row in rows]
        counts = {
            "tests": str(len(cases)),
            "failures": str(sum(row.change.bad for row in rows)),
            "errors": "0",
            "skipped": str(sum(case.find("skipped") is not None for case in cases)),
        }
        suite = SubElement(root, "testsuite", {"name": f"{tested.component.name}.{name}", **counts})
        suite.set("timestamp", tested.started.removesuffix("+00:00"))
        suite.extend(cases)
    return root


def _case(component: str, row: Row) -> Element:
    case = Element("testcase", {"classname": f"{component}.{row.suite}.{_clean(row.test)}"})
    case.set("name", _clean(row.case or row.test))
    why = _clean(row.why)
    if row.change.bad:
        broken = SubElement(case, "failure", {"message": why, "type": str(row.change)})
        broken.text = f"unpatched: {row.unpatched or 'not there'}, patched: {row.patched or 'not there'}"
    elif row.change in (Change.BEFORE, Change.FLAKY):
        SubElement(case, "skipped", {"message": f"{row.change}: {why}"})
    elif row.patched is None or row.patched == "skip":
        SubElement(case, "skipped", {"message": why or "not there with the patches"})
    return case


def _outcomes(found: Iterable[Outcome | None]) -> dict[str, int]:
    counts = Counter(found)
    return {str(outcome): counts[outcome] for outcome in Outcome if counts[outcome]}


def _words(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {word}" for word, number in counts.items()) or "nothing"


def _clean(text: str) -> str:
    """Text without the characters that XML 1.0 can't hold."""
    return "".join(character if character.isprintable() else "?" for character in text)
