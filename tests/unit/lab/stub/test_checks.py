"""Each rule of the specification, broken by a front-end; and that a good one breaks none (test_session)."""

from __future__ import annotations

import struct

import pytest

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
    VRING_STATE,
    Request,
)
from tests.unit.lab.stub.conftest import Dial, Start
from tests.unit.lab.stub.frontend import MEMORY, address, table


def state(ring: int, value: int) -> bytes:
    """A payload of two words."""
    return VRING_STATE.pack(ring, value)


def two_regions(guest: int, user: int) -> bytes:
    """A table of two regions, the second at these addresses."""
    first = MEMORY_REGION.pack(0, MEMORY, 0, 0)
    return MEMORY_HEADER.pack(2, 0) + first + MEMORY_REGION.pack(guest, MEMORY, user, 0)


# What comes after a good greeting: request, payload, number of descriptors, and what is to be said of it.
AFTER_GREETING = [
    (Request.SET_OWNER, b"", 0, "SET_OWNER: a second SET_OWNER"),
    (Request.RESET_OWNER, b"", 0, "RESET_OWNER: RESET_OWNER, which is no longer used"),
    (Request.SET_FEATURES, U64.pack(1 << 63), 0, "features that were not offered: 0x8000000000000000"),
    (Request.SET_FEATURES, b"1234", 0, "SET_FEATURES: a payload of 4 bytes instead of 8"),
    (Request.SET_FEATURES, U64.pack(FEATURES), 1, "SET_FEATURES: 1 descriptors instead of 0"),
    (Request.SET_PROTOCOL_FEATURES, U64.pack(1 << 40), 0, "protocol features that were not offered: 0x10000000000"),
    (Request.SET_MEM_TABLE, table(), 0, "SET_MEM_TABLE: 0 descriptors instead of 1"),
    (Request.SET_MEM_TABLE, table(), 2, "SET_MEM_TABLE: 2 descriptors instead of 1"),
    (Request.SET_MEM_TABLE, table(count=0), 0, "SET_MEM_TABLE: 0 regions, where 1 to 8 are allowed"),
    (Request.SET_MEM_TABLE, table(count=9), 9, "SET_MEM_TABLE: 9 regions, where 1 to 8 are allowed"),
    (Request.SET_MEM_TABLE, table() + b"x", 1, "a payload of 41 bytes for 1 regions instead of 40"),
    (Request.SET_MEM_TABLE, b"", 0, "SET_MEM_TABLE: a payload of 0 bytes"),
    (Request.SET_MEM_TABLE, b"\1\0\0\0\1\0\0\0" + table()[8:], 1, "padding that is not zero"),
    (Request.SET_MEM_TABLE, table(offset=4096), 1, "larger than its file"),
    (Request.SET_MEM_TABLE, two_regions(MEMORY - 1, MEMORY), 2, "regions that overlap in the guest's addresses"),
    (Request.SET_MEM_TABLE, two_regions(MEMORY, MEMORY - 1), 2, "regions that overlap in the front-end's addresses"),
    (Request.SET_MEM_TABLE, two_regions(2**64 - 1, MEMORY), 2, "a region that ends beyond 64 bits"),
    (Request.SET_VRING_NUM, state(0, 3), 0, "SET_VRING_NUM: a split ring of 3 descriptors"),
    (Request.SET_VRING_NUM, state(0, 0), 0, "SET_VRING_NUM: a split ring of 0 descriptors"),
    (Request.SET_VRING_NUM, state(0, 65536), 0, "SET_VRING_NUM: a split ring of 65536 descriptors"),
    (Request.SET_VRING_NUM, state(2, 4), 0, "SET_VRING_NUM: ring 2 of 2"),
    (Request.SET_VRING_BASE, state(0, 65536), 0, "SET_VRING_BASE: an index of 65536"),
    (Request.GET_VRING_BASE, state(0, 0), 0, "GET_VRING_BASE: ring 0 is not running"),
    (Request.SET_VRING_ENABLE, state(0, 2), 0, "SET_VRING_ENABLE: neither 0 nor 1, but 2"),
    (Request.SET_VRING_ADDR, address(0), 0, "SET_VRING_ADDR: before SET_VRING_NUM"),
    (Request.SET_VRING_ADDR, address(0, flags=2), 0, "SET_VRING_ADDR: unknown flags 0x2"),
    (Request.SET_VRING_ADDR, address(0, flags=1), 0, "SET_VRING_ADDR: a log without LOG_ALL"),
    (Request.SET_VRING_ADDR, address(9), 0, "SET_VRING_ADDR: ring 9 of 2"),
    (Request.SET_VRING_KICK, U64.pack(0), 0, "SET_VRING_KICK: 0 descriptors instead of 1"),
    (Request.SET_VRING_KICK, U64.pack(0x100), 0, "ring 0 without a kick descriptor: we would have to poll"),
    (Request.SET_VRING_KICK, U64.pack(0x100), 1, "SET_VRING_KICK: 1 descriptors instead of 0"),
    (Request.SET_VRING_KICK, U64.pack(0), 1, "ring 0 is started without its num, addresses, base"),
    (Request.SET_VRING_KICK, U64.pack(0), 1, "ring 0 is started before SET_FEATURES"),
    (Request.SET_VRING_CALL, U64.pack(7), 1, "SET_VRING_CALL: ring 7 of 2"),
    (Request.SET_VRING_ERR, U64.pack(0x200), 1, "SET_VRING_ERR: unknown bits 0x200"),
    (Request.SET_LOG_FD, b"", 0, "SET_LOG_FD: 0 descriptors instead of 1"),
    (Request.SET_LOG_BASE, struct.pack("<QQ", 4096, 0), 0, "SET_LOG_BASE: 0 descriptors instead of 1"),
    (Request.NET_SET_MTU, U64.pack(67), 0, "NET_SET_MTU: an MTU of 67"),
    (99, b"", 0, "99: unknown message 99"),
]


