from __future__ import annotations

import pytest

from reconnect.kit.suggest import unknown


@pytest.mark.parametrize(
    ("name", "near"),
    [("debian12", "debian-12"), ("qemu2.7", "qemu-2.7"), ("Debian-12", "debian-12"), ("zzz", None), ("", None)],
)
def test_names_the_nearest(name: str, near: str | None) -> None:
    error = unknown("stack", name, ["qemu-2.7", "debian-12"], "stacks.toml")
    assert error.exit_code == 2
    assert error.what == f"unknown stack {name!r} in stacks.toml"
    assert error.hint == (f"did you mean {near!r}? " if near else "") + "known: debian-12, qemu-2.7"


def test_says_when_nothing_is_known() -> None:
    assert unknown("series", "x", []).hint == "known: none"
