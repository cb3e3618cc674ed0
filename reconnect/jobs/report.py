"""The pages of a run: report.html, junit.xml and the table again from its results.json, alone or beside another run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from reconnect.jobs import merging, pages
from reconnect.kit.console import say
from reconnect.kit.errors import ConfigError, VerdictError
from reconnect.project.workspace import Workspace
from reconnect.report import junit, results, table
from reconnect.report.results import RunResult


def run(workspace: Workspace, name: str, compare: str, shards: Sequence[str] = ()) -> Path:
    """Write the pages of a run into its folder, and print its table.

    :param name: a run's id, its folder, or its results.json; empty for the latest.
    :param compare: another run, named likewise, whose figures stand beside; empty for none.
    :param shards: runs, named likewise, that are put together to a new one, whose pages are written then.
    :returns: report.html.
    :raises ConfigError: there is no such run, or it can't be read.
    :raises VerdictError: the shards are not the whole of one plan, or a cell of theirs has a wrong verdict.
    """
    if name and shards:
        raise ConfigError("--run and --merge exclude each other", hint="give one of them")
    if shards:
        folder = merging.run(workspace, [_read(workspace, shard) for shard in shards])
        result = results.load(folder)
    else:
        folder, result = _read(workspace, name)
    other = _read(workspace, compare)[1] if compare else None
    table.show(result, folder)
    if other is not None:
        for line in table.comparison(result, other):
            say(line)
    junit.write(result, folder)
    written = pages.write(workspace, result, folder, other)
    say(f"report: {os.path.relpath(written)}")
    if shards and not result.good:
        raise VerdictError(f"not every cell of the {len(shards)} shards showed what it had to: {result.summary}")
    return written


def _read(workspace: Workspace, name: str) -> tuple[Path, RunResult]:
    """A run's folder and its results."""
    candidates = [Path(name), workspace.results / name] if name else [workspace.results / "latest"]
    found = next((path for path in candidates if path.exists()), None)
    if found is None:
        raise ConfigError(
            f"there is no run {name}" if name else "there is no run yet",
            why=f"it is looked for in {workspace.results}",
            hint="run ./inv test-reconnect first, or give the folder of a run",
        )
    folder = (found if found.is_dir() else found.parent).resolve()
    return folder, results.load(found)
