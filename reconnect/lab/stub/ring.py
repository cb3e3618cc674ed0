"""Split virtqueues (virtio 1.1, section 2.6), seen from the device's side.

The rings' addresses are the front-end's, those in their descriptors the guest's. Python reads and writes two aligned
bytes at once, and the machines that this runs on keep stores in order: no barrier is needed beyond that.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from dataclasses import dataclass, field

from reconnect.lab.stub.guest_memory import GuestMemory, Unmapped
from reconnect.lab.stub.wire import close_all

U16 = struct.Struct("<H")
DESCRIPTOR = struct.Struct("<QIHH")
USED_ELEMENT = struct.Struct("<II")
NEXT, WRITE, INDIRECT = 1, 2, 4
NO_INTERRUPT = 1
MAX_SIZE, MAX_INDEX = 32768, 0xFFFF
RING_HEAD = 4
"""Flags and index, at the beginning of both the available and the used ring."""


class RingFault(Exception):
    """What the ring holds makes no sense: its start, its index or a descriptor is wrong."""


def sizes(num: int) -> tuple[int, int, int]:
    """Bytes of the descriptor table, of the available and of the used ring (without event indexes)."""
    return 16 * num, RING_HEAD + 2 * num, RING_HEAD + 8 * num


@dataclass(frozen=True)
class Addresses:
    """From SET_VRING_ADDR. ``log`` is the guest's address of the used ring, None where changes are not logged."""

    desc: int
    used: int
    avail: int
    log: int | None


@dataclass(frozen=True)
class Segment:
    """A piece of the guest's memory that a descriptor names."""

    address: int
    size: int
    writable: bool


@dataclass(frozen=True)
class Chain:
    """Descriptors that belong together. ``head`` is what the used ring tells the driver."""

    head: int
    segments: tuple[Segment, ...]


@dataclass
class Ring:
    """One ring: what the front-end has set, and while it runs, where we are in it.

    :ivar base: from SET_VRING_BASE; None before.
    :ivar kick: the descriptor that tells of new buffers; the ring runs while it has one.
    :ivar broken: it held nonsense and is not looked at any more.
    """

    index: int
    num: int | None = None
    addresses: Addresses | None = None
    base: int | None = None
    kick: int | None = None
    call: int | None = None
    error: int | None = None
    enabled: bool = False
    running: bool = False
    broken: bool = False
    kicks: int = 0
    frames: int = 0
    _avail: int = 0
    _used: int = 0
    _maps: dict[str, tuple[mmap.mmap, int]] = field(default_factory=dict)
    _memory: GuestMemory | None = None

    @property
    def ready(self) -> bool:
        """Buffers may be taken from it (spec, "Ring states")."""
        return self.running and self.enabled and not self.broken

    def start(self, memory: GuestMemory, repair: bool = False) -> dict[str, int]:
        """Begin at the index that the front-end gave.

        :param repair: where that is not the used ring's, begin there instead, as DPDK does since 16.07.
        :returns: ``base``, and the indexes that the rings held.
        :raises RingFault: it isn't set up.
        """
        if self.num is None or self.addresses is None or self.base is None:
            raise RingFault("it is started before its size, its addresses and its base are set")
        self._attach(memory)
        used, avail = self._u16("used", 2), self._u16("avail", 2)
        self._avail = self._used = used if repair else self.base
        self.running, self.broken = True, False
        self.kicks = self.frames = 0
        return {"base": self.base, "used": used, "avail": avail}

    def remap(self, memory: GuestMemory) -> None:
        """Take a new memory table without a stop.

        :raises RingFault: the ring is not in it.
        """
        if self.running:
            self._attach(memory)

    def stop(self) -> int:
        """End, as GET_VRING_BASE asks for; returns the index of the next buffer."""
        next_index = self._avail if self.running else (self.base or 0)
        self.running = False
        self._maps.clear()
        self._memory = None
        return next_index

    def pop(self) -> Chain | None:
        """The next chain that the driver offers; None where there is none.

        :raises RingFault: see the class.
        """
        assert self.num is not None
        index = self._u16("avail", 2)
        pending = (index - self._avail) % 65536
        if not pending:
            return None
        if pending > self.num:
            raise RingFault(f"the available index {index} is {pending} ahead of ours in a ring of {self.num}")
        head = self._u16("avail", RING_HEAD + 2 * (self._avail % self.num))
        chain = Chain(head, tuple(self._walk(head)))
        self._avail = (self._avail + 1) % 65536
        return chain

    def push(self, head: int, written: int) -> None:
        """Give a chain back.

        :param written: bytes that were written into it.
        """
        assert self.num is not None
        place = RING_HEAD + 8 * (self._used % self.num)
        self._store("used", place, USED_ELEMENT.pack(head, written))
        self._used = (self._used + 1) % 65536
        self._store("used", 2, U16.pack(self._used))

    def notify(self) -> None:
        """Interrupt the driver, unless it asked not to be."""
        if self.call is not None and not self._u16("avail", 0) & NO_INTERRUPT:
            signal(self.call)

    def close(self) -> None:
        """Let go of all. Never fails."""
        self.stop()
        close_all([fd for fd in (self.kick, self.call, self.error) if fd is not None])
        self.kick = self.call = self.error = None

    def _attach(self, memory: GuestMemory) -> None:
        assert self.num is not None
        assert self.addresses is not None
        desc, avail, used = sizes(self.num)
        try:
            self._maps = {
                "desc": memory.user(self.addresses.desc, desc),
                "avail": memory.user(self.addresses.avail, avail),
                "used": memory.user(self.addresses.used, used),
            }
        except Unmapped as error:
            raise RingFault(f"not in the memory table: {error}") from error
        self._memory = memory

    def _walk(self, head: int) -> list[Segment]:
        assert self.num is not None
        table, size, index = self._table("desc", self.num), self.num, head
        segments: list[Segment] = []
        while True:
            if index >= size or len(segments) > size:
                raise RingFault(f"descriptor {index} of a table of {size}, after {len(segments)} others")
            address, length, flags, following = DESCRIPTOR.unpack_from(table, 16 * index)
            if flags & INDIRECT:
                if segments or flags & NEXT or length % 16 or not length:
                    raise RingFault(f"an indirect table of {length} bytes with flags {flags:#x}")
                table, size, index = self._read(address, length), length // 16, 0
                continue
            self._read(address, 0)
            segments.append(Segment(address, length, bool(flags & WRITE)))
            if not flags & NEXT:
                return segments
            index = following

    def _table(self, name: str, num: int) -> bytes:
        memory, place = self._maps[name]
        return memory[place : place + 16 * num]

    def _read(self, address: int, size: int) -> bytes:
        assert self._memory is not None
        try:
            return self._memory.read(address, size)
        except Unmapped as error:
            raise RingFault(f"a descriptor outside of the memory table: {error}") from error

    def _u16(self, name: str, offset: int) -> int:
        memory, place = self._maps[name]
        value: int = U16.unpack_from(memory, place + offset)[0]
        return value

    def _store(self, name: str, offset: int, data: bytes) -> None:
        memory, place = self._maps[name]
        memory[place + offset : place + offset + len(data)] = data
        if self.addresses is not None and self.addresses.log is not None and self._memory is not None:
            self._memory.mark(self.addresses.log + offset, len(data))


def signal(fd: int) -> None:
    """Ring an eventfd. Never fails: one whose other end is gone is of no interest."""
    with contextlib.suppress(OSError):
        os.eventfd_write(fd, 1)
