"""Parts of a few lines each: deadlines, unix sockets' paths, disk, recipes, steps, workspace."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from invoke.context import Context
from invoke.exceptions import Exit

import tasks
from reconnect.kit import console, disk
from reconnect.kit.deadline import Deadline
from reconnect.kit.errors import HostError
from reconnect.kit.sockets import SUN_PATH_BYTES, checked
from reconnect.project import config
from reconnect.project.config import Build
from reconnect.toolchain.recipes import BuildPaths, find


@given(st.floats(min_value=0.001, max_value=1e6), st.floats(min_value=0, max_value=1e6))
def test_a_sooner_deadline_is_never_later(seconds: float, sooner: float) -> None:
    deadline = Deadline(seconds)
    assert 0 <= deadline.remaining <= seconds
    assert deadline.sooner(sooner).remaining <= min(seconds, sooner)


def test_a_deadline_passes() -> None:
    deadline = Deadline(0.0001)
    end = time.monotonic() + 5
    while not deadline.passed:
        assert time.monotonic() < end
    assert deadline.remaining == 0.0
    assert not Deadline(60).passed


def test_a_path_that_a_unix_socket_can_not_have() -> None:
    fits = Path("/" + "ä" * ((SUN_PATH_BYTES - 1) // 2))
    assert checked(fits) == fits
    with pytest.raises(HostError, match="too long for a unix socket") as caught:
        checked(Path(f"{fits}ä"))
    assert "it has 109 bytes; the kernel takes 107" in caught.value.why
    assert "TMPDIR" in caught.value.hint


def test_disk_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    disk.require(tmp_path / "not/yet", 1, "x")
    with pytest.raises(HostError, match=r"x needs 900000000 MiB of disk in .*; \d+ MiB are free"):
        disk.require(tmp_path / "not/yet", 900_000_000, "x")
    assert not (tmp_path / "not").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_disk_ends_with_6_and_a_way_out(number: int, capfd: pytest.CaptureFixture[str]) -> None:
    """Verify: whatever was written when it became full, no traceback."""

    def body(_: object) -> None:
        raise OSError(number, os.strerror(number), "/x/log")

    with pytest.raises(Exit) as caught:
        tasks.ours(body)(Context())
    assert caught.value.code == 6
    said = capfd.readouterr().err
    assert f"error: can't write /x/log: {os.strerror(number)}" in said
    assert "make room" in said


def test_other_errors_of_the_system_stay_what_they_are() -> None:
    def body(_: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "a bug", "/x")

    with pytest.raises(FileNotFoundError):
        tasks.ours(body)(Context())


PLACE = BuildPaths(Path("/s"), Path("/o"), Path("/p"), Path("/d"), Path("/bin"), Path("/v"), 3)


def build(recipe: str, **more: object) -> Build:
    return Build(recipe, configure=("--x", "--m={meson}"), products=("bin/x",), disk_mib=1, **more)  # type: ignore[arg-type]


def test_autotools_argument_lists() -> None:
    also = (("-C", "docs", "install-data"),)
    made, recipe = build("autotools", targets=("all",), install=("V=1",), install_also=also), find("autotools")
    assert recipe.configure(made, PLACE) == ["/s/configure", "--prefix=/p", "--x", "--m=/bin/meson"]
    assert recipe.compile(made, PLACE) == ["make", "-j3", "all"]
    assert recipe.install(made, PLACE) == [
        ["make", "DESTDIR=/d", "install", "V=1"],
        ["make", "DESTDIR=/d", "-C", "docs", "install-data"],
    ]


def test_meson_argument_lists() -> None:
    made, recipe = build("meson", targets=("x",), install=("--tags", "y")), find("meson")
    assert recipe.configure(made, PLACE) == ["/bin/meson", "setup", "/o", "/s", "--prefix=/p", "--x", "--m=/bin/meson"]
    assert recipe.compile(made, PLACE) == ["/bin/ninja", "-j3", "x"]
    assert recipe.install(made, PLACE) == [
        [*("/bin/meson", "install", "--no-rebuild", "--quiet", "--destdir", "/d", "--tags", "y")]
    ]
    assert recipe.configure(build("meson", script="configure"), PLACE)[0] == "/s/configure"


def test_every_recipe_that_may_be_named_exists() -> None:
    for name in config.RECIPES:
        find(name)


def test_a_step_without_a_terminal_prints_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with console.step("do [this]") as current:
        current.progress("half [way]")
        current.done("[done]")
    with pytest.raises(KeyError), console.step("fail"):
        raise KeyError
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "==> do [this]"
    assert lines[1].startswith("    [done] (")
    assert lines[3].startswith("    fail: failed after ")


def test_a_long_step_without_a_terminal_says_that_it_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "HEARTBEAT_SECONDS", 0.0)
    with console.step("long") as current:
        current.progress("half way")
    assert "    ... long: half way (0 s)" in capsys.readouterr().out.splitlines()
