"""JUnit XML as Jenkins and GitLab read it, out of plain suites and cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

FILE = "junit.xml"
PASSED, SKIPPED, FAILURE, ERROR = "passed", "skipped", "failure", "error"


@dataclass(frozen=True)
class Case:
    """A test case.

    :param outcome: PASSED, SKIPPED, FAILURE or ERROR.
    :param message: why it has not passed, in a line.
    :param kind: of a failure or an error, its type.
    :param detail: more of it.
    :param output: what it said, whatever became of it.
    :param seconds: None where nothing is known of them.
    """

    classname: str
    name: str
    outcome: str = PASSED
    message: str = ""
    kind: str = ""
    detail: str = ""
    output: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class Suite:
    """A suite.

    :param started: ISO 8601, in UTC.
    :param properties: facts, by name.
    """

    name: str
    started: str
    cases: Sequence[Case]
    properties: Mapping[str, str] = field(default_factory=dict)


def write(root: Element, folder: Path) -> Path:
    """Write junit.xml into a folder; it appears whole."""
    path, partial = folder / FILE, folder / f".{FILE}.partial"
    tree = ElementTree.ElementTree(root)
    ElementTree.indent(tree)
    tree.write(partial, encoding="utf-8", xml_declaration=True)
    partial.replace(path)
    return path


def document(name: str, suites: Sequence[Suite]) -> Element:
    """The whole document."""
    root = Element("testsuites", {"name": name, **_counts([case for suite in suites for case in suite.cases])})
    for suite in suites:
        found = SubElement(root, "testsuite", {"name": suite.name, **_counts(suite.cases)})
        found.set("timestamp", suite.started.removesuffix("+00:00"))
        if suite.properties:
            properties = SubElement(found, "properties")
            for key, value in suite.properties.items():
                SubElement(properties, "property", {"name": key, "value": _clean(value)})
        found.extend(_case(case) for case in suite.cases)
    return root


def _counts(cases: Sequence[Case]) -> dict[str, str]:
    plurals = {"failures": FAILURE, "errors": ERROR, "skipped": SKIPPED}
    counts = {name: str(sum(case.outcome == outcome for case in cases)) for name, outcome in plurals.items()}
    known = [case.seconds for case in cases if case.seconds is not None]
    return {"tests": str(len(cases)), **counts, **({"time": f"{sum(known):.3f}"} if known else {})}


def _case(case: Case) -> Element:
    found = Element("testcase", {"classname": _clean(case.classname), "name": _clean(case.name)})
    if case.seconds is not None:
        found.set("time", f"{case.seconds:.3f}")
    if case.outcome != PASSED:
        kind = {"type": case.kind} if case.kind else {}
        told = SubElement(found, case.outcome, {"message": _clean(case.message), **kind})
        told.text = "\n".join(map(_clean, case.detail.splitlines())) or None
    if case.output:
        SubElement(found, "system-out").text = "\n".join(map(_clean, case.output.splitlines()))
    return found


def _clean(text: str) -> str:
    """Text without the characters that XML 1.0 can't hold, however they are written."""
    return "".join(character if character.isprintable() else "?" for character in text)
