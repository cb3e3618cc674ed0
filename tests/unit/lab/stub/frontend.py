"""A small front-end: just enough of QEMU's part to talk to a stub over a real socket, and the stub as a process."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from reconnect.lab.stub import events
from reconnect.lab.stub.protocol import (
    FEATURES,
    HEADER,
    MEMORY_HEADER,
    MEMORY_REGION,
    NEED_REPLY,
    PROTOCOL_FEATURES,
    REPLY,
    U64,
    VERSION,
    VRING_ADDRESS,
    VRING_STATE,
    Request,
)
from reconnect.project.workspace import ROOT

SECONDS = 20.0
MEMORY = 1 << 20
GUEST, USER = 0x10_0000, 0x7F00_0000_0000
NUM = 16
DESC, AVAIL, USED, BUFFERS = 0x0000, 0x1000, 0x2000, 0x4000
RING_BYTES = 0x10_000
"""Each ring has its tables and buffers in a piece of its own of the guest's memory."""


class Stub:
    """The stub as a process; its events as they come."""

    def __init__(self, path: Path, *words: str) -> None:
        self.path = path
        self.events: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "reconnect.lab.stub", "--socket", str(path), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for raw in self.process.stdout:
            event = events.parse(raw.decode())
            assert event is not None
            with self._news:
                self.events.append(event)
                self._news.notify_all()

    def of(self, name: str, /, **facts: object) -> list[dict[str, Any]]:
        """The events of a kind so far, with these facts."""
        return [e for e in self.events if e["event"] == name and all(e.get(k) == v for k, v in facts.items())]

    def until(self, name: str, count: int = 1, /, **facts: object) -> dict[str, Any]:
        """Wait for an event; returns the last that was wanted."""
        with self._news:
            found = self._news.wait_for(lambda: len(self.of(name, **facts)) >= count, SECONDS)
        assert found, f"no {name} {facts} among {self.events}"
        return self.of(name, **facts)[count - 1]

    def until_violation(self, what: str) -> None:
        """Wait until the front-end is said to have done this wrong: an answer may come before the log's line."""
        with self._news:
            found = self._news.wait_for(lambda: any(what in said for said in self.violations), SECONDS)
        assert found, f"no {what!r} among {self.violations}"

    @property
    def violations(self) -> list[str]:
        """What the front-end did wrong."""
        return [event["what"] for event in self.of("violation")]

    def close(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(SECONDS)


class FrontEnd:
    """One connection to a stub."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        connection.settimeout(SECONDS)
        self.memory = os.memfd_create("guest")
        os.truncate(self.memory, MEMORY)
        self.kicks: dict[int, int] = {}
        self.calls: dict[int, int] = {}

    @classmethod
    def connect(cls, path: Path) -> FrontEnd:
        """Connect to a stub that listens."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(str(path))
        return cls(connection)

    def close(self) -> None:
        """Hang up, and let go of all."""
        self.connection.close()
        for fd in (self.memory, *self.kicks.values(), *self.calls.values()):
            os.close(fd)

    def send(self, request: int, payload: bytes = b"", fds: Sequence[int] = (), flags: int = VERSION) -> None:
        """Send one message."""
        socket.send_fds(self.connection, [HEADER.pack(request, flags, len(payload)) + payload], list(fds))

    def receive(self) -> tuple[int, bytes]:
        """The next answer: its request and its payload."""
        request, flags, size = HEADER.unpack(self._exactly(HEADER.size))
        assert flags == VERSION | REPLY
        return request, self._exactly(size)

    def ask(self, request: int, payload: bytes = b"") -> int:
        """Send a message that is answered; returns the u64."""
        self.send(request, payload)
        answered, reply = self.receive()
        assert answered == request
        value: int = U64.unpack(reply)[0]
        return value

    def tell(self, request: int, payload: bytes = b"", fds: Sequence[int] = ()) -> int:
        """Send a message and ask for an acknowledgement; returns it."""
        self.send(request, payload, fds, VERSION | NEED_REPLY)
        answered, reply = self.receive()
        assert answered == request
        value: int = U64.unpack(reply)[0]
        return value

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.connection.recv(size - len(data))
            if not part:
                raise EOFError(f"{len(data)} of {size} bytes")
            data += part
        return data

    def greet(self) -> None:
        """Everything up to the ownership."""
        assert self.ask(Request.GET_FEATURES) == FEATURES
        assert self.ask(Request.GET_PROTOCOL_FEATURES) == PROTOCOL_FEATURES
        self.send(Request.SET_PROTOCOL_FEATURES, U64.pack(PROTOCOL_FEATURES))
        self.ask(Request.GET_QUEUE_NUM)
        self.send(Request.SET_OWNER)

    def start(self, rings: int = 2, base: int = 0, features: int = FEATURES) -> None:
        """The rest, until all rings run."""
        self.send(Request.SET_FEATURES, U64.pack(features))
        assert self.tell(Request.SET_MEM_TABLE, table(), [self.memory]) == 0
        for ring in range(rings):
            self.set_ring(ring, base)
            self.send(Request.SET_VRING_ENABLE, VRING_STATE.pack(ring, 1))

    def set_ring(self, ring: int, base: int) -> None:
        """One ring, from its size to its call descriptor."""
        self.kicks[ring] = os.eventfd(0)
        self.calls[ring] = os.eventfd(0)
        self.send(Request.SET_VRING_NUM, VRING_STATE.pack(ring, NUM))
        self.send(Request.SET_VRING_BASE, VRING_STATE.pack(ring, base))
        self.send(Request.SET_VRING_ADDR, address(ring))
        self.send(Request.SET_VRING_CALL, U64.pack(ring), [self.calls[ring]])
        self.send(Request.SET_VRING_KICK, U64.pack(ring), [self.kicks[ring]])

    def write(self, ring: int, place: int, data: bytes) -> None:
        """Write into a ring's piece of the guest's memory."""
        os.pwrite(self.memory, data, ring * RING_BYTES + place)

    def read(self, ring: int, place: int, size: int) -> bytes:
        """Read from it."""
        return os.pread(self.memory, size, ring * RING_BYTES + place)

    def offer(self, ring: int, index: int, data: bytes, writable: bool = False) -> None:
        """Make one buffer available, as the driver does; ``index`` is the available index before it."""
        slot = index % NUM
        place = BUFFERS + slot * 0x400
        self.write(ring, place, data)
        guest = GUEST + ring * RING_BYTES + place
        self.write(ring, DESC + 16 * slot, struct.pack("<QIHH", guest, len(data), 2 if writable else 0, 0))
        self.write(ring, AVAIL + 4 + 2 * slot, struct.pack("<H", slot))
        self.write(ring, AVAIL + 2, struct.pack("<H", (index + 1) % 65536))

    def used_index(self, ring: int) -> int:
        """How many buffers came back."""
        value: int = struct.unpack("<H", self.read(ring, USED + 2, 2))[0]
        return value

    def kick(self, ring: int) -> None:
        """Tell of new buffers."""
        os.eventfd_write(self.kicks[ring], 1)


def table(offset: int = 0, count: int = 1) -> bytes:
    """A memory table of regions of the whole memory."""
    regions = b"".join(MEMORY_REGION.pack(GUEST + i * MEMORY, MEMORY, USER + i * MEMORY, offset) for i in range(count))
    return MEMORY_HEADER.pack(count, 0) + regions


def address(ring: int, shift: int = 0, flags: int = 0) -> bytes:
    """The addresses of a ring."""
    start = USER + ring * RING_BYTES + shift
    return VRING_ADDRESS.pack(ring, flags, start + DESC, start + USED, start + AVAIL, 0)


def until(condition: Callable[[], object], what: str) -> None:
    """Poll: what another process does to shared memory notifies no waiter."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, f"waited for {what}"
        time.sleep(0.005)
