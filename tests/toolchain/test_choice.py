"""``--stack auto``: the reference where its sources can be had, else Debian's, and which of them is said first."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconnect.project import config as configuration
from reconnect.project.config import Component
from reconnect.project.workspace import Workspace
from reconnect.toolchain import building, fetching
from reconnect.toolchain.choice import choose
from reconnect.toolchain.fetching import Fetched
from tests.toolchain.conftest import Tiny
from tests.toolchain.world import component

STACKS = """
[stack."qemu-2.7"]
title = "the reference"
qemu = "tiny"
libvirt = "other"

[stack."debian-12"]
title = "the fallback"
qemu = "second"
libvirt = "other"
"""


def write(tiny: Tiny, origins: list[str], other: str = "") -> None:
    qemu = component("tiny", origins, tiny.base)
    second = component("second", [tiny.repo.url], tiny.base)
    origin = other or tiny.other.url
    libvirt = component("other", [origin], tiny.other.head, program="libvirt", recipe="meson", series="other")
    tiny.checkout.write_stacks(STACKS, qemu, second, libvirt)


@pytest.mark.parametrize("words", [(), ("--stack", "auto")])
def test_the_reference_where_its_source_can_be_had(tiny: Tiny, words: tuple[str, ...]) -> None:
    write(tiny, [tiny.repo.url])
    done = tiny.checkout.run("patch", *words).expect(0, "tiny patched: ", "other patched: ")
    assert done.output.startswith("stack qemu-2.7: the sources of tiny and other can be had\n")


def test_the_fallback_with_the_reason_where_it_can_not(tiny: Tiny, tmp_path: Path) -> None:
    write(tiny, [f"file://{tmp_path}/gone", "git://127.0.0.1:1/gone"])
    done = tiny.checkout.run("patch").expect(0, "second patched: ", "(and 1 more origins)")
    assert done.output.startswith(f"stack debian-12: tiny is unavailable: file://{tmp_path}/gone: ")


def test_the_fallback_where_its_libvirt_can_not(tiny: Tiny, tmp_path: Path) -> None:
    write(tiny, [tiny.repo.url], other=f"file://{tmp_path}/gone")
    done = tiny.checkout.run("patch")
    assert done.output.startswith(f"stack debian-12: other is unavailable: file://{tmp_path}/gone: ")


def test_a_stack_that_is_named_is_never_replaced(tiny: Tiny, tmp_path: Path) -> None:
    write(tiny, [f"file://{tmp_path}/gone"])
    done = tiny.checkout.run("patch", "--stack", "qemu-2.7")
    done.expect(3, "stack qemu-2.7: named on the command line", "no origin served", "--stack debian-12")
    assert "second" not in done.output


@pytest.mark.compiler
def test_the_cache_is_looked_at_once_for_each_component(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps: fill the cache; choose, fetch and build as the main job does. Verify: one look at each source."""
    write(tiny, [tiny.repo.url])
    tiny.checkout.run("fetch", "--component", "tiny,other").expect(0)
    looks = []
    real = fetching.cached

    def counted(workspace: Workspace, wanted: Component) -> Fetched:
        looks.append(wanted.name)
        return real(workspace, wanted)

    monkeypatch.setattr(fetching, "cached", counted)
    workspace = tiny.checkout.workspace
    facts = configuration.load(workspace.stacks, workspace.patches)
    choice = choose(workspace, facts, "auto")
    components = [facts.component(name) for name in choice.stack.components]
    for fetched in fetching.fetch_all(workspace, components, known=choice.fetched):
        building.build(workspace, fetched.component, fetched=fetched)
    assert looks == ["tiny", "other"]
