"""``--quick``: only tests that need no guest and no compiler. And what any run left out, grouped by its reason."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NEEDS = {
    "guest": "needs a guest",
    "compiler": "needs a compiler",
}
"""By marker: why ``--quick`` leaves a test out."""

FIXTURES = {
    "guest": "guest",
    "reference": "guest",
    "keep_results": "guest",
    "binaries": "compiler",
    "libvirt": "compiler",
    "ask": "compiler",
}
"""By fixture: the marker of the tests that use it."""

PROGRAMS = ("gcc", "cc", "g++", "c++", "clang", "qemu-system-x86_64")
REFUSAL = "a compiler or a guest in a quick run: mark the test with compiler or guest"

_LEFT_OUT = pytest.StashKey[Counter[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="only the tests that need no guest and no compiler")


def pytest_configure(config: pytest.Config) -> None:
    for marker, why in NEEDS.items():
        config.addinivalue_line("markers", f"{marker}: {why}; not run with --quick")
    config.stash[_LEFT_OUT] = Counter()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what a quick run has no time for."""
    if not config.getoption("--quick"):
        return
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        needs = need_of(item)
        if needs:
            config.stash[_LEFT_OUT][f"{NEEDS[needs]}, and the run is --quick"] += 1
        (left_out if needs else kept).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Under pytest-xdist workers collect the tests: tell what they left out to the process that reports."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        left_out: Counter[str] = session.config.stash[_LEFT_OUT]
        output["left out"] = dict(left_out)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker has ended. Each has collected all tests, so the first one's figures are everybody's."""
    if not node.config.stash[_LEFT_OUT]:
        node.config.stash[_LEFT_OUT].update(getattr(node, "workeroutput", {}).get("left out", {}))


def need_of(item: pytest.Item) -> str:
    """The marker of what a test needs, given by itself or by its fixtures; nothing where it needs neither."""
    names = [marker.name for marker in item.iter_markers() if marker.name in NEEDS]
    names += [FIXTURES[name] for name in getattr(item, "fixturenames", ()) if name in FIXTURES]
    return next((name for name in NEEDS if name in names), "")


@pytest.fixture(scope="session", autouse=True)
def _no_compiler(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """In a quick run, compilers and QEMU refuse to work: a test that is not marked is found by its failure."""
    with pytest.MonkeyPatch.context() as patch:
        if request.config.getoption("--quick"):
            folder = refusing_programs(tmp_path_factory.mktemp("refusing"))
            patch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        yield


def refusing_programs(folder: Path) -> Path:
    """Programs that say what is wrong and fail."""
    for name in PROGRAMS:
        program = folder / name
        program.write_text(f"#!/bin/sh\necho '{REFUSAL}' >&2\nexit 1\n", encoding="utf-8")
        program.chmod(0o755)
    return folder


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say at the end what was not run, and why: a line a reason, with the number of tests."""
    left_out: Counter[str] = config.stash[_LEFT_OUT]
    reasons = left_out + Counter(_reason(report) for report in terminalreporter.getreports("skipped"))
    if not reasons:
        return
    terminalreporter.section("not run")
    for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0])):
        terminalreporter.write_line(f"{count:5}  {reason}")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    told = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return told.removeprefix("Skipped: ")
