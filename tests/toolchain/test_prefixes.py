"""A series compiled and run after each of its patches, through the task."""

from __future__ import annotations

import pytest

from tests.toolchain.conftest import Tiny
from tests.toolchain.world import part

pytestmark = pytest.mark.compiler

PROVE = ("test-series", "--component", "other")


def _series(tiny: Tiny, *texts: str, baseline: int = 1) -> list[str]:
    """Give ``other`` a series whose patches bring part.c to each of these texts."""
    base = tiny.other.head
    for number, text in enumerate(texts, 1):
        tiny.other.commit({"part.c": text}, f"part: step {number}")
    names = tiny.other.export(base, tiny.checkout.patches / "other", baseline=baseline)
    tiny.other.git("reset", "--quiet", "--hard", base)
    return names


def test_each_prefix_is_compiled_and_run(tiny: Tiny) -> None:
    names = _series(tiny, part(1), part(2), part(3))
    done = tiny.checkout.run(*PROVE).expect(0, "other: 3 steps, 3 run, 0 do not")
    assert [line.strip() for line in done.output.splitlines() if line.strip().endswith(".patch")] == names
    # The ordinary builds are not touched: they have objects of their own.
    tiny.checkout.run("build", "--component", "other").expect(0)
    tiny.checkout.run(*PROVE).expect(0)
    tiny.checkout.run("build", "--component", "other").expect(0, "other patched: up to date")


def test_a_prefix_that_does_not_compile_is_named(tiny: Tiny) -> None:
    """The whole series compiles: only the prefix shows it."""
    names = _series(tiny, part(1), part(2) + "int half(void) { return missing; }\n", part(3))
    tiny.checkout.run("build", "--component", "other").expect(0)
    done = tiny.checkout.run(*PROVE).expect(5, f"other/{names[1]} does not compile without the patches after it")
    assert "missing" in done.output
    assert "1 of 3 patches" in done.output
    assert "3 of 3 patches" not in done.output


def test_the_baseline_part_is_one_step(tiny: Tiny) -> None:
    """Verify: where one of its patches does not compile without the next, nothing is wrong."""
    names = _series(tiny, "what is this\n", part(1), part(2), baseline=2)
    done = tiny.checkout.run(*PROVE).expect(0, "other: 2 steps, 2 run, 0 do not")
    assert names[0] not in done.output


def test_a_prefix_that_compiles_and_does_not_run_is_named(tiny: Tiny) -> None:
    crash = "#include <stdlib.h>\n" + part(2).replace("return", "abort(); return")
    names = _series(tiny, part(1), crash, part(3))
    done = tiny.checkout.run(*PROVE).expect(7, "does not run after 1 of the 3 steps")
    assert f"{names[1]}: --version: signal SIGABRT" in done.output


def test_an_unknown_component_is_refused(tiny: Tiny) -> None:
    tiny.checkout.run("test-series", "--component", "othr").expect(2, "othr", "other")
