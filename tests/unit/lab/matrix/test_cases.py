"""The matrix as data, and the words that choose from it."""

from __future__ import annotations

from itertools import islice

import pytest

from reconnect.kit.errors import ConfigError
from reconnect.lab.cell import Cell
from reconnect.lab.cells import select
from reconnect.lab.matrix.cases import (
    BY_NAME,
    CASES,
    CUTS,
    DEFAULT,
    EXTRA,
    PHASES,
    UNRULED,
    Case,
    named,
)
from reconnect.lab.matrix.fuzz import PHASES as RUNNING
from reconnect.lab.matrix.fuzz import steps
from reconnect.lab.stub.script import ANY, Rule, Script


def test_each_moment_is_rehearsed_and_cut() -> None:
    """Verify: every phase has its rehearsal and cuts; names are unique; the default has few that hang or are late."""
    for phase in PHASES:
        names = [name for name in DEFAULT if name.endswith(f"@{phase}")]
        if phase in UNRULED:
            assert names
            assert not any(name.startswith(("rehearse", "cut")) for name in names)
            continue
        assert f"rehearse@{phase}" in names
        assert any(name.startswith(("cut:", "away")) for name in names)
    assert not set(DEFAULT) & set(EXTRA)
    slow = [name for name in DEFAULT if name.startswith(("hang", "late"))]
    assert {name.split("@")[1] for name in slow} == {"reconnect", "set-link", "quit"}
    assert len(slow) <= 4  # ten seconds each
    phases = [case.phase for case in DEFAULT.values()]
    assert phases == sorted(phases, key=PHASES.index)


def test_every_message_that_waits_for_an_answer_is_cut_in_half() -> None:
    """Verify: half answers only where there is one."""
    halves = {name.split(":")[1].split("#")[0] for name in CASES if ":half-reply@" in name}
    assert halves == {
        "GET_FEATURES",
        "GET_PROTOCOL_FEATURES",
        "GET_QUEUE_NUM",
        "GET_VRING_BASE",
        "SET_MEM_TABLE",
        "SET_LOG_BASE",
    }


def test_the_script_of_an_entry() -> None:
    """Verify: at a reconnect the next connection is meant, and the present one hung up; else the present one."""
    rule = Rule.parse("SET_OWNER:after-read")
    assert Case("cut", rule, "reconnect").script == Script((rule,), hang_up=True)
    assert Case("cut", rule, "startup").script == Script((rule,))
    assert Case("cut", rule, "set-link").script == Script.parse("SET_OWNER:after-read@0")
    assert Case("lie", Rule("SET_OWNER", "nack", ANY), "quit").script == Script.parse("SET_OWNER#any:nack@0")
    assert Case("rehearse", None, "reconnect").script == Script(hang_up=True)
    assert Case("cut", rule, "queues").script == Script((rule,), hang_up=True)
    assert Case("away", None, "unload").script == Script.parse("CONNECT:after-read@any", hang_up=True)


def test_what_an_entry_must_show() -> None:
    """Verify: one that is told not to reconnect is dead; QEMU ends where it is told to; all others recover."""
    expected = {name: case.expected for name, case in CASES.items()}
    assert expected.pop("plug:reconnect=0@hot-plug") == "dead"
    assert all(what == ("ends" if name.endswith("@quit") else "recovers") for name, what in expected.items())


def test_where_the_machine_must_not_stand_still() -> None:
    """Verify: where the first message of a reconnect is not answered; not at later ones, and not when QEMU starts."""
    names = {name for name, case in CASES.items() if case.unanswered}
    assert names == {"hang:CONNECT:stall@reconnect", "hang:GET_FEATURES:stall@reconnect"}


def test_the_question_before_the_handshake_is_cut_as_well_as_its_own_messages() -> None:
    """Verify: QEMU sends GET_FEATURES twice when it starts, and once more when it connects again."""
    for phase, count in {"startup": 2, "reconnect": 3}.items():
        assert [text for text in CUTS[phase] if text.startswith("GET_FEATURES")] == [
            f"GET_FEATURES#{number}" if number > 1 else "GET_FEATURES" for number in range(1, count + 1)
        ]


def test_what_is_run_by_name_alone() -> None:
    """Verify: each pattern names a case, which can be asked for by name and is not in the default matrix."""
    for pattern in BY_NAME:
        found, unknown = named([pattern])
        assert found
        assert not unknown
        assert not set(found) & set(DEFAULT)


