"""The guest's memory, mapped from the descriptors of SET_MEM_TABLE (spec, "Memory regions description")."""

from __future__ import annotations

import contextlib
import mmap
import os
from dataclasses import dataclass

from reconnect.lab.stub.protocol import MEMORY_HEADER, MEMORY_REGION

LOG_PAGE = 4096
"""VHOST_LOG_PAGE, whatever the host's pages are."""


class Unmapped(Exception):
    """An address that no region holds."""


@dataclass(frozen=True)
class Region:
    """One region as the front-end describes it. All in bytes.

    :param guest: address in the guest.
    :param user: address in the front-end's process: those of rings are of this kind.
    :param offset: where the region begins in its file.
    """

    guest: int
    size: int
    user: int
    offset: int

    def holds(self, address: int, size: int, start: int) -> bool:
        """Whether ``size`` bytes at ``address`` are within the region that begins at ``start``."""
        return start <= address and address + size <= start + self.size


def regions_of(payload: bytes) -> tuple[Region, ...]:
    """The regions in the payload of SET_MEM_TABLE, whose size has been checked."""
    count, _ = MEMORY_HEADER.unpack_from(payload)
    places = (MEMORY_HEADER.size + i * MEMORY_REGION.size for i in range(count))
    return tuple(Region(*MEMORY_REGION.unpack_from(payload, place)) for place in places)


class Mapped:
    """One region in our own address space."""

    def __init__(self, region: Region, fd: int) -> None:
        self.region = region
        # mmap() wants an offset on a page's border; what the front-end gives may be any.
        self.shift = region.offset % mmap.ALLOCATIONGRANULARITY
        self.bytes = mmap.mmap(fd, region.size + self.shift, offset=region.offset - self.shift)


class DirtyLog:
    """The log of written pages for a migration: one bit a page (spec, "Migration").

    :raises OSError: the file can't be mapped.
    :ivar marked: how many pages were logged, one that was written again counted again.
    """

    def __init__(self, fd: int, size: int, offset: int) -> None:
        shift = offset % mmap.ALLOCATIONGRANULARITY
        self._bits = mmap.mmap(fd, size + shift, offset=offset - shift)
        self._shift, self._size = shift, size
        self.marked = 0

    @property
    def left(self) -> int:
        """How many pages are in the log: the front-end takes out what it has seen."""
        return int.from_bytes(self._bits[self._shift :], "little").bit_count()

    def mark(self, address: int, size: int) -> None:
        """Set the bits of the pages of some bytes at a guest's address."""
        for page in range(address // LOG_PAGE, (address + max(size, 1) - 1) // LOG_PAGE + 1):
            if page // 8 < self._size:
                self._bits[self._shift + page // 8] |= 1 << page % 8
                self.marked += 1

    def close(self) -> None:
        """Unmap it."""
        self._bits.close()


class GuestMemory:
    """A memory table in use.

    :param fds: one for each region; they stay the caller's.
    :raises OSError: a region can't be mapped.
    :raises ValueError: a region is larger than its file.
    """

    def __init__(self, regions: tuple[Region, ...], fds: tuple[int, ...]) -> None:
        self._mapped: list[Mapped] = []
        self.log: DirtyLog | None = None
        try:
            for region, fd in zip(regions, fds, strict=True):
                if region.offset + region.size > os.fstat(fd).st_size:
                    raise ValueError(f"a region of {region.size} bytes at {region.offset} is larger than its file")
                self._mapped.append(Mapped(region, fd))
        except (OSError, ValueError):
            self.close()
            raise

    @property
    def regions(self) -> tuple[Region, ...]:
        """The table."""
        return tuple(mapped.region for mapped in self._mapped)

    def guest(self, address: int, size: int) -> tuple[mmap.mmap, int]:
        """The map and the place in it of a guest's address.

        :raises Unmapped: they are not all in one region.
        """
        for mapped in self._mapped:
            if mapped.region.holds(address, size, mapped.region.guest):
                return mapped.bytes, address - mapped.region.guest + mapped.shift
        raise Unmapped(f"guest address {address:#x}, {size} bytes")

    def user(self, address: int, size: int) -> tuple[mmap.mmap, int]:
        """The same for an address of the front-end's.

        :raises Unmapped: they are not all in one region.
        """
        for mapped in self._mapped:
            if mapped.region.holds(address, size, mapped.region.user):
                return mapped.bytes, address - mapped.region.user + mapped.shift
        raise Unmapped(f"front-end's address {address:#x}, {size} bytes")

    def read(self, address: int, size: int) -> bytes:
        """Bytes at a guest's address.

        :raises Unmapped: see :meth:`guest`.
        """
        memory, place = self.guest(address, size)
        return memory[place : place + size]

    def write(self, address: int, data: bytes) -> None:
        """Write at a guest's address.

        :raises Unmapped: see :meth:`guest`.
        """
        memory, place = self.guest(address, len(data))
        memory[place : place + len(data)] = data
        self.mark(address, len(data))

    def mark(self, address: int, size: int) -> None:
        """Log that bytes at a guest's address were written, where a log is kept."""
        if self.log is not None:
            self.log.mark(address, size)

    def close(self) -> None:
        """Unmap all. Never fails."""
        for mapped in self._mapped:
            with contextlib.suppress(BufferError):
                mapped.bytes.close()
        self._mapped.clear()
