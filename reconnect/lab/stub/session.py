"""One connection: messages in, answers out, frames echoed while its rings run."""

from __future__ import annotations

import os
import signal
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from reconnect.lab.stub import wire
from reconnect.lab.stub.checks import violations
from reconnect.lab.stub.events import EventLog
from reconnect.lab.stub.frames import answer
from reconnect.lab.stub.guest_memory import DirtyLog, GuestMemory, regions_of
from reconnect.lab.stub.protocol import (
    ANSWERED,
    FEATURES,
    LOG,
    NEED_REPLY,
    PROTOCOL_FEATURES,
    U64,
    VRING_ADDRESS,
    VRING_INDEX,
    VRING_LOGGED,
    VRING_NO_FD,
    VRING_STATE,
    Feature,
    ProtocolFeature,
    Request,
    has,
    name_of,
)
from reconnect.lab.stub.ring import Addresses, Ring, RingFault
from reconnect.lab.stub.ring import signal as send_call
from reconnect.lab.stub.script import CLOSING, CONNECT, Rule, Script
from reconnect.lab.stub.state import LONG_HEADER, State
from reconnect.lab.stub.wire import Message, PeerClosed, ProtocolError

KEEPS_FDS = (
    Request.SET_MEM_TABLE,
    Request.SET_LOG_BASE,
    Request.SET_VRING_KICK,
    Request.SET_VRING_CALL,
    Request.SET_VRING_ERR,
)
"""Whoever obeys these messages sees to their descriptors; those of all others are closed."""


class Loop(Protocol):
    """What a session needs of the loop that runs it."""

    def watch(self, fd: int, call: Callable[[], None]) -> None:
        """Call when a descriptor becomes readable, each time."""

    def unwatch(self, fd: int) -> None:
        """No more. A descriptor that isn't watched is left alone."""


@dataclass(frozen=True)
class Offer:
    """What the back-end has to offer.

    :param queue_pairs: queue pairs.
    :param repair: a ring's base that is not the used ring's index is replaced by that, as DPDK does.
    """

    features: int = FEATURES
    protocol_features: int = PROTOCOL_FEATURES
    queue_pairs: int = 1
    repair: bool = False


class MessageRefused(Exception):
    """A message that can't be handled. It is answered with a failure where an answer is asked for."""


class ConnectionClosed(Exception):
    """The connection is to be closed; says by whom."""


