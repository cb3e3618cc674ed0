"""One of several parts of a call's cells: each machine runs one, and together they run each cell once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from reconnect.kit.errors import ConfigError
from reconnect.lab.cell import Cell
from reconnect.lab.duration import seconds_of
from reconnect.lab.matrix.cases import Case, is_case


@dataclass(frozen=True)
class Shard:
    """Part ``index`` of ``total``, from 1."""

    index: int = 1
    total: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """The words of ``--shard``; empty: all of it.

        :raises ConfigError: it has another form, or the index is none of 1 to the total.
        """
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text, re.ASCII) if text else None
        if not text:
            return cls()
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise ConfigError(
                f"--shard {text}: that is no part of a whole",
                hint="I/N: --shard 1/3, 2/3, 3/3; an index that counts from 0 needs one more",
            )
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.index}/{self.total}"

    def of(self, cells: Sequence[Cell]) -> tuple[Cell, ...]:
        """Its cells, in their order: the same on each machine, with about the same time for each shard.

        Cases of the matrix that share a guest stay together.

        :raises ConfigError: nothing is left for it.
        """
        blocks: dict[object, list[Cell]] = {}
        for cell in cells:
            blocks.setdefault(_block(cell), []).append(cell)
        # The longest first, each to whoever has the least so far; sorting keeps the order of equals.
        longest = sorted(blocks.values(), key=lambda block: -sum(map(seconds_of, block)))
        loads = [0.0] * self.total
        mine: set[Cell] = set()
        for block in longest:
            lightest = loads.index(min(loads))
            loads[lightest] += sum(map(seconds_of, block))
            if lightest == self.index - 1:
                mine.update(block)
        if not mine:
            raise ConfigError(
                f"--shard {self}: no cell is left for it",
                why=f"the cells of this call can be cut into {len(blocks)}; cases of the matrix that share a guest "
                "stay together",
                hint=f"at most {len(blocks)} shards",
            )
        return tuple(cell for cell in cells if cell in mine)


def _block(cell: Cell) -> object:
    return (cell.scheme, Case.parse(cell.fault).phase) if is_case(cell.fault) else cell