@pytest.mark.parametrize(("request_", "payload", "fds", "what"), AFTER_GREETING, ids=lambda v: str(v)[:60])
def test_each_rule_is_checked(start: Start, dial: Dial, request_: int, payload: bytes, fds: int, what: str) -> None:
    """Steps: a good greeting, one bad message, one good question.

    Verify: the violation is said; the stub lives and answers.
    """
    stub = start()
    front = dial(stub)
    front.greet()
    front.send(request_, payload, [front.memory] * fds)
    front.send(Request.GET_FEATURES)
    while front.receive()[0] != Request.GET_FEATURES:
        pass
    stub.until_violation(what)


@pytest.mark.parametrize(
    ("request_", "payload", "what"),
    [
        (Request.SET_FEATURES, U64.pack(0), "SET_FEATURES: before GET_FEATURES"),
        (Request.SET_VRING_NUM, state(0, 4), "SET_VRING_NUM: before SET_OWNER"),
        (Request.GET_PROTOCOL_FEATURES, b"", "GET_PROTOCOL_FEATURES: though PROTOCOL_FEATURES was not offered"),
        (Request.GET_QUEUE_NUM, b"", "GET_QUEUE_NUM: without the protocol feature MQ"),
        (Request.SEND_RARP, U64.pack(0), "SEND_RARP: without the protocol feature RARP"),
        (Request.NET_SET_MTU, U64.pack(1500), "NET_SET_MTU: without the protocol feature NET_MTU"),
        (Request.SET_VRING_ENABLE, state(0, 1), "SET_VRING_ENABLE: without PROTOCOL_FEATURES"),
    ],
)
def test_what_comes_too_early(start: Start, dial: Dial, request_: int, payload: bytes, what: str) -> None:
    """Steps: the message as the first of a connection. Verify: the violation is said."""
    stub = start()
    front = dial(stub)
    front.send(request_, payload)
    stub.until("violation", what=what)


@pytest.mark.parametrize(
    ("flags", "what"),
    [
        (0, "SET_OWNER: version 0 in the flags instead of 1"),
        (VERSION | REPLY, "SET_OWNER: a request with the reply flag"),
        (VERSION | NEED_REPLY, "SET_OWNER: need_reply without REPLY_ACK"),
        (VERSION | 0x20, "SET_OWNER: unknown flags 0x20"),
    ],
)
def test_flags(start: Start, dial: Dial, flags: int, what: str) -> None:
    """Steps: SET_OWNER with wrong flags. Verify: the violation is said."""
    stub = start()
    front = dial(stub)
    front.send(Request.SET_OWNER, flags=flags)
    stub.until("violation", what=what)


@pytest.mark.parametrize(
    ("shift", "what"),
    [
        (8, "descriptors at 0x7f0000000008, which is not aligned to 16"),
        (1, "available ring at 0x7f0000001001, which is not aligned to 2"),
        (2, "used ring at 0x7f0000002002, which is not aligned to 4"),
        (MEMORY, "not in the memory table: front-end's address 0x7f0000100000, 256 bytes"),
        (MEMORY - 128, "not in the memory table"),
        (-64, "not in the memory table: front-end's address 0x7effffffffc0, 256 bytes"),
    ],
)
def test_ring_addresses(start: Start, dial: Dial, shift: int, what: str) -> None:
    """Steps: addresses that are crooked, beyond the table, or half beyond it. Verify: the violation is said."""
    stub = start()
    front = dial(stub)
    front.greet()
    front.send(Request.SET_FEATURES, U64.pack(FEATURES))
    front.tell(Request.SET_MEM_TABLE, table(), [front.memory])
    front.send(Request.SET_VRING_NUM, state(0, 16))
    front.tell(Request.SET_VRING_ADDR, address(0, shift))
    stub.until_violation(what)