class Session:
    """A connection.

    :param number: for the log; from 1 for each process.
    :ivar position: its number since the script was loaded, as rules count.
    :ivar log: once it is closed, the log of written pages that it had; to be closed by whoever takes it.
    """

    def __init__(self, connection: socket.socket, number: int, offer: Offer, log: EventLog, loop: Loop) -> None:
        self.connection = connection
        self.number = number
        self.position = 0
        self.log: DirtyLog | None = None
        self._offer = offer
        self._log = log
        self._loop = loop
        self._state = State(offer.features, offer.protocol_features, offer.queue_pairs)
        self._received: Counter[str] = Counter()
        self._ready = False

    def begin(self, script: Script, position: int) -> None:
        """Take a script: from now on messages count from 1."""
        self.position = position
        self._received.clear()
        rule = script.rule(position, CONNECT, 1) if position else None
        if rule:
            self._fire(rule)
            self._cut(rule, script)

    def readable(self, script: Script) -> None:
        """Take one message.

        :raises ConnectionClosed: the connection ends.
        """
        try:
            request = wire.peek(self.connection)
            if request is None:
                return
            name = name_of(request)
            rule = script.rule(self.position, name, self._received[name] + 1)
            if rule and rule.action == "before-read":
                self._fire(rule)
                self._cut(rule, script)
            message = wire.read(self.connection, take_fds=not (rule and rule.action == "drop-fds"))
            self._received[message.name] += 1
            self._on_message(message)
            self._take(message, rule, script)
        except PeerClosed as error:
            raise ConnectionClosed("front-end") from error
        except ProtocolError as error:
            self._log_event("violation", what=str(error))
            raise ConnectionClosed("garbled") from error

    def close(self, by: str) -> None:
        """End the connection."""
        self._loop.unwatch(self.connection.fileno())
        for ring in self._state.rings:
            self._stop(ring)
        if self._state.memory is not None:
            # The front-end may still want to look into it.
            self.log, self._state.memory.log = self._state.memory.log, None
        self._state.close()
        self.connection.close()
        self._log_event("closed", by=by)

    def _take(self, message: Message, rule: Rule | None, script: Script) -> None:
        if rule:
            self._fire(rule)
            if rule.action in ("after-read", "stall"):
                wire.close_all(message.fds)
                self._cut(rule, script)
                return
        raw = self._serve(message, rule)
        if rule and rule.action in ("half-reply", "truncate"):
            wire.send(self.connection, raw[: len(raw) // 2])
            self._cut(rule, script)
            return
        if rule and rule.action == "delay":
            time.sleep((rule.value or 0) / 1000)
        if raw and rule and rule.action == "drip":
            wire.drip(self.connection, raw)
        elif raw:
            wire.send(self.connection, raw)

    def _cut(self, rule: Rule, script: Script) -> None:
        """The end of what a rule lets happen on this connection."""
        if rule.action in CLOSING:
            if script.die:
                os.kill(os.getpid(), signal.SIGKILL)
            raise ConnectionClosed("script")
        # A stall: deaf from here on, but the connection and its rings stay.
        self._loop.unwatch(self.connection.fileno())

    def _serve(self, message: Message, rule: Rule | None) -> bytes:
        """Obey a message and make the answer; empty where there is none."""
        broken = violations(message, self._state) if not (rule and rule.action == "drop-fds") else []
        for what in broken:
            self._log_event("violation", what=f"{message.name}: {what}")
        nack = bool(rule and rule.action == "nack")
        payload, code = b"", 0
        try:
            if nack:
                raise MessageRefused("told so by the script")
            payload = self._handle(message)
        except (MessageRefused, RingFault, OSError, ValueError, IndexError, struct.error) as error:
            code = 1
            if not (rule and rule.action in ("nack", "drop-fds")):
                self._log_event("violation", what=f"{message.name} can't be handled: {error}")
            wire.close_all(message.fds)
            payload = bytes(ANSWERED.get(message.request, 0))
        self._state.asked.add(message.request)
        if not payload and message.flags & NEED_REPLY and self._state.negotiated(ProtocolFeature.REPLY_ACK):
            payload = U64.pack(code)
        return self._answer(message.request, payload, rule) if payload else b""

    def _answer(self, request: int, payload: bytes, rule: Rule | None) -> bytes:
        action = rule.action if rule else ""
        if rule and rule.action == "answer":
            index = payload[:4] if request == Request.GET_VRING_BASE else b""
            payload = index + (rule.value or 0).to_bytes(8, "little")[: 8 - len(index)]
        if action == "wrong-size":
            payload = payload[:-4]
        raw = bytearray(wire.reply(request + (action == "wrong-request"), payload))
        if action == "wrong-flags":
            raw[4] &= ~0x4
        self._log_event("reply", name=name_of(request), value=_number(payload))
        return bytes(raw)

    def _handle(self, message: Message) -> bytes:
        """Carry out a message; returns the payload of its answer, empty where it has none of its own.

        :raises MessageRefused: it can't be.
        """
        if message.request not in KEEPS_FDS:
            wire.close_all(message.fds)
        handle = _HANDLERS.get(message.request)
        if handle is None:
            raise MessageRefused("it is unknown")
        return handle(self, message) or b""

    def _get_features(self, _: Message) -> bytes:
        return U64.pack(self._state.offered)

    def _set_features(self, message: Message) -> None:
        self._state.acked = U64.unpack(message.payload)[0]
        if not self._state.protocol_negotiated:
            for ring in self._state.rings:
                ring.enabled = True

    def _get_protocol_features(self, _: Message) -> bytes:
        return U64.pack(self._state.protocol_offered)

    def _set_protocol_features(self, message: Message) -> None:
        self._state.protocol = U64.unpack(message.payload)[0]

    def _get_queue_num(self, _: Message) -> bytes:
        return U64.pack(self._offer.queue_pairs)

    def _set_owner(self, _: Message) -> None:
        self._state.owned = True

    def _reset_owner(self, _: Message) -> None:
        for ring in self._state.rings:
            self._stop(ring)
            ring.enabled = False

    def _set_mem_table(self, message: Message) -> None:
        state = self._state
        new = GuestMemory(regions_of(message.payload), message.fds)
        wire.close_all(message.fds)
        old, state.memory = state.memory, new
        for ring in state.rings:
            ring.remap(new)
        if old is not None:
            new.log, old.log = old.log, None
            old.close()

    def _set_log_base(self, message: Message) -> bytes:
        size, offset = LOG.unpack(message.payload)
        if self._state.memory is None or len(message.fds) != 1:
            raise MessageRefused("there is no memory table, or no log")
        log = DirtyLog(message.fds[0], size, offset)
        wire.close_all(message.fds)
        if self._state.memory.log is not None:
            self._state.memory.log.close()
        self._state.memory.log = log
        # This one is answered whether or not an answer is asked for (spec, "Communication").
        return U64.pack(0) if self._state.negotiated(ProtocolFeature.LOG_SHMFD) else b""

    def _nothing(self, message: Message) -> None:
        """Heard, and of no consequence here."""

    def _set_vring_num(self, message: Message) -> None:
        ring, num = self._ring_and_value(message)
        ring.num = num

    def _set_vring_addr(self, message: Message) -> None:
        index, flags, desc, used, avail, log = VRING_ADDRESS.unpack(message.payload)
        ring = self._state.rings[index]
        ring.addresses = Addresses(desc, used, avail, log if flags & VRING_LOGGED else None)
        # While a migration begins and ends the address is set again on a running ring.
        if self._state.memory is not None:
            ring.remap(self._state.memory)

    def _set_vring_base(self, message: Message) -> None:
        ring, base = self._ring_and_value(message)
        ring.base = base

    def _get_vring_base(self, message: Message) -> bytes:
        index, _ = VRING_STATE.unpack(message.payload)
        ring = self._state.rings[index]
        base = self._stop(ring)
        self._log_event("stopped", ring=index, base=base, frames=ring.frames, kicks=ring.kicks)
        return VRING_STATE.pack(index, base)

    def _set_vring_kick(self, message: Message) -> None:
        ring, fd = self._ring_and_fd(message)
        self._stop(ring)
        if self._state.memory is None:
            raise MessageRefused("there is no memory table")
        # The ring owns the descriptor only when it runs: one that is refused is closed with its message.
        facts = ring.start(self._state.memory, self._offer.repair)
        ring.kick = fd
        self._log_event("ring", ring=ring.index, **facts)
        if facts["base"] != facts["used"]:
            # Not a rule of the specification's words, but what they come to: after a crash the used ring's index is
            # all that is left of the place in a ring.
            self._log_event(
                "violation", what=f"ring {ring.index} starts at {facts['base']}, its used ring at {facts['used']}"
            )
        if fd is not None:
            self._loop.watch(fd, lambda: self._kicked(ring))
        self._changed(ring)

    def _set_vring_call(self, message: Message) -> None:
        ring, fd = self._ring_and_fd(message)
        wire.close_all([] if ring.call is None else [ring.call])
        ring.call = fd
        if fd is not None and ring.ready:
            # The driver may have missed one that went to the old descriptor.
            send_call(fd)

    def _set_vring_err(self, message: Message) -> None:
        ring, fd = self._ring_and_fd(message)
        wire.close_all([] if ring.error is None else [ring.error])
        ring.error = fd

    def _set_vring_enable(self, message: Message) -> None:
        ring, enabled = self._ring_and_value(message)
        ring.enabled = bool(enabled)
        self._changed(ring)

    def _ring_and_value(self, message: Message) -> tuple[Ring, int]:
        index, value = VRING_STATE.unpack(message.payload)
        return self._state.rings[index], value

    def _ring_and_fd(self, message: Message) -> tuple[Ring, int | None]:
        word = U64.unpack(message.payload)[0]
        ring = self._state.rings[word & VRING_INDEX]
        kept = () if word & VRING_NO_FD else message.fds[:1]
        # More than one, or one beside the flag that there is none, is a violation: nobody would close it.
        wire.close_all(message.fds[len(kept) :])
        return ring, kept[0] if kept else None

    def _changed(self, ring: Ring) -> None:
        """A ring was started, stopped, enabled or disabled."""
        ready = self._state.rings[0].ready and self._state.rings[1].ready
        if ready and not self._ready:
            self._log_event("ready")
        self._ready = ready
        if ring.ready:
            self._forward(ring.index // 2)

    def _stop(self, ring: Ring) -> int:
        if ring.kick is not None:
            self._loop.unwatch(ring.kick)
            wire.close_all([ring.kick])
            ring.kick = None
        base = ring.stop()
        ring.base = base if ring.base is not None else None
        self._ready = self._ready and ring.index > 1
        return base

    def _kicked(self, ring: Ring) -> None:
        if ring.kick is None:
            return
        try:
            os.eventfd_read(ring.kick)
        except OSError:
            return
        ring.kicks += 1
        self._forward(ring.index // 2)

    def _forward(self, pair: int) -> None:
        """Answer all frames that the guest has sent on a queue pair."""
        receive, transmit = self._state.rings[2 * pair : 2 * pair + 2]
        if not transmit.ready or self._state.memory is None:
            return
        ring = transmit
        try:
            answered = 0
            while (chain := transmit.pop()) is not None:
                memory = self._state.memory
                data = b"".join(memory.read(s.address, s.size) for s in chain.segments if not s.writable)
                transmit.push(chain.head, 0)
                transmit.frames += 1
                frame = answer(data[self._state.header_size :])
                if frame is not None and receive.ready:
                    ring = receive
                    answered += self._deliver(receive, frame)
                    ring = transmit
            transmit.notify()
            if answered:
                receive.notify()
        except RingFault as error:
            ring.broken = True
            self._log_event("fault", ring=ring.index, what=str(error))
            if ring.error is not None:
                send_call(ring.error)

    def _deliver(self, ring: Ring, frame: bytes) -> bool:
        """Put one frame into the guest's buffers; False where there is no room."""
        memory = self._state.memory
        chain = ring.pop()
        if chain is None or memory is None:
            return False
        header = bytearray(self._state.header_size)
        if self._state.header_size == LONG_HEADER:
            header[10] = 1  # num_buffers
        rest = bytes(header) + frame
        if sum(s.size for s in chain.segments if s.writable) < len(rest):
            raise RingFault(f"a receive buffer too small for {len(rest)} bytes")
        written = len(rest)
        for segment in chain.segments:
            if segment.writable and rest:
                memory.write(segment.address, rest[: segment.size])
                rest = rest[segment.size :]
        ring.push(chain.head, written)
        ring.frames += 1
        return True

    def _fire(self, rule: Rule) -> None:
        self._log_event("triggered", rule=str(rule))

    def _on_message(self, message: Message) -> None:
        self._log_event(
            "message",
            name=message.name,
            n=self._received[message.name],
            flags=message.flags,
            fds=len(message.fds),
            value=_number(message.payload),
        )

    def _log_event(self, event: str, **facts: Any) -> None:
        self._log.log(event, connection=self.number, **facts)


_HANDLERS: dict[int, Callable[[Session, Message], bytes | None]] = {
    Request.GET_FEATURES: Session._get_features,
    Request.SET_FEATURES: Session._set_features,
    Request.GET_PROTOCOL_FEATURES: Session._get_protocol_features,
    Request.SET_PROTOCOL_FEATURES: Session._set_protocol_features,
    Request.GET_QUEUE_NUM: Session._get_queue_num,
    Request.SET_OWNER: Session._set_owner,
    Request.RESET_OWNER: Session._reset_owner,
    Request.SET_MEM_TABLE: Session._set_mem_table,
    Request.SET_LOG_BASE: Session._set_log_base,
    Request.SET_LOG_FD: Session._nothing,
    Request.SET_VRING_NUM: Session._set_vring_num,
    Request.SET_VRING_ADDR: Session._set_vring_addr,
    Request.SET_VRING_BASE: Session._set_vring_base,
    Request.GET_VRING_BASE: Session._get_vring_base,
    Request.SET_VRING_KICK: Session._set_vring_kick,
    Request.SET_VRING_CALL: Session._set_vring_call,
    Request.SET_VRING_ERR: Session._set_vring_err,
    Request.SET_VRING_ENABLE: Session._set_vring_enable,
    Request.SEND_RARP: Session._nothing,
    Request.NET_SET_MTU: Session._nothing,
}


def _number(payload: bytes) -> list[int] | int | None:
    """A payload for the log: a number, a list of words of eight bytes, or None where it is long."""
    if len(payload) == U64.size:
        value: int = U64.unpack(payload)[0]
        return value
    if not payload or len(payload) % U64.size or len(payload) > VRING_ADDRESS.size:
        return None
    return [U64.unpack_from(payload, place)[0] for place in range(0, len(payload), U64.size)]


def offered_pairs_fit(offer: Offer) -> bool:
    """Whether the features fit the number of pairs: more than one needs both kinds of multiqueue."""
    multiqueue = has(offer.features, Feature.NET_MQ) and has(offer.protocol_features, ProtocolFeature.MQ)
    return offer.queue_pairs >= 1 and (offer.queue_pairs == 1 or multiqueue)
