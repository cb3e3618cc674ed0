"""Removing what was generated, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconnect.project.settings import CACHEDIR_TAG
from tests.toolchain.world import Checkout


@pytest.fixture
def filled(checkout: Checkout) -> Checkout:
    """A checkout with things of all kinds below build/, and a cache."""
    for name in ("work/x/source/a", "work/x/lock", "install/x/patched/bin/y", "results/r/results.json", "packages.log"):
        path = checkout.root / "build" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (checkout.root / "build/results/latest").symlink_to("r")
    (checkout.root / "build/link").symlink_to(checkout.root / "patches")
    checkout.workspace.cache_dir("git")
    return checkout


def below(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_clean_empties_build_and_keeps_what_git_tracks(filled: Checkout) -> None:
    (filled.root / "build/.setup.lock").touch()
    filled.run("clean").expect(0, "removed what was below")
    assert below(filled.root / "build") == [".gitignore", ".setup.lock", ".use"]
    assert (filled.root / "patches/qemu-7.2/series").exists()
    assert below(filled.cache) == ["CACHEDIR.TAG", "git"]
    filled.run("clean").expect(0)


def test_clean_cache_removes_the_cache_too(filled: Checkout) -> None:
    filled.run("clean", "--cache").expect(0, f"removed {filled.cache}")
    assert not filled.cache.exists()
    filled.run("clean", "--cache").expect(0)


@pytest.mark.parametrize("tag", [None, "", "Signature: 8a477f597d28d172789f06886806bc55\n# of another program\n"])
def test_a_cache_without_our_tag_is_refused_and_nothing_is_removed(filled: Checkout, tag: str | None) -> None:
    mine = filled.root.parent / "my documents"
    mine.mkdir()
    (mine / "letter.txt").write_text("dear reader")
    if tag is not None:
        (mine / "CACHEDIR.TAG").write_text(tag)
    done = filled.run("clean", "--cache", RECONNECT_CACHE=str(mine))
    done.expect(2, f"{mine} is not removed: it carries no CACHEDIR.TAG of ours", "check RECONNECT_CACHE")
    assert (mine / "letter.txt").exists()
    assert (filled.root / "build/packages.log").exists()


def test_the_tag_is_that_of_the_specification() -> None:
    assert CACHEDIR_TAG.startswith("Signature: 8a477f597d28d172789f06886806bc55\n")
