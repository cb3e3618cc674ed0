"""The gate: its checks in order, what it says of those that fail, and the line that it ends with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from reconnect.jobs import selftest
from reconnect.kit.errors import ReconnectError
from reconnect.project.workspace import ROOT

TESTS = """
import pytest

@pytest.fixture
def broken():
    raise OSError

def test_passes(): pass
def test_passes_too(): pass
def test_fails(): assert False
def test_has_a_broken_fixture(broken): pass
def test_is_skipped(): pytest.skip("no such machine")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with tests of all outcomes."""
    (tmp_path / "test_some.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    return tmp_path


def test_everything_is_run_and_each_test_once() -> None:
    """Verify: the linters first; guests by one process, the rest by two; together they are all tests there are."""
    found = selftest.checks(ROOT)
    linters = ["ruff check", "ruff format", "mypy --strict", "import contracts", "patch --check"]
    assert list(found) == [*linters, "pytest tests/reconnect", "pytest, the rest"]
    guests, rest = list(found.values())[-2:]
    assert guests[-1] == "tests/reconnect"
    assert rest[-1] == "--ignore=tests/reconnect"
    assert not [word for word in guests if word.startswith("--numprocesses")]
    assert "--numprocesses=2" in rest
    assert "--quick" not in [*guests, *rest]


def test_a_quick_run_has_the_same_linters_and_one_pytest() -> None:
    whole, quick = selftest.checks(ROOT), selftest.checks(ROOT, quick=True)
    assert list(quick) == [*list(whole)[:-2], "pytest"]
    assert {"--quick", "--numprocesses=3", "--dist=worksteal"} <= set(quick["pytest"])


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize(("only", "words"), [("tests/unit", ["tests/unit"]), ("a or b", ["-k", "a or b"])])
def test_some_tests_are_run_without_the_linters(only: str, words: list[str], quick: bool) -> None:
    ((name, argv),) = selftest.checks(ROOT, only, quick=quick).items()
    assert name == "pytest"
    assert argv[-len(words) :] == words
    assert ("--quick" in argv) == quick


def test_each_linter_is_a_program_that_is_here() -> None:
    for argv in selftest.checks(ROOT).values():
        assert Path(argv[0]).is_file(), argv


def test_failed_checks_are_listed_with_their_commands_and_the_others_still_run(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Steps: a check that fails, one that passes, and pytest with tests of all outcomes.

    Verify: exit code 1 with both that failed, each with what one would type; the last line counts all tests.
    """
    python = [sys.executable, "-c"]
    pytest_ = [sys.executable, "-m", "pytest", "-q"]
    monkeypatch.setattr(
        selftest,
        "checks",
        lambda *_, **__: {
            "bad": [*python, "raise SystemExit(3)"],
            "good": [*python, "print('done')"],
            "tests": pytest_,
            "more tests": [*pytest_, "-k", "passes"],
        },
    )
    with pytest.raises(ReconnectError, match="2 of 4 checks failed") as caught:
        selftest.run(project)
    assert caught.value.exit_code == 1
    first, second = caught.value.why.splitlines()
    assert first.startswith("bad: ")
    assert "raise SystemExit(3)" in first
    assert second.startswith("tests: ")
    lines = capfd.readouterr().out.splitlines()
    assert "    bad: failed (3) (" in "\n".join(lines)
    assert "    good: passed (" in "\n".join(lines)
    assert lines[-1] == "4 passed, 2 failed, 1 skipped"


def test_where_nothing_fails_the_last_line_says_so(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    selftest.run(project, "passes")
    assert capfd.readouterr().out.splitlines()[-1] == "2 passed, 0 failed, 0 skipped"


def test_a_pytest_that_could_not_begin_fails(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (project / "conftest.py").write_text("raise OSError")
    with pytest.raises(ReconnectError, match="1 of 1 checks failed"):
        selftest.run(project, "passes")
    assert capfd.readouterr().out.splitlines()[-1] == "0 passed, 0 failed, 0 skipped"


def test_the_task_ends_with_the_codes_of_the_manual(tmp_path: Path) -> None:
    """Steps: run the task itself for a test that is not there. Verify: 1, and no traceback."""
    argv = [sys.executable, "-m", "reconnect.program", "test", "--only", "no_test_has_this_name", "--quick"]
    env_argv = ["env", f"PYTEST_ADDOPTS=--ignore-glob=* --basetemp={tmp_path / 'pytest'}", *argv]
    done = subprocess.run(env_argv, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 of 1 checks failed" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "0 passed, 0 failed, 0 skipped" in done.stdout
