"""What a call is to run, all of it, and which part of it a run had: runs of several machines are put together by it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Plan:
    """A call's plan; equal for all shards of it.

    :param hash: over the cells, the stack, its trees and the conditions: 16 hex digits of SHA-256.
    :param shard: which part this run had: ``2/3``; ``1/1`` is all of it.
    :param cells: names of all cells of all shards, in order.
    """

    hash: str
    shard: str
    cells: tuple[str, ...]

    @classmethod
    def of(
        cls, cells: Sequence[str], stack: str, trees: Mapping[str, str], conditions: Mapping[str, str], shard: str
    ) -> Self:
        """The plan of a call.

        :param trees: by role, the git tree that was compiled.
        :param conditions: whatever else makes figures of other runs incomparable, by name.
        """
        told = json.dumps([list(cells), stack, dict(trees), dict(conditions)], sort_keys=True)
        return cls(hashlib.sha256(told.encode()).hexdigest()[:16], shard, tuple(cells))
