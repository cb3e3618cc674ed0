"""Which cells the words of a command line stand for."""

from __future__ import annotations

import pytest

from reconnect.errors import ConfigError
from reconnect.lab.cells import Cell, select


def test_nothing_asked_for_is_the_default_set() -> None:
    """Verify: every scheme once, on testpmd, with a crash."""
    assert select() == tuple(Cell(s, "testpmd", "crash") for s in ("baseline", "server", "default", "explicit"))


def test_lists_multiply() -> None:
    """Verify: schemes x faults x repeats; blanks and doubles do no harm."""
    cells = select("default, explicit,default", "testpmd", "crash,stop", 2)
    assert len(cells) == 8
    assert len({cell.name for cell in cells}) == 8
    assert cells[0] == Cell("default", "testpmd", "crash", 1)


def test_all_is_all() -> None:
    """Verify: all stands for everything that is known."""
    assert {cell.fault for cell in select("baseline", faults="all")} == {"crash", "stop"}


@pytest.mark.parametrize(
    ("words", "what", "hint"),
    [
        ({"schemes": "explicite"}, "unknown scheme 'explicite' in --scheme", "did you mean 'explicit'?"),
        ({"backends": "testpdm"}, "unknown backend 'testpdm' in --backend", "did you mean 'testpmd'?"),
        ({"faults": "crash,crsh"}, "unknown fault 'crsh' in --fault", "did you mean 'crash'?"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(words: dict[str, str], what: str, hint: str) -> None:
    """Verify: what was wrong, in which option, and what was probably meant; exit code 2."""
    with pytest.raises(ConfigError) as caught:
        select(words.get("schemes", ""), words.get("backends", ""), words.get("faults", ""))
    assert caught.value.what == what
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("repeat", [0, -1])
def test_no_repeat_is_refused(repeat: int) -> None:
    """Verify: at least one."""
    with pytest.raises(ConfigError, match="--repeat"):
        select(repeat=repeat)
