"""``./inv test``: the project's own checks, each as one would run it by hand."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from reconnect.kit.command import pasteable
from reconnect.kit.console import say
from reconnect.kit.errors import ReconnectError

QUICK = ("--quick", "--numprocesses=2", "--dist=loadfile")
"""pytest's words for a quick run. The tests of a file share what its fixtures made: they stay in one process."""


def run(root: Path, only: str = "", *, quick: bool = False) -> None:
    """Run the linters and all tests.

    The checks write to our own terminal: pytest's progress is of use only while it happens.

    :param only: a path or an expression of pytest's: just these tests, without the linters.
    :param quick: leave out the tests that need a guest or a compiler. What is left is run by two processes: nothing
        that is measured in it needs a processor for itself.
    :raises ReconnectError: lists the checks that failed.
    """
    bin_folder = Path(sys.executable).parent
    python = [sys.executable, "-m"]
    pytest = [*python, "pytest", "--durations=10", *(QUICK if quick else ())]
    checks = {
        "ruff check": [str(bin_folder / "ruff"), "check", "."],
        "ruff format": [str(bin_folder / "ruff"), "format", "--check", "."],
        "mypy --strict": [*python, "mypy"],
        "import contracts": [str(bin_folder / "lint-imports"), "--no-cache", "--no-logo"],
        "patch --check": [*python, "reconnect.program", "patch", "--check"],
        "pytest": pytest,
    }
    if only:
        selector = [only] if (root / only.split("::")[0]).exists() else ["-k", only]
        checks = {"pytest": [*pytest, *selector]}
    failed = []
    for name, argv in checks.items():
        say(f"==> {name}", "bold")
        started = time.monotonic()
        code = _run(argv, root)
        say(f"    {name}: {'passed' if code == 0 else f'failed ({code})'} ({time.monotonic() - started:.1f} s)")
        if code:
            failed.append(f"{name}: {pasteable(argv, root)}")
    if failed:
        raise ReconnectError(f"{len(failed)} of {len(checks)} checks failed", why="\n".join(failed))


def _run(argv: list[str], root: Path) -> int:
    process = subprocess.Popen(argv, cwd=root, stdin=subprocess.DEVNULL, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        return process.wait()
    except KeyboardInterrupt:
        # The terminal has told the child too; it ends its guests and builds itself.
        process.wait(60)
        raise
