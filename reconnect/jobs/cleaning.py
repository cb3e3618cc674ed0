"""Removing what was generated, and nothing else."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from reconnect.kit.console import say
from reconnect.kit.errors import ConfigError
from reconnect.kit.lock import exclusive
from reconnect.project.settings import CACHEDIR_TAG
from reconnect.project.workspace import RESULTS, Workspace


def clean(workspace: Workspace, *, cache: bool) -> None:
    """Empty ``build/``; with ``cache`` remove the cache as well.

    :raises ConfigError: the cache folder doesn't carry our tag; then it isn't touched.
    """
    if cache:
        _require_tag(workspace.settings.cache)
    work = workspace.build / "work"
    for folder in sorted(p for p in work.glob("*") if p.is_dir()):
        # A build that is under way keeps its folder until it has ended.
        with exclusive(folder, "clean"):
            shutil.rmtree(folder)
    # Only now: a build that we waited for may itself have waited for the cells. Each run shares this lock.
    with exclusive(workspace.use(RESULTS), "clean"):
        for folder in sorted(p for p in (workspace.build / "install").glob("*") if p.is_dir()):
            with exclusive(workspace.use(folder.name), "clean"):
                shutil.rmtree(folder)
        for path in sorted(workspace.build.glob("[!.]*")):
            if path != work:
                _remove(path)
    with contextlib.suppress(OSError):  # a build has begun since
        work.rmdir()
    say(f"removed what was below {workspace.build}")
    if cache and workspace.settings.cache.exists():
        shutil.rmtree(workspace.settings.cache)
        say(f"removed {workspace.settings.cache}")


def _require_tag(cache: Path) -> None:
    tag = cache / "CACHEDIR.TAG"
    if cache.exists() and (not tag.is_file() or tag.read_text(encoding="utf-8") != CACHEDIR_TAG):
        raise ConfigError(
            f"{cache} is not removed: it carries no CACHEDIR.TAG of ours",
            hint="check RECONNECT_CACHE; remove the folder by hand if it really is the cache",
        )


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path)
