"""No guard without a test that makes it speak; and the watchers of that are watched."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from reconnect.project.workspace import ROOT
from tests.unit.lab.guards import Spoken, claims, guards, main

PLANTED = """
from reconnect.lab.process.failure import CellEnded, CellError

class Odd(CellEnded):
    pass

class Case:
    def run(self, number: int) -> None:
        what = "rain"
        if number == 1:
            raise CellError(f"one of {number}")
        if number == 2:
            raise Odd("two")
        if number == 3:
            raise ValueError("no guard")
        def inner() -> None:
            raise type(self)("odd")
        self.waiter.wait(inner, None, what)
        again = Odd("x")
        raise again
"""


def test_every_guard_has_its_test() -> None:
    """Verify: none is without, and no test names one that is not there. ``python -m tests.unit.lab.guards`` lists all.

    A new guard needs a test that feeds it the bad thing, marked ``@pytest.mark.guards("its name")``.
    """
    there, named = set(guards()), set(claims())
    assert not there - named, "guards without a test"
    assert not named - there, "tests of guards that are not there"


def test_what_is_a_guard(tmp_path: Path) -> None:
    """Verify: raises of a CellEnded of any name, of what is not known before, and waits; no other exception."""
    (tmp_path / "planted.py").write_text(PLANTED, encoding="utf-8")
    assert set(guards(tmp_path, ["*.py"])) == {
        "planted.py Case.run: one of",
        "planted.py Case.run: two",
        "planted.py Case.run.inner: odd",
        "planted.py Case.run waits for rain",
        "planted.py Case.run: {Odd('x')}",
    }


def test_who_has_spoken(tmp_path: Path) -> None:
    """Verify: the guard that has raised, and neither that beside it nor one that does not exist."""
    (tmp_path / "planted.py").write_text(PLANTED, encoding="utf-8")
    found = guards(tmp_path, ["*.py"])
    names: dict[str, type] = {}
    exec(compile(PLANTED, str(tmp_path / "planted.py"), "exec"), names)  # noqa: S102  # a guard in a file of its own
    one, two = "planted.py Case.run: one of", "planted.py Case.run: two"
    with Spoken(tmp_path) as spoken, pytest.raises(Exception, match="one of 1"):
        names["Case"]().run(1)
    assert spoken.silent([one, two, "planted.py Case.run: three"], found) == [two, "planted.py Case.run: three"]


@pytest.mark.parametrize(("limit", "code"), [(2000, 0), (0, 1)])
def test_a_test_that_does_not_reach_its_guard_fails(tmp_path: Path, limit: int, code: int) -> None:
    """Steps: a test that names a guard and asks the judge a question to which it speaks; one to which it doesn't.

    Verify: the first passes; the second fails, though nothing in it fails, and says which guard was not reached.
    """
    (name,) = guards(scope=["qemu/stall_check.py"])
    test = tmp_path / "test_planted.py"
    test.write_text(
        "import contextlib, pytest\n"
        "from reconnect.lab.qemu import stall_check\n"
        "from reconnect.lab.process.failure import CellFailed\n"
        f"@pytest.mark.guards({name!r})\n"
        "def test_planted():\n"
        f"    with contextlib.suppress(CellFailed): stall_check.judge({limit}, 0)\n",
        encoding="utf-8",
    )
    words = ["-q", "-p", "tests.unit.lab.conftest", "-p", "no:cacheprovider", f"--rootdir={ROOT}"]
    command = [sys.executable, "-m", "pytest", *words, "-c", str(ROOT / "pyproject.toml"), str(test)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout
    assert ("not reached: qemu/stall_check.py judge" in done.stdout) == bool(code)


def test_the_list_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Verify: each guard with a test below it, and how many there are."""
    assert main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"{len(guards())} guards, 0 without a test"
    (name,) = guards(scope=["qemu/stall_check.py"])
    assert lines[lines.index(name) + 1] == "    test_stall_check.py::test_either_figure_alone_is_a_stall"
