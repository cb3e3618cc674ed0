"""``patch --check``: the series without the sources that they apply to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reconnect.kit.console import say
from reconnect.kit.errors import PatchError
from reconnect.toolchain import series


def check(folders: Sequence[Path]) -> None:
    """Lint several series and say what was found in each.

    :raises PatchError: lists all problems of all of them.
    """
    problems: list[str] = []
    for folder in folders:
        found = series.lint(folder)
        count = len(series.read(folder).patches) if not found else 0
        say(f"{folder.name}: {f'{len(found)} problems' if found else f'{count} patches, clean'}")
        problems += found
    if problems:
        raise PatchError(f"{len(problems)} problems in the series", why="\n".join(problems))
