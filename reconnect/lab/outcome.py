"""What is left of a cell that has ended: its result, and for one that went wrong ``failure.txt``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from reconnect.lab.cell import Cell
from reconnect.lab.options import Options
from reconnect.report.results import CellResult, QemuFigures

FAILURE = "failure.txt"


def result_of(
    cell: Cell,
    options: Options,
    verdict: str,
    why: str,
    folders: Iterable[Path],
    *,
    expected: str,
    memory: str = "",
    qemu: QemuFigures | None = None,
) -> CellResult:
    """The result of a cell before anything that only some cells measure.

    :param why: of a bad verdict; made one line.
    :param folders: hold its logs; one that doesn't exist counts for nothing.
    :param expected: what it had to show: ``recovers``, ``dead`` or ``ends``.
    :param memory: see :class:`CellResult`.
    """
    logs = (f"{folder.name}/{path.name}" for folder in folders if folder.is_dir() for path in folder.iterdir())
    return CellResult(
        scheme=cell.scheme,
        backend=cell.backend,
        fault=cell.fault,
        repeat=cell.repeat,
        expected=expected,
        neighbour=options.neighbour,
        launcher=cell.launcher,
        memory=memory,
        verdict=verdict,
        why=" ".join(why.split()),
        qemu=qemu,
        logs=tuple(sorted(logs)),
    )


def write_failure(folder: Path, text: str) -> None:
    """Write ``failure.txt``: what went wrong, and what the programs said meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FAILURE).write_text(f"{text}\n", encoding="utf-8")
