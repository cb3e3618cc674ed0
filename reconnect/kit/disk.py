"""Too little disk is said before the work, not by a compiler in the middle of it."""

from __future__ import annotations

import shutil
from pathlib import Path

from reconnect.kit.errors import HostError


def require(folder: Path, mib: int, what: str) -> None:
    """Make sure that a file system has room.

    :param folder: a folder on it; needn't exist yet.
    :param mib: how much the work takes, in MiB.
    :raises HostError: there is less.
    """
    place = folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free // 2**20
    if free < mib:
        raise HostError(
            f"{what} needs {mib} MiB of disk in {folder}; {free} MiB are free",
            hint="make room, for example with ./inv clean --cache, or use a checkout on another disk",
        )
