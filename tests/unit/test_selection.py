"""Which tests a quick run leaves out, and how a run tells what was not run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reconnect.project.workspace import ROOT

TESTS = """
import subprocess
import pytest

@pytest.fixture
def guest():
    pass

def test_ordinary():
    pass

def test_with_a_guest(guest):
    pass

@pytest.mark.compiler
def test_compiling():
    assert subprocess.run(["gcc", "--version"]).returncode == 0

def test_compiling_without_a_mark():
    assert subprocess.run(["gcc", "--version"]).returncode == 0

@pytest.mark.parametrize("number", [1, 2])
def test_skipped(number):
    pytest.skip("no such machine")
"""


def run(folder: Path, *words: str) -> tuple[int, list[str]]:
    """pytest's exit code and output for :data:`TESTS`."""
    (folder / "test_some.py").write_text(TESTS)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -p tests.selection --strict-markers\n")
    tools = folder / "tools"
    tools.mkdir()
    (tools / "gcc").write_text("#!/bin/sh\nexit 0\n")
    (tools / "gcc").chmod(0o755)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{tools}:{os.environ['PATH']}"}
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words]
    done = subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout.splitlines()


def not_run(lines: list[str]) -> list[str]:
    """The lines of the section "not run"."""
    start = next(number for number, line in enumerate(lines) if line.strip("= ") == "not run")
    return [line.strip() for line in lines[start + 1 :] if line[:5].strip().isdigit()]


def test_an_ordinary_run_leaves_nothing_out_and_groups_what_was_skipped(tmp_path: Path) -> None:
    code, lines = run(tmp_path)
    assert code == 0, lines
    assert not_run(lines) == ["2  no such machine"]
    assert "4 passed, 2 skipped" in lines[-1]


@pytest.mark.parametrize("words", [(), ("--numprocesses=2",)], ids=["alone", "two processes"])
def test_a_quick_run_says_what_it_left_out_and_compiles_nothing(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Verify: marked tests are not run, an unmarked one that compiles fails; each reason with its number, once."""
    code, lines = run(tmp_path, "--quick", *words)
    assert code == 1, lines
    assert not_run(lines) == [
        "2  no such machine",
        "1  needs a compiler, and the run is --quick",
        "1  needs a guest, and the run is --quick",
    ]
    assert "1 failed, 1 passed, 2 skipped" in lines[-1]
    assert any("mark the test with compiler or guest" in line for line in lines)


def test_nothing_is_said_where_everything_was_run(tmp_path: Path) -> None:
    code, lines = run(tmp_path, "-k", "ordinary")
    assert code == 0, lines
    assert not any(line.strip("= ") == "not run" for line in lines)
