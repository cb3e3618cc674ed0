from __future__ import annotations

from pathlib import Path

import pytest

from reconnect.kit.errors import ConfigError
from reconnect.project import packages
from reconnect.project.packages import Package
from reconnect.project.workspace import ROOT


def read(folder: Path, text: str) -> list[Package]:
    (folder / "list.txt").write_text(text)
    return packages.read(folder / "list.txt")


def test_reads_sections_and_reasons(tmp_path: Path) -> None:
    found = read(tmp_path, "# head\n[one]\na-b+1.2   # why # so\n\n[two]\nc # x\n")
    assert found == [Package("a-b+1.2", "one", "why # so"), Package("c", "two", "x")]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("git # no section\n", 1),
        ("[one]\ngit\n", 2),
        ("[one]\ngit #  \n", 2),
        ("[one]\n\ngit make # two\n", 3),
        ("[one\ngit # x\n", 1),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(ConfigError, match=rf"list\.txt:{line} is not 'package  # why' below a \[section\]"):
        read(tmp_path, text)


def test_tells_what_is_not_installed() -> None:
    base, gone = Package("dpkg", "x", "y"), Package("reconnect-no-such-package", "x", "y")
    assert packages.missing([base, gone]) == [gone]
    assert packages.missing([base]) == []


def test_our_own_list_has_no_package_twice() -> None:
    names = [p.name for p in packages.read(ROOT / "debian-packages.txt")]
    assert names
    assert len(names) == len(set(names))
