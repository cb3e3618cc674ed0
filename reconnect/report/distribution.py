"""Many measurements of one thing as the few figures that people compare."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Distribution:
    """Measurements in one unit, sorted; at least one.

    Percentiles are interpolated between neighbours (the ``inclusive`` method of :func:`statistics.quantiles`): with a
    few values p99 is hardly more than the largest.
    """

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Self | None:
        """The measurements that there are; None where there are none."""
        known = tuple(sorted(value for value in values if value is not None))
        return cls(known) if known else None

    @property
    def median(self) -> float:
        """Half of the values are below it."""
        return statistics.median(self.values)

    @property
    def p95(self) -> float:
        """95 of 100 values are below it."""
        return self._percentile(95)

    @property
    def p99(self) -> float:
        """99 of 100 values are below it."""
        return self._percentile(99)

    def _percentile(self, rank: int) -> float:
        if len(self.values) == 1:
            return self.values[0]
        return statistics.quantiles(self.values, n=100, method="inclusive")[rank - 1]
