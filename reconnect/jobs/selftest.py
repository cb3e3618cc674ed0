"""``./inv test``: the project's own checks, each as one would run it by hand."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from reconnect.kit.command import pasteable
from reconnect.kit.console import say
from reconnect.kit.errors import ReconnectError
from reconnect.kit.parent import ends_with_us
from reconnect.kit.processgroup import end_group

QUICK = ("--quick", "--numprocesses=2", "--dist=loadfile")
"""pytest's words for a quick run. The tests of a file share what its fixtures made: they stay in one process."""

INTERRUPTED_SECONDS = 60.0
"""What a check that was interrupted has to end its guests and builds by itself."""


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
        selector = [only] if (root / only.partition("::")[0]).exists() else ["-k", only]
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
    """Run a check in a session of its own: what a terminal sends comes to us alone, and we pass it on once."""
    process = subprocess.Popen(
        ends_with_us(argv, "INT"),
        cwd=root,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(INTERRUPTED_SECONDS)
        raise
    finally:
        end_group(process)
