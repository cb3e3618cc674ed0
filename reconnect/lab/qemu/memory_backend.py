"""Where the guest's memory goes: a file that QEMU makes, maps, shares with the backend, and unlinks at once."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from reconnect.kit.errors import HostError

MIB = 2**20


def memory_folder(mib: int, candidates: Sequence[Path] | None = None) -> Path:
    """The first folder with room for a guest's memory.

    A container often has just 64 MiB of /dev/shm, and QEMU would die of SIGBUS in the middle of the boot: a file on a
    disk is slower and works as well.

    :param candidates: without them /dev/shm, then TMPDIR.
    :raises HostError: none has the room.
    """
    folders = candidates or (Path("/dev/shm"), Path(tempfile.gettempdir()))
    rooms = {folder: shutil.disk_usage(folder).free // MIB for folder in folders if os.access(folder, os.W_OK)}
    for folder, room in rooms.items():
        if room >= mib:
            return folder
    raise HostError(
        f"there is no room for the guest's {mib} MiB of memory",
        why="; ".join(f"{folder} has {room} MiB free" for folder, room in rooms.items()) or "no folder is writable",
        hint="give the container more shared memory (--shm-size), or set TMPDIR to a folder with room",
    )
