"""The repeats of a cell together, and the same cell of two runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reconnect.kit.command import pasteable
from reconnect.report.distribution import Distribution
from reconnect.report.results import CellResult, RunResult


@dataclass(frozen=True)
class Group:
    """The repeats of one cell on one machine: in a merged run each shard's are a group, as figures of two machines
    have no median in common.

    :param cells: in the order of their repeats.
    """

    cells: tuple[CellResult, ...]

    @property
    def first(self) -> CellResult:
        """Stands for all where only what they share is looked at."""
        return self.cells[0]

    @property
    def label(self) -> str:
        """Scheme, launcher where it isn't QEMU alone, backend and fault."""
        cell = self.first
        launcher = "" if cell.launcher == "qemu" else f" through {cell.launcher}"
        shard = f", shard {cell.shard}" if cell.shard else ""
        return f"{cell.scheme}{launcher}, {cell.backend}, {cell.fault}{shard}"

    @property
    def verdict(self) -> str:
        """The worst of its cells."""
        order = ("error", "fail", "skip", "pass")
        return min((cell.verdict for cell in self.cells), key=order.index)

    @property
    def recovery(self) -> Distribution | None:
        """Milliseconds."""
        return Distribution.of(cell.recovery_ms for cell in self.cells)

    @property
    def outage(self) -> Distribution | None:
        """Milliseconds."""
        return Distribution.of(cell.outage_ms for cell in self.cells)

    def command(self, stack: str) -> str:
        """What repeats it."""
        cell = self.first
        words = ["./inv", "test-reconnect", "--stack", stack, "--scheme", cell.scheme, "--backend", cell.backend]
        words += ["--fault", cell.fault, "--launcher", cell.launcher]
        words += ["--neighbour", cell.neighbour] if cell.neighbour != "permanent" else []
        return pasteable([*words, *(["--repeat", str(len(self.cells))] if len(self.cells) > 1 else [])])


def groups(cells: Sequence[CellResult]) -> list[Group]:
    """The cells that are not cases of the matrix, repeats together, in the order of the run."""
    found: dict[tuple[object, ...], list[CellResult]] = {}
    for cell in cells:
        if "@" not in cell.fault:
            found.setdefault((*_key(cell), cell.shard), []).append(cell)
    return [Group(tuple(members)) for members in found.values()]


def paired(one: RunResult, other: RunResult) -> list[tuple[Group, Group]]:
    """The cells that two runs have in common; of merged runs each shard's with each other's."""
    there = groups(other.cells)
    return [(here, far) for here in groups(one.cells) for far in there if _key(here.first) == _key(far.first)]


def _key(cell: CellResult) -> tuple[str, ...]:
    return (cell.scheme, cell.launcher, cell.backend, cell.fault, cell.neighbour)
