"""RECONNECT_OFFLINE: all that is missing is listed, what is there is used, nothing is asked."""

from __future__ import annotations

import pytest

from tests.toolchain.conftest import Tiny
from tests.toolchain.test_building import says
from tests.toolchain.world import Checkout

OFFLINE = {"RECONNECT_OFFLINE": "1"}


@pytest.mark.parametrize("task", ["fetch", "patch", "build"])
@pytest.mark.parametrize("stack", ["qemu-2.7", "debian-12"])
def test_everything_that_is_missing_is_listed(checkout: Checkout, task: str, stack: str) -> None:
    done = checkout.run(task, "--stack", stack, **OFFLINE)
    qemu, libvirt = ("qemu-2.7", "libvirt-3.0") if stack == "qemu-2.7" else ("qemu-7.2", "libvirt-9.0")
    count = "3 of 3" if task == "fetch" else "2 of 2"
    done.expect(3, f"RECONNECT_OFFLINE is set and the cache lacks {count} things", f"{qemu}: ", f"{libvirt}: ")
    assert str(checkout.cache) in done.output
    if task == "fetch":
        done.expect(3, "guest: the cache has no package linux-image-cloud-amd64", "no package busybox-static")
    assert "==>" not in done.output


def test_only_what_is_missing_is_listed(tiny: Tiny) -> None:
    tiny.checkout.run("fetch", "--component", "tiny").expect(0)
    done = tiny.checkout.run("fetch", "--stack", "small", **OFFLINE).expect(
        3, "lacks 2 of 3 things", "other: ", "guest: "
    )
    assert "tiny: " not in done.output


@pytest.mark.compiler
def test_a_build_from_the_cache_alone(tiny: Tiny) -> None:
    """Steps: fetch; take the origins away; build offline. Verify: 0, the program, and the cache as it was."""
    both = ("--component", "tiny,other")
    tiny.checkout.run("fetch", *both).expect(0)
    for repo in (tiny.repo, tiny.other):
        repo.path.rename(repo.path.with_name(f"{repo.path.name}-away"))
    tiny.checkout.run("build", *both, **OFFLINE).expect(0)
    assert says(tiny.prints("patched")) == "part 2"
    assert says(tiny.prints("patched", "other")) == "part 2"


def test_auto_takes_the_reference_stack_where_its_source_is(checkout: Checkout) -> None:
    """Offline and with an empty cache, the fallback is taken, the reason said first, and then what it lacks."""
    done = checkout.run("fetch", **OFFLINE)
    done.expect(3, "stack debian-12: qemu-2.7 is unavailable: ", "lacks 3 of 3 things", "qemu-7.2: ")
    assert done.output.startswith("stack debian-12: ")


def test_a_named_stack_is_never_replaced(checkout: Checkout) -> None:
    done = checkout.run("build", "--stack", "qemu-2.7", **OFFLINE).expect(
        3, "stack qemu-2.7: named on the command line"
    )
    assert "debian-12:" not in done.output
