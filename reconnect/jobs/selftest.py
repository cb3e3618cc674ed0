"""``./inv test``: the project's own checks, each as one would run it by hand."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from reconnect.kit.command import pasteable
from reconnect.kit.console import say
from reconnect.kit.errors import ReconnectError
from reconnect.kit.parent import ends_with_us
from reconnect.kit.processgroup import end_group

TWO_PROCESSES = ("--numprocesses=2", "--dist=loadfile")
"""pytest's words for tests that need no processor for themselves. Those of a file share what its fixtures made."""

QUICK = ("--quick", "--numprocesses=3", "--dist=worksteal")
"""pytest's words for a run that a person waits for: much of it waits itself, for programs, and none of it compiles."""

GUESTS = "tests/reconnect"
"""Guests whose times are measured: by one process. They come first: what they build, the others find built."""

INTERRUPTED_SECONDS = 60.0
"""What a check that was interrupted has to end its guests and builds by itself."""


def run(root: Path, only: str = "", *, quick: bool = False) -> None:
    """Run the linters and all tests. The last line has the number of tests that passed, failed and were skipped.

    The checks write to our own terminal: pytest's progress is of use only while it happens.

    :param only: a path or an expression of pytest's: just these tests, without the linters.
    :param quick: leave out the tests that need a guest or a compiler. What is left is run by two processes: nothing
        that is measured in it needs a processor for itself.
    :raises ReconnectError: lists the checks that failed.
    """
    with tempfile.TemporaryDirectory(prefix="reconnect-test-") as folder:
        reports = Path(folder)
        failed, count = [], 0
        for name, argv in checks(root, only, quick=quick).items():
            count += 1
            report = (f"--junit-xml={reports / f'{count}.xml'}",) if "pytest" in argv else ()
            say(f"==> {name}", "bold")
            started = time.monotonic()
            code = _run([*argv, *report], root)
            say(f"    {name}: {'passed' if code == 0 else f'failed ({code})'} ({time.monotonic() - started:.1f} s)")
            if code:
                failed.append(f"{name}: {pasteable(argv, root)}")
        say(totals(reports))
    if failed:
        raise ReconnectError(f"{len(failed)} of {count} checks failed", why="\n".join(failed))


def checks(root: Path, only: str = "", *, quick: bool = False) -> dict[str, list[str]]:
    """The command of each check, by its name, in order. See :func:`run`."""
    bin_folder = Path(sys.executable).parent
    python = [sys.executable, "-m"]
    pytest = [*python, "pytest", "--durations=10"]
    if quick:
        pytest += QUICK
    if only:
        return {"pytest": [*pytest, *([only] if (root / only.partition("::")[0]).exists() else ["-k", only])]}
    linters = {
        "ruff check": [str(bin_folder / "ruff"), "check", "."],
        "ruff format": [str(bin_folder / "ruff"), "format", "--check", "."],
        "mypy --strict": [*python, "mypy"],
        "import contracts": [str(bin_folder / "lint-imports"), "--no-cache", "--no-logo"],
        "patch --check": [*python, "reconnect.program", "patch", "--check"],
    }
    if quick:
        return {**linters, "pytest": pytest}
    return {
        **linters,
        f"pytest {GUESTS}": [*pytest, GUESTS],
        "pytest, the rest": [*pytest, *TWO_PROCESSES, f"--ignore={GUESTS}"],
    }


def totals(reports: Path) -> str:
    """All tests of all of pytest's JUnit files in a folder, in a line. A broken fixture is a test that failed."""
    sums: Counter[str] = Counter()
    for path in reports.glob("*.xml"):
        root = ElementTree.parse(path).getroot()  # noqa: S314  # written by the pytest that has just run
        for suite in root.iter("testsuite"):
            sums.update({name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")})
    failed = sums["failures"] + sums["errors"]
    passed = sums["tests"] - failed - sums["skipped"]
    return f"{passed} passed, {failed} failed, {sums['skipped']} skipped"


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
