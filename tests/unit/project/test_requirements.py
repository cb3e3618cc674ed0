"""requirements*.txt: each package by version and hash, as requirements*.in wants it, and no index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reconnect.project.workspace import ROOT

LISTS = ("requirements", "requirements-checks")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def lines(path: Path) -> list[str]:
    """The logical lines of a requirements file, without comments."""
    text = re.sub(r"(?m)^\s*#.*\n", "", path.read_text(encoding="utf-8")).replace("\\\n", " ")
    return [line for line in map(str.strip, text.splitlines()) if line]


def pins(path: Path) -> dict[str, str]:
    """Versions by package; names as PEP 503 compares them."""
    found = {}
    for line in lines(path):
        name, _, version = line.split()[0].partition("==")
        found[re.sub(r"[-_.]+", "-", name).lower()] = version
    return found


def loose(path: Path) -> list[str]:
    """The lines that are not one package, its version and its hashes."""
    return [
        line
        for line in lines(path)
        if not re.fullmatch(r"[\w.-]+==[\w.]+", line.split()[0])
        or not line.split()[1:]
        or not all(HASH.fullmatch(word) for word in line.split()[1:])
    ]


@pytest.mark.parametrize("name", LISTS)
def test_each_package_has_a_version_and_hashes_and_no_index_is_named(name: str) -> None:
    path = ROOT / f"{name}.txt"
    assert lines(path)
    assert loose(path) == []
    assert "://" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", LISTS)
def test_the_hashes_are_those_of_the_wanted_versions(name: str) -> None:
    """Whoever changes the one and forgets to generate the other is told here."""
    assert pins(ROOT / f"{name}.txt") == pins(ROOT / f"{name}.in")


def test_no_package_stands_in_both_lists() -> None:
    """pip would refuse a package that is pinned twice."""
    run, checks = (pins(ROOT / f"{name}.in") for name in LISTS)
    assert not run.keys() & checks.keys()


@pytest.mark.parametrize(
    "line",
    [
        "invoke==3.0.3",
        f"invoke>=3.0.3 --hash=sha256:{'0' * 64}",
        f"invoke --hash=sha256:{'0' * 64}",
        "invoke==3.0.3 --hash=md5:0123456789abcdef0123456789abcdef",
        "--index-url https://index.invalid/simple",
    ],
)
def test_a_line_that_pins_nothing_is_found(line: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"psutil==7.2.2 \\\n    --hash=sha256:{'1' * 64}\n{line}\n")
    assert loose(tmp_path / "list.txt") == [line]
