"""``./inv report --merge``: one run, with all logs, out of the shards of several machines."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from reconnect.jobs import handover
from reconnect.kit.errors import VerdictError
from reconnect.project.workspace import Workspace
from reconnect.report import merge, results
from reconnect.report.results import RunResult, shard_folder

PARTIAL = ".*.partial"
"""Files that a run was writing when it was ended."""


def run(workspace: Workspace, shards: Sequence[tuple[Path, RunResult]]) -> Path:
    """Put shards together.

    :param shards: the folder of each and what is in it.
    :returns: the new run's folder; below it a folder for each shard, with all that was in its own.
    :raises VerdictError: they are not the whole of one plan, each cell once; nothing is written then.
    """
    found = [result for _, result in shards]
    if said := merge.reasons(found):
        raise VerdictError(
            f"{len(found)} runs are not one",
            why="\n".join(said),
            hint="give the results of all shards of one call, each once: ./inv report --merge DIR --merge DIR ...",
        )
    folder = handover.results_folder(workspace)
    for number, (source, _) in enumerate(shards, 1):
        shutil.copytree(source, folder / shard_folder(number), symlinks=True, ignore=shutil.ignore_patterns(PARTIAL))
    results.save(merge.merged(found, folder.name), folder)
    return folder
