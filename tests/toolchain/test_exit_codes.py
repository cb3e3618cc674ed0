"""Each class of error ends a real task with the code that the manual gives for what it stands for."""

from __future__ import annotations

import pytest

from reconnect.kit import errors
from reconnect.project.workspace import ROOT
from tests.pages import Page
from tests.toolchain.world import Checkout

TASK = """

@task
@ours
def raising(_: Context, kind: str) -> None:
    \"\"\"End with an error.\"\"\"
    from reconnect.kit import errors

    raise getattr(errors, kind)("it ended", why="so it is", hint="go on") if hasattr(errors, kind) else eval(kind)


namespace.add_task(raising)
"""

MEANING = {
    "ConfigError": "usage",
    "SourceError": "a source is",
    "PatchError": "a patch does not",
    "BuildError": "compile",
    "HostError": "this machine",
    "VerdictError": "verdict",
}
"""By class: a word of its row in the manual."""

MANUAL = {text: int(code) for code, text in Page(ROOT / "docs/commands.md").table("Exit codes")}


def manual(word: str) -> int:
    (code,) = (code for text, code in MANUAL.items() if word in text)
    return code


@pytest.fixture
def raising(checkout: Checkout) -> Checkout:
    """The checkout with a task that raises what it is told."""
    with (checkout.root / "tasks.py").open("a", encoding="utf-8") as tasks:
        tasks.write(TASK)
    return checkout


def test_each_class_has_a_row() -> None:
    assert sorted(MEANING) == sorted(kind.__name__ for kind in errors.ReconnectError.__subclasses__())
    assert len({manual(word) for word in MEANING.values()}) == len(MEANING)


@pytest.mark.parametrize(("kind", "word"), MEANING.items())
def test_a_task_ends_with_the_code_of_its_error(raising: Checkout, kind: str, word: str) -> None:
    raising.run("raising", "--kind", kind).expect(manual(word), "error: it ended", "why: so it is", "do : go on")


def test_an_internal_error_shows_where_it_was(raising: Checkout) -> None:
    done = raising.run("raising", "--kind", "ValueError('a bug')")
    assert done.code == manual("internal error")
    assert "Traceback" in done.output


def test_an_interruption_has_a_code_of_its_own(raising: Checkout) -> None:
    raising.run("raising", "--kind", "KeyboardInterrupt()").expect(manual("interrupted"), "interrupted: everything")


def test_a_full_disk_is_this_machine_s(raising: Checkout) -> None:
    """An OSError of no class of ours, from wherever."""
    raising.run("raising", "--kind", "OSError(28, 'No space left on device', '/x')").expect(manual("this machine"))
