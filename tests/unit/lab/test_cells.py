"""Which cells the words of a command line stand for."""

from __future__ import annotations

import pytest

from reconnect.kit.errors import ConfigError
from reconnect.lab.cell import Cell
from reconnect.lab.cells import select
from reconnect.lab.schemes import SCHEMES


def test_nothing_asked_for_is_the_default_set() -> None:
    """Verify: every scheme once, on testpmd, with a crash; through libvirt only what is libvirt's."""
    assert select() == (
        *(Cell(s, "testpmd", "crash") for s in ("baseline", "server", "default", "explicit")),
        Cell("policy", "testpmd", "crash", launcher="libvirt"),
    )


def test_a_way_is_taken_by_the_schemes_that_have_it() -> None:
    """Verify: schemes that aren't named are left out where they lack that launcher; each cell has its own name."""
    assert [cell.scheme for cell in select(launcher="qemu")] == ["baseline", "server", "default", "explicit"]
    cells = select("explicit,policy", launcher="all")
    assert [(cell.scheme, cell.launcher) for cell in cells] == [
        *(("explicit", "qemu"), ("explicit", "libvirt"), ("explicit", "attach")),
        *(("policy", "libvirt"), ("policy", "attach")),
    ]
    assert [cell.name for cell in cells][:2] == ["explicit-testpmd-crash-1", "explicit-libvirt-testpmd-crash-1"]
    assert len({cell.name for cell in cells}) == len(cells)


def test_a_scheme_that_can_not_be_had_that_way_is_refused() -> None:
    """Verify: the scheme, the way, and how it can be had."""
    with pytest.raises(ConfigError, match="the scheme policy has no launcher qemu") as caught:
        select("explicit,policy", launcher="qemu")
    assert caught.value.hint == "--launcher libvirt, or attach"


def test_lists_multiply() -> None:
    """Verify: schemes x faults x repeats; blanks and doubles do no harm."""
    cells = select("default, explicit,default", "testpmd", "crash,stop", 2)
    assert len(cells) == 8
    assert len({cell.name for cell in cells}) == 8
    assert cells[0] == Cell("default", "testpmd", "crash", 1)


def test_all_is_all() -> None:
    """Verify: all stands for everything that is known, and that means anything to the scheme."""
    assert {cell.fault for cell in select("default", faults="all")} == {"crash", "crash-mq", "wedge", "stop"}
    assert {cell.fault for cell in select("baseline", faults="all")} == {"crash", "crash-mq", "stop"}


def test_a_wedged_switch_is_for_a_qemu_that_connects_to_it() -> None:
    """Verify: the schemes that it means nothing to are left out; where none is left, an error names those that do."""
    cells = select(faults="wedge,crash")
    assert [cell.scheme for cell in cells if cell.fault == "wedge"] == ["default", "explicit", "policy"]
    assert [cell.scheme for cell in cells if cell.fault == "crash"] == [*SCHEMES]
    with pytest.raises(ConfigError, match="the fault wedge means nothing to the scheme baseline, server") as caught:
        select("baseline,server", faults="crash,wedge")
    assert caught.value.hint == "--scheme default, or explicit, or policy"


@pytest.mark.parametrize(
    ("words", "what", "hint"),
    [
        ({"schemes": "explicite"}, "unknown scheme 'explicite' in --scheme", "did you mean 'explicit'?"),
        ({"backends": "testpdm"}, "unknown backend 'testpdm' in --backend", "did you mean 'testpmd'?"),
        ({"faults": "crash,crsh"}, "unknown fault 'crsh' in --fault", "did you mean 'crash'?"),
        ({"launcher": "libvrt"}, "unknown launcher 'libvrt' in --launcher", "did you mean 'libvirt'?"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(words: dict[str, str], what: str, hint: str) -> None:
    """Verify: what was wrong, in which option, and what was probably meant; exit code 2."""
    with pytest.raises(ConfigError) as caught:
        select(**words)  # type: ignore[arg-type]  # none of the words is a number
    assert caught.value.what == what
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("repeat", [0, -1])
def test_no_repeat_is_refused(repeat: int) -> None:
    """Verify: at least one."""
    with pytest.raises(ConfigError, match="--repeat"):
        select(repeat=repeat)


def test_all_is_a_word_of_its_own() -> None:
    """Steps: a fault that means nothing to the scheme, beside a case whose name has the letters.

    Verify: it is refused, as it is alone; only the word itself leaves out what means nothing.
    """
    with pytest.raises(ConfigError, match="the fault wedge means nothing"):
        select("server", "stub", "wedge,*:delay*@reboot")
    assert [cell.fault for cell in select("server", "stub", "wedge, all")] == ["crash", "crash-mq", "stop"]


@pytest.mark.parametrize(
    "words", [{"schemes": "all,typo"}, {"backends": "all,typo"}, {"faults": "all,typo"}, {"launcher": "typo,all"}]
)
def test_a_typo_beside_all_is_refused(words: dict[str, str]) -> None:
    """Verify: no word is passed over."""
    with pytest.raises(ConfigError, match=r"unknown .* 'typo'"):
        select(**words)  # type: ignore[arg-type]  # none of the words is a number


@pytest.mark.parametrize(
    ("schemes", "launcher"), [("baseline", ""), ("policy", ""), ("default", "libvirt"), ("", "libvirt")]
)
def test_a_selection_of_nothing_is_refused(schemes: str, launcher: str) -> None:
    """Steps: cases of the matrix alone, for schemes or ways that have none.

    Verify: exit code 2 before any work, with what takes them.
    """
    with pytest.raises(ConfigError, match="no cell has all of this") as caught:
        select(schemes, "stub", "rehearse@reconnect", launcher=launcher)
    assert caught.value.exit_code == 2
    assert caught.value.hint == "--scheme server, or default, or explicit, with --launcher qemu"


def test_commas_alone_are_the_default_set() -> None:
    """Verify: as if nothing had been said, also of what is named."""
    assert select(" , ", launcher="qemu") == select(launcher="qemu")
    assert select(" , ", "stub", "rehearse@reconnect") == select("", "stub", "rehearse@reconnect")
