"""Unix sockets have short names: ``sun_path`` holds 108 bytes with its final zero (Linux, unix(7))."""

from __future__ import annotations

from pathlib import Path

from reconnect.kit.errors import HostError

SUN_PATH_BYTES = 107
"""The longest path, in bytes, that a unix socket can be bound to."""


def checked(path: Path) -> Path:
    """The path itself, when a unix socket can be made there.

    :raises HostError: it is too long.
    """
    size = len(str(path).encode())
    if size > SUN_PATH_BYTES:
        raise HostError(
            f"the path {path} is too long for a unix socket",
            why=f"it has {size} bytes; the kernel takes {SUN_PATH_BYTES}",
            hint="set TMPDIR to a short directory, for example TMPDIR=/tmp",
        )
    return path
