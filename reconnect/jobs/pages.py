"""Where what draws a page keeps its files."""

from __future__ import annotations

import os
from pathlib import Path

from reconnect.project.workspace import Workspace
from reconnect.report.results import RunResult


def write(workspace: Workspace, result: RunResult, folder: Path, other: RunResult | None = None) -> Path:
    """Write report.html into a run's folder: see :func:`reconnect.report.page.write`."""
    # matplotlib lists the host's fonts once: in our cache, not in somebody's home, which may be none.
    os.environ.setdefault("MPLCONFIGDIR", str(workspace.cache_dir("matplotlib")))
    # Late: matplotlib takes most of a second to import, and looks at that variable then.
    from reconnect.report import page  # noqa: PLC0415  # as said

    return page.write(result, folder, other)
