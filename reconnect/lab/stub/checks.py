"""What a front-end must handle, each rule with its section of the specification. Nothing here changes anything.

A check gets the message and what was agreed on before it, and yields a sentence for each rule that is broken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

from reconnect.lab.stub.guest_memory import Region, Unmapped, regions_of
from reconnect.lab.stub.protocol import (
    LOG,
    MAX_REGIONS,
    MEMORY_HEADER,
    MEMORY_REGION,
    NEED_REPLY,
    REPLY,
    U64,
    VERSION,
    VERSION_MASK,
    VRING_ADDRESS,
    VRING_INDEX,
    VRING_LOGGED,
    VRING_NO_FD,
    VRING_STATE,
    Feature,
    ProtocolFeature,
    Request,
    has,
)
from reconnect.lab.stub.ring import MAX_INDEX, MAX_SIZE, sizes
from reconnect.lab.stub.state import State
from reconnect.lab.stub.wire import Message

Check = Callable[[Message, State], Iterator[str]]

MTUS = range(68, 65536)

SIZES = {
    Request.GET_FEATURES: 0,
    Request.SET_FEATURES: U64.size,
    Request.SET_OWNER: 0,
    Request.RESET_OWNER: 0,
    Request.SET_LOG_BASE: LOG.size,
    Request.SET_LOG_FD: 0,
    Request.SET_VRING_NUM: VRING_STATE.size,
    Request.SET_VRING_ADDR: VRING_ADDRESS.size,
    Request.SET_VRING_BASE: VRING_STATE.size,
    Request.GET_VRING_BASE: VRING_STATE.size,
    Request.SET_VRING_KICK: U64.size,
    Request.SET_VRING_CALL: U64.size,
    Request.SET_VRING_ERR: U64.size,
    Request.GET_PROTOCOL_FEATURES: 0,
    Request.SET_PROTOCOL_FEATURES: U64.size,
    Request.GET_QUEUE_NUM: 0,
    Request.SET_VRING_ENABLE: VRING_STATE.size,
    Request.SEND_RARP: U64.size,
    Request.NET_SET_MTU: U64.size,
}
"""Bytes of the payload; SET_MEM_TABLE's depends on itself."""

VRING_FDS = (Request.SET_VRING_KICK, Request.SET_VRING_CALL, Request.SET_VRING_ERR)
VRING_STATES = (Request.SET_VRING_NUM, Request.SET_VRING_BASE, Request.GET_VRING_BASE, Request.SET_VRING_ENABLE)
PROTOCOL_MESSAGES = (Request.GET_PROTOCOL_FEATURES, Request.SET_PROTOCOL_FEATURES)
WHILE_STOPPED = (Request.SET_VRING_NUM, Request.SET_VRING_BASE)
NEEDS = {
    Request.GET_QUEUE_NUM: ProtocolFeature.MQ,
    Request.SEND_RARP: ProtocolFeature.RARP,
    Request.NET_SET_MTU: ProtocolFeature.NET_MTU,
}


def violations(message: Message, state: State) -> list[str]:
    """All rules that a message breaks. One that can't even be decoded is not looked at any further."""
    broken = list(_header(message, state))
    size = list(_size(message))
    if size:
        return broken + size
    checks: list[Check] = [_order, _descriptors, *_SPECIAL.get(message.request, ())]
    return broken + [what for check in checks for what in check(message, state)]


def _header(message: Message, state: State) -> Iterator[str]:
    """Spec, "Header"."""
    flags = message.flags
    if flags & VERSION_MASK != VERSION:
        yield f"version {flags & VERSION_MASK} in the flags instead of {VERSION}"
    if flags & REPLY:
        yield "a request with the reply flag"
    if flags & NEED_REPLY and not state.negotiated(ProtocolFeature.REPLY_ACK):
        yield "need_reply without REPLY_ACK"
    if unknown := flags & ~(VERSION_MASK | REPLY | NEED_REPLY):
        yield f"unknown flags {unknown:#x}"
    if message.request not in set(Request):
        yield f"unknown message {message.request}"


