"""The host behind the stub: it answers ARP for any address and ping to any (RFC 826, RFC 792), and nothing else."""

from __future__ import annotations

import struct

MAC = bytes.fromhex("020000000001")
"""The stub's own; the address that the lab's guests hold in a permanent neighbour entry."""

ETHERNET = struct.Struct("!6s6sH")
ARP = struct.Struct("!HHBBH6s4s6s4s")
ARP_TYPE, IP_TYPE = 0x0806, 0x0800
IPV4, IPV4_HEADER = 4, 20
ICMP, ECHO_REQUEST, ECHO_REPLY = 1, 8, 0


def answer(frame: bytes) -> bytes | None:
    """The frame that answers this one; None for all that is neither an ARP request nor a ping."""
    if len(frame) < ETHERNET.size:
        return None
    _, source, kind = ETHERNET.unpack_from(frame)
    if kind == ARP_TYPE:
        return _arp(frame, source)
    if kind == IP_TYPE:
        return _ping(frame, source)
    return None


def _arp(frame: bytes, source: bytes) -> bytes | None:
    if len(frame) < ETHERNET.size + ARP.size:
        return None
    hardware, protocol, hlen, plen, operation, mac, ip, _, wanted = ARP.unpack_from(frame, ETHERNET.size)
    # A request for one's own address (gratuitous, or a probe for duplicates) gets none.
    if (hardware, protocol, hlen, plen, operation) != (1, IP_TYPE, 6, 4, 1) or wanted == ip:
        return None
    return ETHERNET.pack(source, MAC, ARP_TYPE) + ARP.pack(1, IP_TYPE, 6, 4, 2, MAC, wanted, mac, ip)


def _ping(frame: bytes, source: bytes) -> bytes | None:
    packet = frame[ETHERNET.size :]
    if len(packet) < IPV4_HEADER:
        return None
    head = (packet[0] & 0xF) * 4
    total = int.from_bytes(packet[2:4], "big")
    fragmented = int.from_bytes(packet[6:8], "big") & 0x3FFF
    if packet[0] >> 4 != IPV4 or packet[9] != ICMP or fragmented or not head + 8 <= total <= len(packet):
        return None
    icmp = bytearray(packet[head:total])
    if icmp[0] != ECHO_REQUEST:
        return None
    icmp[0], icmp[2:4] = ECHO_REPLY, b"\0\0"
    icmp[2:4] = checksum(icmp).to_bytes(2, "big")
    header = bytearray(packet[:head])
    header[12:16], header[16:20] = packet[16:20], packet[12:16]
    header[8], header[10:12] = 64, b"\0\0"
    header[10:12] = checksum(header).to_bytes(2, "big")
    return ETHERNET.pack(source, MAC, IP_TYPE) + bytes(header) + bytes(icmp)


def checksum(data: bytes | bytearray) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = bytes(data) + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
