"""Messages on the socket: twelve bytes of header, a payload, descriptors beside them (spec, "Communication").

Nothing here judges; what is malformed beyond reading raises :class:`ProtocolError`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import sys
import termios
import time
from collections.abc import Sequence
from dataclasses import dataclass

from reconnect.lab.stub.protocol import HEADER, MAX_PAYLOAD, REPLY, VERSION, name_of

MAX_DESCRIPTORS = 32
BODY_SECONDS = 5.0
"""A front-end writes a message at once: a payload that stays out so long never comes."""


class ProtocolError(Exception):
    """What came is no message."""


class PeerClosed(Exception):
    """The front-end has closed the connection."""


@dataclass(frozen=True)
class Message:
    """One message of the front-end.

    :param fds: the descriptors that came with it; whoever takes the message owns them.
    """

    request: int
    flags: int
    payload: bytes
    fds: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """The request's name, as the specification has it."""
        return name_of(self.request)


def peek(connection: socket.socket) -> int | None:
    """The request of the next message, which stays unread; 0 where its header isn't there whole, None for nothing.

    Plain recv(2) never takes descriptors off the queue with MSG_PEEK (unix(7)).

    :raises PeerClosed: there is no next message.
    """
    try:
        raw = connection.recv(HEADER.size, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None
    except ConnectionError as error:
        raise PeerClosed from error
    if not raw:
        raise PeerClosed
    if len(raw) < HEADER.size:
        return 0
    request: int = HEADER.unpack(raw)[0]
    return request


def read(connection: socket.socket, take_fds: bool = True) -> Message:
    """Read one message.

    :param take_fds: False loses its descriptors, as a receiver does that gives no room for them.
    :raises PeerClosed: the connection ended between messages.
    :raises ProtocolError: it ended within one, or what came is none.
    """
    connection.settimeout(BODY_SECONDS)
    try:
        room = MAX_DESCRIPTORS if take_fds else 0
        head, fds, flags, _ = socket.recv_fds(connection, HEADER.size, room)
        if not head:
            raise PeerClosed
        try:
            head += _exactly(connection, HEADER.size - len(head))
            request, message_flags, size = HEADER.unpack(head)
            if size > MAX_PAYLOAD:
                raise ProtocolError(f"a payload of {size} bytes in message {name_of(request)}")
            if take_fds and flags & socket.MSG_CTRUNC:
                raise ProtocolError(f"more than {room} descriptors with message {name_of(request)}")
            return Message(request, message_flags, _exactly(connection, size), tuple(fds))
        except BaseException:
            # Whatever cuts a message short: nobody gets it, so nobody would close what came with it.
            close_all(fds)
            raise
    except TimeoutError as error:
        raise ProtocolError(f"the rest of a message did not come within {BODY_SECONDS:.0f} s") from error
    except ConnectionError as error:
        raise PeerClosed from error
    finally:
        connection.settimeout(None)


def reply(request: int, payload: bytes) -> bytes:
    """The answer to a request."""
    return HEADER.pack(request, VERSION | REPLY, len(payload)) + payload


def send(connection: socket.socket, raw: bytes) -> None:
    """Send bytes.

    :raises PeerClosed: nobody is there to read them.
    """
    try:
        connection.sendall(raw)
    except OSError as error:
        raise PeerClosed from error


def drip(connection: socket.socket, raw: bytes) -> None:
    """Send bytes one by one, so that each read of the front-end's brings one.

    One that is not taken within :data:`BODY_SECONDS` is followed by the others all the same.

    :raises PeerClosed: nobody is there to read them.
    """
    for place in range(len(raw)):
        send(connection, raw[place : place + 1])
        end = time.monotonic() + BODY_SECONDS
        # Nothing tells a sender that its bytes were taken: unix(7) has only a figure to look at, SIOCOUTQ.
        while time.monotonic() < end and _untaken(connection):
            time.sleep(0.0005)


def close_all(fds: Sequence[int]) -> None:
    """Close descriptors. Never fails."""
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)


def _untaken(connection: socket.socket) -> int:
    """What was sent and not read, with the kernel's overhead; 0 for nothing (SIOCOUTQ, which has TIOCOUTQ's number)."""
    answer = fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4))
    return int.from_bytes(answer, sys.byteorder)


def _exactly(connection: socket.socket, size: int) -> bytes:
    parts = b""
    while len(parts) < size:
        part = connection.recv(size - len(parts))
        if not part:
            raise ProtocolError(f"the connection ended {size - len(parts)} bytes before the end of a message")
        parts += part
    return parts