@pytest.mark.parametrize("request_", [Request.SET_VRING_NUM, Request.SET_VRING_BASE])
def test_a_running_ring_is_left_alone(start: Start, dial: Dial, request_: Request) -> None:
    """Verify: its size and its base may not change."""
    stub = start()
    front = dial(stub)
    front.greet()
    front.start()
    assert front.tell(request_, state(1, 8)) == 0
    stub.until_violation(f"{request_.name}: ring 1 is running")


def test_a_refused_message_is_acknowledged_with_a_failure(start: Start, dial: Dial) -> None:
    """Verify: 1 for a table without its descriptor and for an unknown message, 0 for a good one."""
    front = dial(start())
    front.greet()
    assert front.tell(Request.SET_MEM_TABLE, table()) == 1
    assert front.tell(99) == 1
    assert front.tell(Request.SET_MEM_TABLE, table(), [front.memory]) == 0


@pytest.mark.parametrize("repair", [False, True])
def test_a_base_that_is_not_the_rings_is_a_violation(start: Start, dial: Dial, repair: bool) -> None:
    """What a front-end does that keeps the index of before a crash.

    Steps: a used ring at 5, a base of 3; one buffer more is offered.
    Verify: it is said; the stub begins at the base, unless it was told to repair that as DPDK does.
    """
    stub = start(*(["--repair"] if repair else []))
    front = dial(stub)
    front.greet()
    for ring in (0, 1):
        for index in range(5):
            front.offer(ring, index, bytes(64))
        front.write(ring, 0x2002, struct.pack("<H", 5))
    front.start(base=3)
    stub.until("ready")
    stub.until_violation("ring 1 starts at 3, its used ring at 5")
    front.send(Request.GET_VRING_BASE, state(1, 0))
    assert VRING_STATE.unpack(front.receive()[1]) == (1, 5)
    assert stub.until("stopped", ring=1)["frames"] == (0 if repair else 2)


@pytest.mark.parametrize(
    ("place", "data", "what"),
    [
        (0x1002, struct.pack("<H", 99), "the available index 99 is 99 ahead of ours in a ring of 16"),
        (0x1004, struct.pack("<H", 16), "descriptor 16 of a table of 16"),
        (0x0000, struct.pack("<Q", 1), "a descriptor outside of the memory table"),
        (0x000C, struct.pack("<HH", 1, 0), "descriptor 0 of a table of 16, after 17 others"),
    ],
    ids=["index", "head", "address", "loop"],
)
def test_nonsense_in_a_ring_breaks_the_ring_only(start: Start, dial: Dial, place: int, data: bytes, what: str) -> None:
    """Steps: offer a buffer, spoil the ring, kick. Verify: a fault is said once; the stub goes on."""
    stub = start()
    front = dial(stub)
    front.greet()
    front.start()
    stub.until("ready")
    front.offer(1, 0, bytes(64))
    front.write(1, place, data)
    front.kick(1)
    assert what in stub.until("fault", ring=1)["what"]
    front.kick(1)
    assert front.ask(Request.GET_QUEUE_NUM) == 1
    assert len(stub.of("fault")) == 1


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (HEADER.pack(1, 1, 1 << 30), "a payload of 1073741824 bytes in message GET_FEATURES"),
        (HEADER.pack(5, 1, 40) + b"half", "the connection ended 36 bytes before the end of a message"),
        (b"head", "the connection ended 8 bytes before the end of a message"),
    ],
)
def test_garbage_ends_the_connection_only(start: Start, dial: Dial, raw: bytes, what: str) -> None:
    """Steps: half a message and a hang-up, or an impossible one. Verify: it is said; the next connection is served."""
    stub = start()
    front = dial(stub)
    front.connection.sendall(raw)
    if not raw.endswith(b"\0\0\0\x40"):
        front.connection.shutdown(1)
    stub.until("violation", what=what)
    stub.until("closed", by="garbled")
    dial(stub).greet()


def test_the_protocol_features_of_a_good_front_end_are_ours() -> None:
    """Verify: this module's front-end asks for all of them."""
    assert PROTOCOL_FEATURES == 0b11111
