"""JUnit XML as Jenkins and GitLab read it: one suite a run, one test case a cell."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from reconnect.report.results import CellResult, RunResult

FILE = "junit.xml"


def write(result: RunResult, folder: Path) -> Path:
    """Write junit.xml into the run's folder; it appears whole."""
    path = folder / FILE
    partial = folder / f".{FILE}.partial"
    tree = ElementTree.ElementTree(document(result))
    ElementTree.indent(tree)
    tree.write(partial, encoding="utf-8", xml_declaration=True)
    partial.replace(path)
    return path


def document(result: RunResult) -> Element:
    """The whole document."""
    counts = {
        "tests": len(result.cells),
        "failures": result.count("fail"),
        "errors": result.count("error"),
        "skipped": result.count("skip"),
    }
    attributes = {name: str(number) for name, number in counts.items()} | {"time": f"{_seconds(result.cells):.3f}"}
    root = Element("testsuites", {"name": "reconnect", **attributes})
    suite = SubElement(root, "testsuite", {"name": f"reconnect.{result.stack.name}", **attributes})
    suite.set("timestamp", result.started.removesuffix("+00:00"))
    properties = SubElement(suite, "properties")
    for role, facts in result.stack.components.items():
        SubElement(properties, "property", {"name": f"{role}.version", "value": facts.version})
        SubElement(properties, "property", {"name": f"{role}.commit", "value": facts.commit})
    for name, value in result.host.items():
        SubElement(properties, "property", {"name": f"host.{name}", "value": str(value)})
    for number, shard in enumerate(result.shards, 1):
        for name, value in shard.host.items():
            SubElement(properties, "property", {"name": f"shard.{number}.host.{name}", "value": str(value)})
    suite.extend(_case(cell, result) for cell in result.cells)
    return root


def _case(cell: CellResult, result: RunResult) -> Element:
    case = Element(
        "testcase",
        {
            "classname": f"reconnect.{result.stack.name}.{cell.scheme}",
            "name": cell.name.removeprefix(f"{cell.scheme}-"),
            "time": f"{_seconds((cell,)):.3f}",
        },
    )
    if cell.verdict == "skip":
        SubElement(case, "skipped", {"message": _clean(f"{cell.verdict}: {cell.why}")})
    elif cell.verdict != "pass":
        tag = "error" if cell.verdict == "error" else "failure"
        broken = SubElement(case, tag, {"message": _clean(cell.why), "type": cell.verdict})
        broken.text = "\n".join([_clean(cell.why), "logs, beside results.json:", *cell.logs])
    figures = SubElement(case, "system-out")
    figures.text = "\n".join(
        [
            f"expected={cell.expected} outage_ms={cell.outage_ms} recovery_ms={cell.recovery_ms}",
            f"probes_sent={cell.probes_sent} probes_lost={cell.probes_lost} connections={cell.connections}",
            f"stages_ms={cell.stages_ms}",
            f"launcher={cell.launcher}" + (f" memory={cell.memory}" if cell.memory else ""),
        ]
    )
    return case


def _clean(text: str) -> str:
    """Text without the characters that XML 1.0 can't hold, however they are written."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _seconds(cells: tuple[CellResult, ...]) -> float:
    """What a case's time means here: the outage, the time that the user of a CI wants to see in its graphs."""
    return sum(cell.outage_ms or 0.0 for cell in cells) / 1000
