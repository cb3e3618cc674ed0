"""Names and numbers of the vhost-user protocol (spec, "Message Specification" and "Front-end message types")."""

from __future__ import annotations

import struct
from enum import IntEnum

HEADER = struct.Struct("<III")
"""Request, flags, size of the payload. vhost-user is in native order; all machines that we run on are little."""

VERSION = 0x1
VERSION_MASK = 0x3
REPLY = 0x4
NEED_REPLY = 0x8

U64 = struct.Struct("<Q")
VRING_STATE = struct.Struct("<II")
VRING_ADDRESS = struct.Struct("<IIQQQQ")
MEMORY_HEADER = struct.Struct("<II")
MEMORY_REGION = struct.Struct("<QQQQ")
LOG = struct.Struct("<QQ")

MAX_REGIONS = 8
"""Without VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS (spec, "Memory regions description")."""

MAX_PAYLOAD = 4096
"""Far more than any message has. What is larger is garbage."""

VRING_INDEX = 0xFF
VRING_NO_FD = 0x100
"""In the u64 of SET_VRING_KICK, _CALL and _ERR (spec, "VHOST_USER_SET_VRING_KICK")."""

VRING_LOGGED = 0x1
"""The only flag of SET_VRING_ADDR: the used ring's changes are logged."""


class Request(IntEnum):
    """Message types of the front-end."""

    GET_FEATURES = 1
    SET_FEATURES = 2
    SET_OWNER = 3
    RESET_OWNER = 4
    SET_MEM_TABLE = 5
    SET_LOG_BASE = 6
    SET_LOG_FD = 7
    SET_VRING_NUM = 8
    SET_VRING_ADDR = 9
    SET_VRING_BASE = 10
    GET_VRING_BASE = 11
    SET_VRING_KICK = 12
    SET_VRING_CALL = 13
    SET_VRING_ERR = 14
    GET_PROTOCOL_FEATURES = 15
    SET_PROTOCOL_FEATURES = 16
    GET_QUEUE_NUM = 17
    SET_VRING_ENABLE = 18
    SEND_RARP = 19
    NET_SET_MTU = 20


ANSWERED: dict[int, int] = {
    Request.GET_FEATURES: U64.size,
    Request.GET_PROTOCOL_FEATURES: U64.size,
    Request.GET_QUEUE_NUM: U64.size,
    Request.GET_VRING_BASE: VRING_STATE.size,
}
"""Messages that always have an answer, and its size (spec, "Communication"). SET_LOG_BASE has one with LOG_SHMFD."""


class Feature(IntEnum):
    """Bits of the virtio and vhost features that matter here."""

    NET_MTU = 3
    NET_MRG_RXBUF = 15
    NET_GUEST_ANNOUNCE = 21
    NET_MQ = 22
    LOG_ALL = 26
    RING_INDIRECT_DESC = 28
    RING_EVENT_IDX = 29
    PROTOCOL_FEATURES = 30
    VERSION_1 = 32


class ProtocolFeature(IntEnum):
    """Bits of the protocol features that the stub knows (spec, "Protocol features")."""

    MQ = 0
    LOG_SHMFD = 1
    RARP = 2
    REPLY_ACK = 3
    NET_MTU = 4


def mask(*bits: int) -> int:
    """The word in which just these bits are set."""
    word = 0
    for bit in bits:
        word |= 1 << bit
    return word


def has(word: int, bit: int) -> bool:
    """Whether a bit is set."""
    return bool(word >> bit & 1)


FEATURES = mask(
    Feature.NET_MTU,
    Feature.NET_MRG_RXBUF,
    Feature.NET_GUEST_ANNOUNCE,
    Feature.NET_MQ,
    Feature.LOG_ALL,
    Feature.RING_INDIRECT_DESC,
    Feature.PROTOCOL_FEATURES,
    Feature.VERSION_1,
)
"""What the stub offers unless told otherwise."""

PROTOCOL_FEATURES = mask(*ProtocolFeature)


def name_of(request: int) -> str:
    """``SET_OWNER``; the number of an unknown one."""
    try:
        return Request(request).name
    except ValueError:
        return str(request)
