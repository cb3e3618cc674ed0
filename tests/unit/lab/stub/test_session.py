"""A front-end that does all right: the handshake, the rings, the stop."""

from __future__ import annotations

import os
import signal
import socket
import struct
from pathlib import Path

from reconnect.lab.stub.frames import ARP, ARP_TYPE, ETHERNET, IP_TYPE, MAC, answer, checksum
from reconnect.lab.stub.protocol import FEATURES, MEMORY_HEADER, U64, VRING_STATE, Feature, Request
from tests.unit.lab.stub.conftest import Dial, Start
from tests.unit.lab.stub.frontend import NUM, USED, FrontEnd, Stub, table, until

GUEST_MAC = bytes.fromhex("525400123456")
RX, TX = 0, 1


def arp_request() -> bytes:
    """Who has 192.0.2.1?"""
    body = ARP.pack(1, IP_TYPE, 6, 4, 1, GUEST_MAC, bytes([192, 0, 2, 2]), bytes(6), bytes([192, 0, 2, 1]))
    return ETHERNET.pack(b"\xff" * 6, GUEST_MAC, ARP_TYPE) + body


def ping(payload: bytes = b"payload!") -> bytes:
    """An echo request to 192.0.2.1."""
    icmp = struct.pack("!BBHHH", 8, 0, 0, 7, 1) + payload
    icmp = icmp[:2] + checksum(icmp).to_bytes(2, "big") + icmp[4:]
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(icmp), 1, 0, 64, 1, 0, b"\xc0\0\2\2", b"\xc0\0\2\1")
    head = head[:10] + checksum(head).to_bytes(2, "big") + head[12:]
    return ETHERNET.pack(MAC, GUEST_MAC, IP_TYPE) + head + icmp


def exchange(front: FrontEnd, frame: bytes, index: int = 0, header: int = 12) -> bytes:
    """Offer a buffer for the answer, send a frame, and return the answer."""
    front.offer(RX, index, bytes(512), writable=True)
    front.offer(TX, index, bytes(header) + frame)
    front.kick(TX)
    until(lambda: front.used_index(RX) == (index + 1) % 65536, "an answer")
    slot = index % NUM
    _, length = struct.unpack("<II", front.read(RX, USED + 4 + 8 * slot, 8))
    return front.read(RX, 0x4000 + slot * 0x400, length)[header:]


def test_arp_and_ping_are_answered(start: Start, dial: Dial) -> None:
    """Steps: the whole handshake; an ARP request; pings, over the end of the ring.

    Verify: right answers with right checksums, both call descriptors rung, ready said once, no violation.
    """
    stub = start()
    front = dial(stub)
    front.greet()
    front.start()
    stub.until("ready")
    found = exchange(front, arp_request())
    assert ETHERNET.unpack_from(found) == (GUEST_MAC, MAC, ARP_TYPE)
    assert ARP.unpack_from(found, 14)[4:7] == (2, MAC, bytes([192, 0, 2, 1]))
    for index in range(1, NUM + 3):
        found = exchange(front, ping(bytes([index])), index)
        assert found[26:34] == b"\xc0\0\2\1\xc0\0\2\2"
        assert checksum(found[14:34]) == checksum(found[34:]) == 0
        assert (found[34], found[-1]) == (0, index)
    assert os.eventfd_read(front.calls[RX]) > 0
    assert os.eventfd_read(front.calls[TX]) > 0
    assert len(stub.of("ready")) == 1
    assert stub.violations == []


def test_the_ring_goes_on_where_it_stopped(start: Start, dial: Dial) -> None:
    """Steps: traffic; GET_VRING_BASE of both; start again from the answers.

    Verify: the answers are the next indexes; nothing is taken while stopped; traffic goes on.
    """
    stub = start()
    front = dial(stub)
    front.greet()
    front.start(base=65535)
    for index in (65535, 0, 1):
        for ring in (RX, TX):
            front.write(ring, USED + 2, struct.pack("<H", front.used_index(ring) or (65535 if index == 65535 else 0)))
        exchange(front, ping(), index)
    for ring in (RX, TX):
        front.send(Request.GET_VRING_BASE, VRING_STATE.pack(ring, 0))
        request, reply = front.receive()
        assert (request, VRING_STATE.unpack(reply)) == (Request.GET_VRING_BASE, (ring, 2))
    front.start(base=2)
    exchange(front, ping(), 2)
    assert stub.until("stopped", ring=TX)["frames"] == 3


def test_without_protocol_features_rings_start_enabled(start: Start, dial: Dial) -> None:
    """Steps: a front-end that takes none of the newer features, with the short header.

    Verify: pings are answered without SET_VRING_ENABLE, and no message is acknowledged.
    """
    stub = start("--features", hex(1 << Feature.NET_MRG_RXBUF))
    front = dial(stub)
    assert front.ask(Request.GET_FEATURES) == 1 << Feature.NET_MRG_RXBUF
    front.send(Request.SET_OWNER)
    front.send(Request.SET_FEATURES, U64.pack(0))
    front.send(Request.SET_MEM_TABLE, table(), [front.memory])
    front.set_ring(RX, 0)
    front.set_ring(TX, 0)
    stub.until("ready")
    assert exchange(front, ping(), header=10)[34] == 0
    assert stub.violations == []


def test_a_memory_table_can_change_while_rings_run(start: Start, dial: Dial) -> None:
    """Steps: traffic, a second SET_MEM_TABLE, traffic.

    Verify: it is acknowledged, and traffic goes on.
    """
    stub = start()
    front = dial(stub)
    front.greet()
    front.start()
    exchange(front, ping())
    assert front.tell(Request.SET_MEM_TABLE, table(), [front.memory]) == 0
    exchange(front, ping(), 1)
    assert stub.violations == []


