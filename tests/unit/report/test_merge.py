"""Shards put together: what makes them one run, and each thing that doesn't."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from reconnect.report import junit, merge
from reconnect.report.groups import groups, paired
from reconnect.report.plan import Plan
from reconnect.report.results import RunResult
from tests.unit.report.test_results import PASSED, RUN, STACK

NAMES = [f"default-testpmd-crash-{number}" for number in range(1, 8)]
CELLS = tuple(replace(PASSED, repeat=number, logs=(f"{name}/qemu.log",)) for number, name in enumerate(NAMES, 1))
TREES = {"qemu": "t" * 40}


def shard(index: int, cells: tuple[int, ...], **changes: object) -> RunResult:
    """A shard's run.

    :param cells: the repeats that it ran.
    """
    plan = Plan.of(NAMES, "debian-12", TREES, {}, f"{index}/2")
    ran = tuple(CELLS[number - 1] for number in cells)
    return replace(RUN, run=f"run-{index}", host={"processors": index}, cells=ran, plan=plan, **changes)  # type: ignore[arg-type]


ONE, TWO = shard(1, (1, 2, 3)), shard(2, (4, 5, 6, 7))


def test_a_whole_plan_is_one_run() -> None:
    """Verify: cells in the plan's order, each with its shard and its logs below its folder; the hosts side by side."""
    assert merge.reasons([TWO, ONE]) == []
    run = merge.merged([TWO, ONE], "whole")
    assert [cell.name for cell in run.cells] == NAMES
    assert [cell.shard for cell in run.cells] == [2, 2, 2, 1, 1, 1, 1]
    assert run.cells[0].logs == ("shard-2/default-testpmd-crash-1/qemu.log",)
    assert run.cells[0].folder == "shard-2/default-testpmd-crash-1"
    assert [(part.shard, part.run, part.host) for part in run.shards] == [
        ("2/2", "run-2", {"processors": 2}),
        ("1/2", "run-1", {"processors": 1}),
    ]
    assert (run.run, run.host, run.plan and run.plan.shard) == ("whole", {}, "1/1")
    properties = {p.get("name"): p.get("value") for p in junit.document(run).iter("property")}
    assert properties["shard.1.host.processors"] == "2"


def test_medians_are_not_mixed_over_machines() -> None:
    """Verify: repeats of one cell on two machines are two groups, alone and beside another run."""
    run = merge.merged([ONE, TWO], "whole")
    assert [(group.first.shard, len(group.cells)) for group in groups(run.cells)] == [(1, 3), (2, 4)]
    assert [group.label for group in groups(run.cells)] == [
        "default, testpmd, crash, shard 1",
        "default, testpmd, crash, shard 2",
    ]
    assert [(here.first.shard, there.first.shard) for here, there in paired(run, RUN)] == [(1, 0), (2, 0)]


def _other_tree(run: RunResult) -> RunResult:
    qemu = replace(STACK.components["qemu"], patched_tree="u" * 40)
    return replace(run, stack=replace(STACK, components={"qemu": qemu}))


def _plan(run: RunResult, **changes: object) -> RunResult:
    assert run.plan
    return replace(run, plan=replace(run.plan, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        (lambda: [ONE], "4 of 7 cells were run by nobody: default-testpmd-crash-4, "),
        (lambda: [ONE, ONE], "3 of 7 cells were run more than once: default-testpmd-crash-1, "),
        (lambda: [ONE, shard(2, (3, 4, 5, 6, 7))], "1 of 7 cells were run more than once: default-testpmd-crash-3"),
        (lambda: [ONE, TWO.with_cell(replace(PASSED, fault="stop"))], "1 of 7 cells are not in the plan"),
        (lambda: [ONE, _other_tree(TWO)], "run run-2 (shard 2/2) has another tree of qemu than run run-1: uuu"),
        (lambda: [ONE, replace(TWO, stack=replace(STACK, components={}))], "than run run-1: none, not tttt"),
        (lambda: [ONE, replace(TWO, stack=replace(STACK, name="qemu-2.7"))], "is of the stack qemu-2.7"),
        (lambda: [ONE, _plan(TWO, cells=tuple(NAMES[1:]))], "has other cells in its plan than run run-1"),
        (lambda: [ONE, _plan(TWO, hash="f" * 16)], "has another plan than run run-1: ffff"),
        (lambda: [ONE, replace(TWO, plan=None)], "run run-2 has no plan: it was made by an older version"),
        (lambda: [merge.merged([ONE, TWO], "w"), TWO], "run w is a merged one already"),
    ],
)
def test_what_is_not_one_run(runs: Callable[[], list[RunResult]], said: str) -> None:
    assert any(said in reason for reason in merge.reasons(runs()))


def test_what_a_plan_s_hash_is_over() -> None:
    """Verify: cells, stack, trees and conditions change it; which shard does not."""
    whole = Plan.of(NAMES, "debian-12", TREES, {"accel": "tcg"}, "1/2")
    assert Plan.of(NAMES, "debian-12", TREES, {"accel": "tcg"}, "2/2").hash == whole.hash
    for other in (
        Plan.of(NAMES[1:], "debian-12", TREES, {"accel": "tcg"}, "1/2"),
        Plan.of(NAMES, "qemu-2.7", TREES, {"accel": "tcg"}, "1/2"),
        Plan.of(NAMES, "debian-12", {"qemu": "u" * 40}, {"accel": "tcg"}, "1/2"),
        Plan.of(NAMES, "debian-12", TREES, {"accel": "kvm"}, "1/2"),
    ):
        assert other.hash != whole.hash
