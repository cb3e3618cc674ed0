from __future__ import annotations

from pathlib import Path

import pytest

from reconnect.kit import jsonfile, stamp

INPUTS = {"compiler": "12", "options": "abc"}


@pytest.fixture
def stamped(tmp_path: Path) -> Path:
    stamp.write(tmp_path / "x.json", INPUTS)
    (tmp_path / "product").touch()
    return tmp_path / "x.json"


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        (INPUTS, ""),
        ({**INPUTS, "compiler": "13"}, "changed: compiler"),
        ({"compiler": "13", "options": "d"}, "changed: compiler, options"),
        ({**INPUTS, "new": "x"}, "changed: new"),
        ({"compiler": "12"}, "changed: options"),
    ],
)
def test_says_which_input_changed(stamped: Path, inputs: dict[str, str], reason: str) -> None:
    assert stamp.why_redo(stamped, inputs, {"it": stamped.parent / "product"}) == reason


def test_says_which_product_is_missing(stamped: Path) -> None:
    folder = stamped.parent
    products = {"it": folder / "product", "one": folder / "1", "two": folder / "2"}
    assert stamp.why_redo(stamped, INPUTS, products) == "missing: one, two"


@pytest.mark.parametrize("value", [None, {}, {"inputs": {}}, {"inputs": "text"}, {"inputs": [1]}, {"inputs": None}])
def test_a_damaged_stamp_is_none(tmp_path: Path, value: object) -> None:
    path = tmp_path / "x.json"
    if value is not None:
        jsonfile.write(path, value)
    assert stamp.why_redo(path, INPUTS, {}) == "not done yet"
    assert stamp.inputs(path) == {}


def test_a_digest_tells_words_from_their_concatenation() -> None:
    assert stamp.digest("ab", "c") != stamp.digest("a", "bc")
    assert stamp.digest("ab", "c") == stamp.digest("ab", "c")
