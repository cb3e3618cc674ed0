from __future__ import annotations

from pathlib import Path

import pytest

from reconnect.kit import jsonfile


def test_what_was_written_is_read_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "new folder/x.json"
    jsonfile.write(path, {"a": [1, "ä"]})
    jsonfile.write(path, {"b": None})
    assert jsonfile.read(path) == {"b": None}
    assert list(path.parent.iterdir()) == [path]


def test_a_value_that_is_no_json_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    jsonfile.write(path, {"a": 1})
    with pytest.raises(TypeError):
        jsonfile.write(path, {"a": object()})
    assert jsonfile.read(path) == {"a": 1}


@pytest.mark.parametrize("content", [None, b"", b"{", b"[1]", b'"x"', b"\xff\xfe", b"null"])
def test_what_is_no_object_is_read_as_an_empty_one(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content)
    assert jsonfile.read(path) == {}


def test_a_folder_is_read_as_an_empty_one(tmp_path: Path) -> None:
    assert jsonfile.read(tmp_path) == {}