def test_words_name_entries() -> None:
    """Verify: names, patterns and the word for all; each case once; unknown words are given back."""
    assert named(["matrix"]) == (list(DEFAULT), [])
    found, unknown = named(["cut:SET_OWNER:*@startup", "cut:SET_OWNER:after-read@startup", "cut:NONE:*"])
    assert found == ["cut:SET_OWNER:before-read@startup", "cut:SET_OWNER:after-read@startup"]
    assert unknown == ["cut:NONE:*"]
    hangs, _ = named(["hang:*"])
    assert set(hangs) - set(DEFAULT) <= set(EXTRA) <= set(CASES)
    assert len(hangs) == 7


@pytest.mark.parametrize("name", [*CASES, "fuzz:7@reconnect", "cut:SET_OWNER#3:stall@quit"])
def test_names_are_parsed(name: str) -> None:
    """Verify: each name, of the tables or not, is that of its case."""
    assert Case.parse(name).name == name


@pytest.mark.parametrize(
    "name",
    [
        "cut@quit",
        "away@quit",
        "rehearse:x@quit",
        "fuzz:x@reconnect",
        "many:3@quit",
        "cut:A:b@quit",
        "x@quit",
        "cut:@quit",
        "plug:sideways@hot-plug",
        "plug:default@reconnect",
        "unplug@hot-plug",
        "rehearse@hot-plug",
        "cut:SET_OWNER:after-read@memory",
        "dimm:3@reconnect",
        "dead:crashed@reconnect",
        "wedge@reconnect",
        "wedge:commands@boot",
    ],
)
def test_what_is_no_name(name: str) -> None:
    """Verify: refused."""
    with pytest.raises(ValueError, match=r"no case|MESSAGE|unknown"):
        Case.parse(name)


def test_a_seed_is_a_walk() -> None:
    """Verify: the same cases each time, others for another seed; each can be named."""
    one, again, other = (list(islice(steps(seed), 200)) for seed in (1, 1, 2))
    assert one == again != other
    assert all(Case.parse(case.name) == case for case in one)


def test_a_seed_is_drawn_where_none_is_given() -> None:
    """Verify: the name has it, so that the steps can be taken again."""
    ((name,), unknown) = named(["fuzz@reconnect"])
    assert not unknown
    assert Case.parse(name).name == name != "fuzz@reconnect"
    assert len({Case.parse("fuzz@reconnect").name for _ in range(5)}) > 1


def test_a_walk_cuts_what_the_moment_sends() -> None:
    """Verify: nothing that the matrix doesn't cut at that phase, and all of that in the end."""
    cuts = [case for case in islice(steps(3), 3000) if case.kind == "cut"]
    taken = {(case.phase, str(case.rule).rpartition(":")[0]) for case in cuts}
    assert taken == {(phase, text) for phase in (*RUNNING, "reboot") for text in CUTS[phase]}


def test_the_stub_alone_gets_the_matrix() -> None:
    """Verify: the ordinary cells of all schemes and the matrix of one; nothing of the kind for testpmd."""
    cells = select(backends="stub")
    assert [cell.scheme for cell in cells[:5]] == ["baseline", "server", "default", "explicit", "policy"]
    assert {(cell.backend, cell.fault) for cell in cells[:5]} == {("stub", "crash")}
    assert [cell.fault for cell in cells[5:]] == list(DEFAULT)
    assert {(cell.scheme, cell.launcher) for cell in cells[5:]} == {("default", "qemu")}
    assert {cell.fault for cell in select()} == {"crash"}


def test_a_scheme_that_is_named_counts() -> None:
    """Verify: the matrix is run in the schemes that recover; the baseline is none."""
    cells = select("baseline,server", "stub", "rehearse@reconnect,stop")
    assert [(cell.scheme, cell.fault) for cell in cells] == [
        ("baseline", "stop"),
        ("server", "stop"),
        ("server", "rehearse@reconnect"),
    ]


def test_an_entry_needs_the_stub() -> None:
    """Verify: testpmd can't do it; a word that names nothing gets the nearest that does."""
    with pytest.raises(ConfigError, match="needs the backend stub"):
        select(faults="rehearse@quit")
    with pytest.raises(ConfigError) as caught:
        select(backends="stub", faults="cut:SET_OWNR:after-read@startup")
    assert "cut:SET_OWNER:after-read@startup" in caught.value.hint


def test_a_folder_is_a_plain_name() -> None:
    """Verify: no colon, no at: CI services refuse to keep such files."""
    cell = Cell("default", "stub", "cut:SET_VRING_CALL#2:after-read@startup")
    assert cell.name == "default-stub-cut-SET-VRING-CALL-2-after-read-startup-1"
