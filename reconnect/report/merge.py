"""One run out of the shards of several machines: only where they are all of one plan, each cell once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from reconnect.report.results import CellResult, RunResult, ShardInfo, shard_folder

NAMED = 5
"""More cells than these are counted, not named."""


def reasons(runs: Sequence[RunResult]) -> list[str]:
    """Why these runs are not the whole of one plan; empty where they are."""
    first = runs[0]
    found = [f"run {run.run} is a merged one already" for run in runs if run.shards]
    found += [f"run {run.run} has no plan: it was made by an older version" for run in runs if not run.plan]
    if found or first.plan is None:
        return found
    for run in runs[1:]:
        found += _foreign(run, first)
    counts = Counter(cell.name for run in runs for cell in run.cells)
    planned = set(first.plan.cells)
    for what, names in (
        ("were run by nobody", [name for name in first.plan.cells if name not in counts]),
        ("were run more than once", [name for name, number in counts.items() if number > 1]),
        ("are not in the plan", [name for name in counts if name not in planned]),
    ):
        if names:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            found.append(f"{len(names)} of {len(planned)} cells {what}: {', '.join(names[:NAMED])}{more}")
    return found


def _foreign(run: RunResult, first: RunResult) -> list[str]:
    assert run.plan
    assert first.plan
    who = f"run {run.run} (shard {run.plan.shard})"
    found = []
    if run.stack.name != first.stack.name:
        found.append(f"{who} is of the stack {run.stack.name}, run {first.run} of {first.stack.name}")
    for role in sorted({*run.stack.components, *first.stack.components}):
        here, there = run.stack.components.get(role), first.stack.components.get(role)
        if (here and here.patched_tree) != (there and there.patched_tree):
            trees = [facts.patched_tree[:12] if facts else "none" for facts in (here, there)]
            found.append(f"{who} has another tree of {role} than run {first.run}: {trees[0]}, not {trees[1]}")
    if run.plan.cells != first.plan.cells:
        found.append(f"{who} has other cells in its plan than run {first.run}")
    if not found and run.plan.hash != first.plan.hash:
        found.append(f"{who} has another plan than run {first.run}: {run.plan.hash}, not {first.plan.hash}")
    return found


def merged(runs: Sequence[RunResult], name: str) -> RunResult:
    """One run out of shards that :func:`reasons` has nothing to say of.

    :param name: the run's id. Shards are numbered in the order of the runs, and logs begin with the shard's folder.
    :returns: its cells in the plan's order.
    """
    first = runs[0]
    assert first.plan
    cells = {cell.name: _moved(cell, number) for number, run in enumerate(runs, 1) for cell in run.cells}
    return replace(
        first,
        run=name,
        started=min(run.started for run in runs),
        host={},
        cells=tuple(cells[planned] for planned in first.plan.cells),
        plan=replace(first.plan, shard="1/1"),
        shards=tuple(ShardInfo(run.plan.shard if run.plan else "", run.run, run.started, run.host) for run in runs),
    )


def _moved(cell: CellResult, number: int) -> CellResult:
    return replace(cell, shard=number, logs=tuple(f"{shard_folder(number)}/{log}" for log in cell.logs))
