"""A run as JUnit: one suite, one test case a cell."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

from reconnect.kit import junit
from reconnect.kit.junit import Case, Suite
from reconnect.report.results import CellResult, RunResult

OUTCOMES = {"pass": junit.PASSED, "skip": junit.SKIPPED, "fail": junit.FAILURE, "error": junit.ERROR}
"""JUnit's word for each verdict."""


def write(result: RunResult, folder: Path) -> Path:
    """Write junit.xml into the run's folder; it appears whole."""
    return junit.write(document(result), folder)


def document(result: RunResult) -> Element:
    """The whole document."""
    cases = [_case(cell, result) for cell in result.cells]
    suite = Suite(f"reconnect.{result.stack.name}", result.started, cases, _properties(result))
    return junit.document("reconnect", [suite])


def _properties(result: RunResult) -> dict[str, str]:
    found: dict[str, str] = {}
    for role, facts in result.stack.components.items():
        found |= {f"{role}.version": facts.version, f"{role}.commit": facts.commit}
    found |= {f"host.{name}": str(value) for name, value in result.host.items()}
    for number, shard in enumerate(result.shards, 1):
        found |= {f"shard.{number}.host.{name}": str(value) for name, value in shard.host.items()}
    return found


def _case(cell: CellResult, result: RunResult) -> Case:
    bad = cell.verdict in ("fail", "error")
    figures = [
        f"expected={cell.expected} outage_ms={cell.outage_ms} recovery_ms={cell.recovery_ms}",
        f"probes_sent={cell.probes_sent} probes_lost={cell.probes_lost} connections={cell.connections}",
        f"stages_ms={cell.stages_ms}",
        f"launcher={cell.launcher}" + (f" memory={cell.memory}" if cell.memory else ""),
    ]
    return Case(
        f"reconnect.{result.stack.name}.{cell.scheme}",
        cell.name.removeprefix(f"{cell.scheme}-"),
        OUTCOMES[cell.verdict],
        message=cell.why if bad else f"{cell.verdict}: {cell.why}",
        kind=cell.verdict if bad else "",
        detail="\n".join([cell.why, "logs, beside results.json:", *cell.logs]) if bad else "",
        output="\n".join(figures),
        # The outage: the time that the user of a CI wants to see in its graphs.
        seconds=(cell.outage_ms or 0.0) / 1000,
    )