def test_indirect_descriptors(start: Start, dial: Dial) -> None:
    """Steps: a ping whose header and frame are two entries of an indirect table.

    Verify: an answer.
    """
    stub = start()
    front = dial(stub)
    front.greet()
    front.start()
    frame = ping()
    front.offer(RX, 0, bytes(512), writable=True)
    front.write(TX, 0x8000, bytes(12))
    front.write(TX, 0x8100, frame)
    base = 0x10_0000 + 0x1_0000
    entries = struct.pack("<QIHHQIHH", base + 0x8000, 12, 1, 1, base + 0x8100, len(frame), 0, 0)
    front.offer(TX, 0, entries)
    front.write(TX, 12, struct.pack("<H", 4))
    front.kick(TX)
    until(lambda: front.used_index(RX) == 1, "an answer")
    assert stub.of("fault") == []


def test_a_log_is_kept_for_a_migration(start: Start, dial: Dial) -> None:
    """Steps: SET_LOG_BASE, LOG_ALL, addresses with the log flag; a ping.

    Verify: the message is answered; the pages of the receive buffer and of its used ring are marked, no others.
    """
    stub = start()
    front = dial(stub)
    front.greet()
    front.start()
    log = os.memfd_create("log")
    os.truncate(log, 4096)
    front.send(Request.SET_LOG_BASE, struct.pack("<QQ", 4096, 0), [log])
    assert front.receive() == (Request.SET_LOG_BASE, U64.pack(0))
    front.send(Request.SET_VRING_ADDR, struct.pack("<IIQQQQ", 0, 1, *_logged(RX)))
    exchange(front, ping())
    marked = {8 * i + bit for i, byte in enumerate(os.pread(log, 4096, 0)) for bit in range(8) if byte >> bit & 1}
    os.close(log)
    assert marked == {(0x10_0000 + USED) // 4096, (0x10_0000 + 0x4000) // 4096}
    assert stub.violations == []


def _logged(ring: int) -> tuple[int, int, int, int]:
    start = 0x7F00_0000_0000 + ring * 0x1_0000
    return start, start + USED, start + 0x1000, 0x10_0000 + ring * 0x1_0000 + USED


def test_two_pairs_are_two_switches(start: Start, dial: Dial) -> None:
    """Steps: a stub with two pairs; all four rings; a ping on the second pair.

    Verify: GET_QUEUE_NUM says 2; the answer comes on the second pair.
    """
    stub = start("--queue-pairs", "2")
    front = dial(stub)
    front.greet()
    assert front.ask(Request.GET_QUEUE_NUM) == 2
    front.start(rings=4)
    front.offer(2, 0, bytes(512), writable=True)
    front.offer(3, 0, bytes(12) + ping())
    front.kick(3)
    until(lambda: front.used_index(2) == 1, "an answer on the second pair")
    assert front.used_index(0) == 0
    assert stub.violations == []


def test_as_a_client_it_connects_again(start: Start, short: Path) -> None:
    """Steps: listen; let the stub connect; hang up; accept again. Only then make the rest right.

    Verify: it tries before there is a listener, and connects each time.
    """
    stub = start("--client", "--retry", "0.02")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(short / "s"))
        listener.listen(1)
        listener.settimeout(20)
        listener.accept()[0].close()
        stub.until("closed", by="front-end")
        front = FrontEnd(listener.accept()[0])
        front.greet()
        front.close()
        stub.until("closed", 2)


def test_sigterm_ends_it_in_order(start: Start, dial: Dial, short: Path) -> None:
    """Steps: SIGTERM while a front-end is connected.

    Verify: the connection is closed, the socket is gone, exit code 0, and the log has its end.
    """
    stub = start()
    front = dial(stub)
    front.greet()
    stub.until("message", name="SET_OWNER")
    stub.process.send_signal(signal.SIGTERM)
    assert stub.process.wait(20) == 0
    assert stub.until("end")["why"] == "SIGTERM"
    assert front.connection.recv(1) == b""
    assert not (short / "s").exists()


def test_only_what_it_knows_is_answered() -> None:
    """Verify: no answer to garbage, to another protocol, to a fragment, to an announcement of one's own address."""
    own = arp_request()[:38] + bytes([192, 0, 2, 2])
    fragment = bytearray(ping())
    fragment[20] = 0x20
    for frame in (b"", b"\0" * 13, ETHERNET.pack(MAC, GUEST_MAC, 0x86DD) + bytes(60), own, bytes(fragment)):
        assert answer(frame) is None


def test_what_is_offered_can_be_told(start: Start, dial: Dial) -> None:
    """Verify: features of the command line, and a queue pair too many without multiqueue is a usage error."""
    front = dial(start("--features", hex(FEATURES & ~(1 << Feature.NET_MQ)), "--protocol-features", "0x8"))
    assert front.ask(Request.GET_FEATURES) == FEATURES & ~(1 << Feature.NET_MQ)
    assert front.ask(Request.GET_PROTOCOL_FEATURES) == 8


def test_more_pairs_than_the_features_allow_is_refused(short: Path) -> None:
    """Verify: exit code 2."""
    stub = Stub(short / "s", "--queue-pairs", "2", "--protocol-features", "0")
    assert stub.process.wait(20) == 2


def test_the_memory_header_is_what_the_kernel_says() -> None:
    """Verify: sizes of structures that are easily got wrong."""
    assert (MEMORY_HEADER.size, VRING_STATE.size, ETHERNET.size, ARP.size) == (8, 8, 14, 28)
