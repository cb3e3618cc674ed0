"""A writer of cpio archives in the *newc* format, the one that the kernel unpacks as an initramfs.

The format is in the kernel's Documentation/driver-api/early-userspace/buffer-format.rst: per entry a header of
``070701`` and thirteen fields of eight hexadecimal digits, the name, the data, each padded to four bytes.
The same entries give the same bytes: inode numbers count up, times and owners are 0.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass, field

MAGIC = b"070701"
TRAILER = "TRAILER!!!"


@dataclass
class Archive:
    """An archive under construction. Parents must be added before what is in them; nothing is added twice."""

    _names: set[str] = field(default_factory=set)
    _bytes: bytearray = field(default_factory=bytearray)

    def folder(self, name: str) -> None:
        """A directory, mode 0755."""
        self._add(name, stat.S_IFDIR | 0o755)

    def file(self, name: str, data: bytes, mode: int = 0o644) -> None:
        """A regular file."""
        self._add(name, stat.S_IFREG | mode, data)

    def symlink(self, name: str, target: str) -> None:
        """A symbolic link."""
        self._add(name, stat.S_IFLNK | 0o777, target.encode())

    def character_device(self, name: str, major: int, minor: int) -> None:
        """A character device, mode 0600. It needs no right on the host: it is just an entry."""
        self._add(name, stat.S_IFCHR | 0o600, device=(major, minor))

    def finish(self) -> bytes:
        """The whole archive, uncompressed."""
        return bytes(self._bytes) + _entry(0, TRAILER, 0, b"", (0, 0))

    def _add(self, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        parent = name.rpartition("/")[0]
        if name.startswith("/") or name in self._names or (parent and parent not in self._names):
            raise ValueError(f"{name} is absolute, twice in the archive, or comes before its folder")
        self._names.add(name)
        self._bytes += _entry(len(self._names), name, mode, data, device)


def _entry(inode: int, name: str, mode: int, data: bytes, device: tuple[int, int]) -> bytes:
    path = name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (inode, mode, 0, 0, links, 0, len(data), 0, 0, *device, len(path), 0)
    return _padded(MAGIC + b"".join(b"%08x" % value for value in fields) + path) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
