"""The tables of ``doctor`` and ``status``; those of a run are in :mod:`reconnect.report`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from reconnect.jobs import doctor as doctor_module
from reconnect.jobs.doctor import Finding
from reconnect.kit import jsonfile
from reconnect.kit.console import out, say
from reconnect.toolchain.status import Status


def doctor(findings: Sequence[Finding]) -> None:
    """One row a finding, what mends it below the table."""
    table = _table("", "check", "found")
    styles = {doctor_module.OK: "green", doctor_module.NOTE: "yellow", doctor_module.BAD: "red"}
    for finding in findings:
        table.add_row(f"[{styles[finding.state]}]{finding.state}[/]", escape(finding.what), escape(finding.detail))
    out.print(table)


def status(rows: Sequence[Status], results: Path) -> None:
    """One row a component, and the verdict of the last run."""
    table = _table("component", "stack", "origin", "fetched", "patched", "built")
    for row in rows:
        table.add_row(row.component, row.stack, row.origin, row.fetched, row.patched, row.built)
    out.print(table)
    last = jsonfile.read(results / "latest" / "results.json")
    if not last:
        say("last run: none")
        return
    verdicts = [cell["verdict"] for cell in last["cells"]]
    counts = ", ".join(f"{verdicts.count(v)} {v}" for v in dict.fromkeys(verdicts))
    say(f"last run: {last['run']}, stack {last['stack']['name']}: {counts}")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
