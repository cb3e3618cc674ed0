"""report.html: a run as one file without script, for a phone as for a wide screen, in the light and in the dark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from reconnect.report import pictures, timeline
from reconnect.report.groups import Group, groups, paired
from reconnect.report.results import CellResult, RunResult

FILE = "report.html"
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Drawn:
    """A cell's picture.

    :param svg: empty where the cell left no timeline.
    """

    cell: CellResult
    svg: str


def write(result: RunResult, folder: Path, other: RunResult | None = None) -> Path:
    """Write report.html into the run's folder; it appears whole.

    :param folder: holds the cells' folders as well, with their timelines.
    :param other: a run whose figures stand beside.
    """
    path, partial = folder / FILE, folder / f".{FILE}.partial"
    partial.write_text(document(result, folder, other), encoding="utf-8")
    partial.replace(path)
    return path


def document(result: RunResult, folder: Path, other: RunResult | None = None) -> str:
    """The page."""
    found = groups(result.cells)
    rows = [(group.label, group.recovery) for group in found]
    known = [(label, recovery) for label, recovery in rows if recovery is not None]
    label = "ms from the switch's listening (server: from its start) to the first answer"
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            result=result,
            groups=found,
            grid=_Grid(found),
            cases=_cases(result.cells),
            other=other,
            pairs=paired(result, other) if other else [],
            recovery=pictures.distributions(known, label, "recovery of each cell") if known else "",
            drawn={group.label: [_drawn(cell, folder) for cell in group.cells] for group in found},
            css=(HERE / "page.css").read_text(encoding="utf-8"),
        )
    )


class _Grid:
    """Schemes by what happened to them."""

    def __init__(self, found: Sequence[Group]) -> None:
        self.rows = list(dict.fromkeys(_row(group) for group in found))
        self.columns = list(dict.fromkeys(_column(group) for group in found))
        self._groups = {(_row(group), _column(group)): group for group in found}

    def at(self, row: str, column: str) -> Group | None:
        """The group of a row and a column."""
        return self._groups.get((row, column))


def _row(group: Group) -> str:
    cell = group.first
    row = cell.scheme if cell.launcher == "qemu" else f"{cell.scheme} through {cell.launcher}"
    return f"{row}, shard {cell.shard}" if cell.shard else row


def _column(group: Group) -> str:
    cell = group.first
    return f"{cell.fault}, {cell.backend}" + (", ARP" if cell.neighbour == "arp" else "")


def _cases(cells: Sequence[CellResult]) -> dict[tuple[str, str], list[CellResult]]:
    """The cases of the matrix, by scheme and phase."""
    found: dict[tuple[str, str], list[CellResult]] = {}
    for cell in cells:
        if "@" in cell.fault:
            found.setdefault((cell.scheme, cell.fault.rpartition("@")[2]), []).append(cell)
    return found


def _drawn(cell: CellResult, folder: Path) -> Drawn:
    seen = timeline.load(folder / cell.folder)
    return Drawn(cell, pictures.timeline(seen, f"timeline of {cell.name}") if seen and seen.probes else "")


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.filters["ms"] = lambda value: "-" if value is None else f"{value:,.0f} ms"
    return environment
