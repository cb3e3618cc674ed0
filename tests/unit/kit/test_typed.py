"""Tables of TOML into dataclasses: whatever the table is, the result is the object or a ConfigError."""

from __future__ import annotations

import contextlib
import datetime
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconnect.kit import typed
from reconnect.kit.errors import ConfigError
from reconnect.project.config import Component


@dataclass(frozen=True)
class Inner:
    number: int
    flag: bool = False


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner
    words: tuple[str, ...] = ()
    rows: tuple[Inner, ...] = ()
    lists: tuple[tuple[str, ...], ...] = ()
    maybe: Inner | None = None


GOOD = {"inner": {"number": 3}}


def test_reads_what_the_annotations_say() -> None:
    table = {
        **GOOD,
        "words": ["a"],
        "rows": [{"number": 1, "flag": True}],
        "lists": [["x", "y"], []],
        "maybe": {"number": 2},
    }
    outer = typed.read(Outer, table, "file [x]", name="given")
    assert outer == Outer("given", Inner(3), ("a",), (Inner(1, True),), (("x", "y"), ()), Inner(2))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([], "file [x] must be a table, not an array"),
        ("text", "file [x] must be a table, not a string"),
        ({}, "file [x] has no 'inner'"),
        ({**GOOD, "wrods": []}, "unknown key 'wrods' in file [x]"),
        ({**GOOD, "name": "taken"}, "unknown key 'name' in file [x]"),
        ({"inner": 3}, "file [x] inner must be a table, not a whole number"),
        ({"inner": {"number": "3"}}, "file [x] inner number must be a whole number, not a string"),
        ({"inner": {"number": True}}, "file [x] inner number must be a whole number, not true or false"),
        ({"inner": {"number": 3.0}}, "file [x] inner number must be a whole number, not float"),
        ({"inner": {"number": 3, "flag": 1}}, "file [x] inner flag must be true or false, not a whole number"),
        ({"inner": {}}, "file [x] inner has no 'number'"),
        ({"inner": {"number": 1, "numbre": 2}}, "unknown key 'numbre' in file [x] inner"),
        ({**GOOD, "words": "a"}, "file [x] words must be an array, not a string"),
        ({**GOOD, "words": ["a", 2]}, "file [x] words[1] must be a string, not a whole number"),
        ({**GOOD, "rows": {"number": 1}}, "file [x] rows must be an array, not a table"),
        ({**GOOD, "rows": [{"number": 1}, {}]}, "file [x] rows[1] has no 'number'"),
        ({**GOOD, "lists": ["a"]}, "file [x] lists[0] must be an array, not a string"),
        ({**GOOD, "maybe": {"number": []}}, "file [x] maybe number must be a whole number, not an array"),
    ],
)
def test_every_error_names_its_place(table: object, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        typed.read(Outer, table, "file [x]", name="given")
    assert caught.value.what == message


def test_an_unknown_key_comes_with_the_nearest_known() -> None:
    with pytest.raises(ConfigError) as caught:
        typed.read(Inner, {"numbre": 1}, "file")
    assert caught.value.hint == "did you mean 'number'? known: flag, number"


KEYS = st.sampled_from(["inner", "number", "flag", "words", "rows", "lists", "maybe", "build", "git", "commit"])
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.just(datetime.date(2026, 1, 1))
    | st.just(datetime.time(12))
)
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(KEYS | st.text(), inner), max_leaves=12)


@given(TREES)
def test_no_tree_causes_another_error(tree: object) -> None:
    for kind in (Outer, Component):
        with contextlib.suppress(ConfigError):
            typed.read(kind, tree, "file", name="given")