def _size(message: Message) -> Iterator[str]:
    """Spec, the payload of each message."""
    size = len(message.payload)
    if message.request == Request.SET_MEM_TABLE:
        if size < MEMORY_HEADER.size:
            yield f"a payload of {size} bytes"
            return
        count, padding = MEMORY_HEADER.unpack_from(message.payload)
        expected = MEMORY_HEADER.size + count * MEMORY_REGION.size
        if size != expected:
            yield f"a payload of {size} bytes for {count} regions instead of {expected}"
        if padding:
            yield "padding that is not zero"
    elif message.request in SIZES and size != SIZES[Request(message.request)]:
        yield f"a payload of {size} bytes instead of {SIZES[Request(message.request)]}"


def _order(message: Message, state: State) -> Iterator[str]:
    """Spec, "Front-end message types": which message may come when."""
    request = message.request
    if request == Request.SET_OWNER and state.owned:
        yield "a second SET_OWNER"
    if request == Request.RESET_OWNER:
        yield "RESET_OWNER, which is no longer used"
    if request in (Request.SET_MEM_TABLE, *VRING_FDS, *VRING_STATES, Request.SET_VRING_ADDR) and not state.owned:
        yield "before SET_OWNER"
    if request in PROTOCOL_MESSAGES and not (
        Request.GET_FEATURES in state.asked and has(state.offered, Feature.PROTOCOL_FEATURES)
    ):
        yield "though PROTOCOL_FEATURES was not offered"
    if request == Request.SET_FEATURES and Request.GET_FEATURES not in state.asked:
        yield "before GET_FEATURES"
    if request == Request.SET_VRING_ENABLE and not state.protocol_negotiated:
        yield "without PROTOCOL_FEATURES"
    needed = NEEDS.get(Request(request)) if request in set(Request) else None
    if needed is not None and not state.negotiated(needed):
        yield f"without the protocol feature {needed.name}"


def _descriptors(message: Message, state: State) -> Iterator[str]:
    """Spec, "Communication": which messages have descriptors, and how many."""
    request, expected = message.request, 0
    if request == Request.SET_MEM_TABLE:
        expected = MEMORY_HEADER.unpack_from(message.payload)[0]
    elif request in VRING_FDS:
        expected = 0 if U64.unpack(message.payload)[0] & VRING_NO_FD else 1
    elif request == Request.SET_LOG_FD or (
        request == Request.SET_LOG_BASE and state.negotiated(ProtocolFeature.LOG_SHMFD)
    ):
        expected = 1
    if len(message.fds) != expected:
        yield f"{len(message.fds)} descriptors instead of {expected}"


def _features(message: Message, state: State) -> Iterator[str]:
    """Spec, "VHOST_USER_SET_FEATURES": none that was not offered."""
    extra = U64.unpack(message.payload)[0] & ~state.offered
    if extra:
        yield f"features that were not offered: {extra:#x}"


def _protocol_features(message: Message, state: State) -> Iterator[str]:
    """Spec, "VHOST_USER_SET_PROTOCOL_FEATURES": none that was not offered."""
    extra = U64.unpack(message.payload)[0] & ~state.protocol_offered
    if extra:
        yield f"protocol features that were not offered: {extra:#x}"


def _memory(message: Message, _: State) -> Iterator[str]:
    """Spec, "Memory regions description"."""
    regions = regions_of(message.payload)
    if not 1 <= len(regions) <= MAX_REGIONS:
        yield f"{len(regions)} regions, where 1 to {MAX_REGIONS} are allowed"
    for region in regions:
        if not region.size:
            yield "a region of no size"
        for start in (region.guest, region.user, region.offset):
            if start + region.size > 2**64:
                yield f"a region that ends beyond 64 bits: {region}"
    for kind, starts in (("guest", [r.guest for r in regions]), ("front-end", [r.user for r in regions])):
        if _overlap(list(zip(starts, regions, strict=True))):
            yield f"regions that overlap in the {kind}'s addresses"


def _overlap(placed: list[tuple[int, Region]]) -> bool:
    ends = sorted((start, start + region.size) for start, region in placed)
    return any(end > following for (_, end), (following, _) in pairwise(ends))


