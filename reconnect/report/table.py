"""The table in the terminal."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from reconnect.kit import console
from reconnect.report.groups import paired
from reconnect.report.results import FILE, CellResult, RunResult

STYLES = {"pass": "green", "fail": "bold red", "error": "bold red", "skip": "yellow"}


def show(result: RunResult, folder: Path) -> None:
    """Print the table, why each cell failed and where to look, and a last line that counts.

    :param folder: the run's folder.
    """
    console.say(title(result), "bold")
    if not all(map(_is_matrix, result.cells)):
        grid = table(result)
        _wide_enough(grid).print(grid, soft_wrap=False)
    for line in matrix(result):
        console.say(line)
    for line in remarks(result, folder):
        console.say(line)
    console.say(f"results: {folder / FILE}")
    console.say(result.summary, "bold green" if result.good else "bold red")


def table(result: RunResult) -> Table:
    """The cells, one a row; ordinary ones fit 80 columns."""
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0, pad_edge=False)
    for heading in ("scheme", "launcher", "fault", "#", "backend", "verdict"):
        grid.add_column(heading, no_wrap=True)
    for heading in ("outage", "recovery", "lost", "connections"):
        grid.add_column(heading, justify="right", no_wrap=True)
    for cell in result.cells:
        if not _is_matrix(cell):
            grid.add_row(*_row(cell))
    return grid


def matrix(result: RunResult) -> list[str]:
    """The matrix of message x cut x phase, folded: a line for each scheme and phase."""
    groups: dict[tuple[str, str], list[CellResult]] = {}
    for cell in filter(_is_matrix, result.cells):
        groups.setdefault((cell.scheme, cell.fault.rpartition("@")[2]), []).append(cell)
    return [
        f"matrix {scheme} @{phase}: {sum(cell.verdict == 'pass' for cell in cells)} of {len(cells)} passed"
        for (scheme, phase), cells in groups.items()
    ]


def comparison(result: RunResult, other: RunResult) -> list[str]:
    """A line for each cell that both runs have: medians of the recovery, and their ratio."""
    lines = [f"compared with run {other.run}: {title(other)}"]
    for here, there in paired(result, other):
        far = f"there, in shard {there.first.shard}" if there.first.shard else "there"
        if here.recovery is None or there.recovery is None:
            lines.append(f"{here.label}: {here.verdict} here, {there.verdict} {far}")
            continue
        one, two = here.recovery.median, there.recovery.median
        lines.append(f"{here.label}: recovery {one:.0f} ms here, {two:.0f} ms {far}, ratio {one / two:.2f}")
    return lines if len(lines) > 1 else [*lines, "they have no cell in common"]


def _is_matrix(cell: CellResult) -> bool:
    return "@" in cell.fault


def title(result: RunResult) -> str:
    """The stack with the versions that were tested, and why it was chosen."""
    versions = ", ".join(f"{role} {facts.version}" for role, facts in result.stack.components.items())
    why = f" ({result.stack.why})" if result.stack.why else ""
    return f"stack {result.stack.name}: {versions}{why}"


def remarks(result: RunResult, folder: Path) -> list[str]:
    """Under the table: why a cell has no pass, and where its logs are."""
    lines = []
    for cell in result.cells:
        if cell.verdict != "pass":
            lines.append(f"{cell.name}: {cell.verdict}: {cell.why}")
            lines.append(f"    look in {folder / cell.folder}")
    return lines


def _wide_enough(grid: Table) -> Console:
    """The console; where it is no terminal, whose width nobody knows, one on which no row is cut."""
    out = console.out
    if out.is_terminal:
        return out
    width = Measurement.get(out, out.options.update(max_width=1000), grid).maximum
    return Console(file=out.file, width=max(width, out.width), highlight=False, soft_wrap=True)


def _row(cell: CellResult) -> list[str]:
    return [
        cell.scheme,
        cell.launcher,
        cell.fault,
        str(cell.repeat),
        cell.backend,
        f"[{STYLES[cell.verdict]}]{cell.verdict}[/]",
        "dead" if (cell.verdict, cell.expected) == ("pass", "dead") else _milliseconds(cell.outage_ms),
        _milliseconds(cell.recovery_ms),
        f"{cell.probes_lost}/{cell.probes_sent}",
        str(cell.connections),
    ]


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"
