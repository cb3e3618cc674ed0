"""Too little disk is said before the work, not by a compiler in the middle of it."""

from __future__ import annotations

import errno
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


def explained(error: OSError) -> HostError | None:
    """What a failed write says of the machine: no room, no quota, no right to write. None for all other errors."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return None
    where = f" {error.filename}" if error.filename else ""
    return HostError(
        f"can't write{where}: {error.strerror}",
        hint="make room, for example with ./inv clean --cache, or use a checkout on another disk",
    )
