"""Checkouts and small components for the tests of the toolchain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.toolchain.world import MESON, Checkout, Gate, Repo, component, copy_checkout, tiny_repo, tiny_series


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A copy of this checkout, with its real stacks.toml, an own build folder and an empty cache."""
    return copy_checkout(tmp_path / "checkout")


@dataclass
class Tiny:
    """A checkout whose stack "small" compiles in a moment: ``tiny`` by autotools, ``other`` by meson."""

    checkout: Checkout
    repo: Repo
    other: Repo
    base: str
    names: list[str]

    def stacks(self, **changes: object) -> None:
        """Write stacks.toml, with other arguments of :func:`component` for ``tiny``."""
        words = {"origins": [self.repo.url], "commit": self.base, **changes}
        other = component("other", [self.other.url], self.other.head, program="libvirt", series="other", recipe="meson")
        self.checkout.write_stacks(component("tiny", **words), other)  # type: ignore[arg-type]

    def prints(self, variant: str, name: str = "tiny") -> Path:
        """The installed program of a variant."""
        return self.checkout.workspace.install(name, variant) / "bin/tiny"


@pytest.fixture
def tiny(checkout: Checkout, tmp_path: Path) -> Tiny:
    """The checkout with two small components, each with a series of two patches."""
    repo = tiny_repo(tmp_path / "tiny")
    names = tiny_series(repo, checkout.patches / "tiny")
    other = tiny_repo(tmp_path / "other", MESON)
    tiny_series(other, checkout.patches / "other")
    made = Tiny(checkout, repo, other, repo.head, names)
    made.stacks()
    return made


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """A gate in a Makefile; give its path to a task as the variable GATE."""
    made = Gate(tmp_path / "gate")
    yield made
    made.close()