def _ring_state(message: Message, state: State) -> Iterator[str]:
    """Spec, "VHOST_USER_SET_VRING_NUM", "_SET_VRING_BASE", "_GET_VRING_BASE", "_SET_VRING_ENABLE"."""
    index, value = VRING_STATE.unpack(message.payload)
    request = message.request
    if index >= len(state.rings):
        yield f"ring {index} of {len(state.rings)}"
        return
    ring = state.rings[index]
    if request in WHILE_STOPPED and ring.running:
        yield f"ring {index} is running"
    if request == Request.SET_VRING_NUM and (not 0 < value <= MAX_SIZE or value & (value - 1)):
        yield f"a split ring of {value} descriptors"
    if request == Request.SET_VRING_BASE and value > MAX_INDEX:
        yield f"an index of {value}"
    if request == Request.GET_VRING_BASE and not ring.running:
        yield f"ring {index} is not running"
    if request == Request.SET_VRING_ENABLE and value not in (0, 1):
        yield f"neither 0 nor 1, but {value}"


def _ring_fd(message: Message, state: State) -> Iterator[str]:
    """Spec, "VHOST_USER_SET_VRING_KICK", "_CALL", "_ERR"; "Ring states"."""
    word = U64.unpack(message.payload)[0]
    index = word & VRING_INDEX
    if unknown := word & ~(VRING_INDEX | VRING_NO_FD):
        yield f"unknown bits {unknown:#x}"
    if index >= len(state.rings):
        yield f"ring {index} of {len(state.rings)}"
        return
    if message.request != Request.SET_VRING_KICK:
        return
    if word & VRING_NO_FD:
        yield f"ring {index} without a kick descriptor: we would have to poll"
    ring = state.rings[index]
    unset = [name for name in ("num", "addresses", "base") if getattr(ring, name) is None]
    if unset:
        yield f"ring {index} is started without its {', '.join(unset)}"
    if state.acked is None:
        yield f"ring {index} is started before SET_FEATURES"


def _ring_address(message: Message, state: State) -> Iterator[str]:
    """Spec, "Vring address description" and "VHOST_USER_SET_VRING_ADDR"; alignment: virtio 1.1, section 2.6."""
    index, flags, desc, used, avail, _ = VRING_ADDRESS.unpack(message.payload)
    if unknown := flags & ~VRING_LOGGED:
        yield f"unknown flags {unknown:#x}"
    if flags & VRING_LOGGED and not has(state.acked or 0, Feature.LOG_ALL):
        yield "a log without LOG_ALL"
    if index >= len(state.rings):
        yield f"ring {index} of {len(state.rings)}"
        return
    for name, address, alignment in (("descriptors", desc, 16), ("available ring", avail, 2), ("used ring", used, 4)):
        if address % alignment:
            yield f"{name} at {address:#x}, which is not aligned to {alignment}"
    num = state.rings[index].num
    if num is None:
        yield "before SET_VRING_NUM"
    elif state.memory is None:
        yield "before SET_MEM_TABLE"
    else:
        for address, size in zip((desc, avail, used), sizes(num), strict=True):
            try:
                state.memory.user(address, size)
            except Unmapped as error:
                yield f"not in the memory table: {error}"


def _mtu(message: Message, _: State) -> Iterator[str]:
    """Spec, "VHOST_USER_NET_SET_MTU"; limits: virtio 1.1, section 5.1.4."""
    mtu = U64.unpack(message.payload)[0]
    if mtu not in MTUS:
        yield f"an MTU of {mtu}"


_SPECIAL: dict[int, tuple[Check, ...]] = {
    Request.SET_FEATURES: (_features,),
    Request.SET_PROTOCOL_FEATURES: (_protocol_features,),
    Request.SET_MEM_TABLE: (_memory,),
    Request.SET_VRING_ADDR: (_ring_address,),
    Request.NET_SET_MTU: (_mtu,),
    **dict.fromkeys(VRING_STATES, (_ring_state,)),
    **dict.fromkeys(VRING_FDS, (_ring_fd,)),
}
