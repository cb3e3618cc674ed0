"""Shards: each cell in one of them, whoever asks; and what is no shard."""

from __future__ import annotations

import re

import pytest

from reconnect.kit.errors import ConfigError
from reconnect.lab.cell import Cell
from reconnect.lab.cells import select
from reconnect.lab.duration import seconds_of
from reconnect.lab.matrix.cases import Case, is_case
from reconnect.lab.shard import Shard

CELLS = select("all", "testpmd,stub", "", 2)


@pytest.mark.parametrize("total", [1, 2, 3, 7])
def test_each_cell_is_in_one_shard(total: int) -> None:
    """Verify: together they are all cells, in their order, once; no shard has much more to do than another."""
    shards = [Shard(index, total).of(CELLS) for index in range(1, total + 1)]
    assert sorted(cell.name for shard in shards for cell in shard) == sorted(cell.name for cell in CELLS)
    for shard in shards:
        assert list(shard) == [cell for cell in CELLS if cell in shard]
    loads = [sum(map(seconds_of, shard)) for shard in shards]
    blocks = [sum(map(seconds_of, block)) for block in _guests().values()]
    assert max(loads) - min(loads) <= max(blocks)


def _guests() -> dict[tuple[str, str], list[Cell]]:
    found: dict[tuple[str, str], list[Cell]] = {}
    for cell in CELLS:
        if is_case(cell.fault):
            found.setdefault((cell.scheme, Case.parse(cell.fault).phase), []).append(cell)
    return found


def test_cases_that_share_a_guest_stay_together() -> None:
    shards = [set(Shard(index, 5).of(CELLS)) for index in range(1, 6)]
    guests = _guests()
    assert len(guests) > 10
    for cells in guests.values():
        assert sum(bool(shard & set(cells)) for shard in shards) == 1


def test_a_shard_that_no_cell_is_left_for() -> None:
    """Verify: five cells can't be cut into six; the sixth is told so, the others are not."""
    cells = select("all")
    assert [len(Shard(index, 6).of(cells)) for index in range(1, 6)] == [1] * 5
    with pytest.raises(ConfigError, match=re.escape("--shard 6/6: no cell is left for it")) as error:
        Shard(6, 6).of(cells)
    assert error.value.hint == "at most 5 shards"


@pytest.mark.parametrize(
    "text", ["1", "0/2", "3/2", "-1/2", "1/0", "a/b", "1/2/3", "1 / 2", "1.5/2", "\u0661/\u0662", "1/"]
)
def test_what_is_no_shard(text: str) -> None:
    with pytest.raises(ConfigError, match="that is no part of a whole"):
        Shard.parse(text)


def test_no_word_is_the_whole() -> None:
    assert Shard.parse("").of(CELLS) == CELLS
    assert str(Shard.parse("2/3")) == "2/3"


def test_what_takes_longer() -> None:
    """Verify: a boot, a hold, a network that is watched while it is dead."""
    seconds = {cell.name: seconds_of(cell) for cell in select("all", "testpmd,ovs", "crash,wedge")}
    assert seconds["default-testpmd-wedge-1"] > seconds["default-testpmd-crash-1"]
    assert seconds["baseline-testpmd-crash-1"] > seconds["server-testpmd-crash-1"]
    assert seconds["policy-libvirt-testpmd-crash-1"] > seconds["default-testpmd-crash-1"]
    assert seconds["default-ovs-crash-1"] > seconds["default-testpmd-crash-1"]
    cut, reboot = select("default", "stub", "cut:SET_OWNER:after-read@reconnect,cut:SET_MEM_TABLE:after-read@reboot")
    assert seconds_of(reboot) > seconds_of(cut)
