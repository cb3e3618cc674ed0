"""What one connection has agreed on so far."""

from __future__ import annotations

from dataclasses import dataclass, field

from reconnect.lab.stub.guest_memory import GuestMemory
from reconnect.lab.stub.protocol import Feature, ProtocolFeature, has
from reconnect.lab.stub.ring import Ring

LONG_HEADER = 12
"""Bytes of virtio_net_hdr with its last field, num_buffers."""


@dataclass
class State:
    """The back-end's side of a session.

    :param offered: features that we offer; ``protocol_offered``: protocol features.
    :param queue_pairs: queue pairs that we have.
    :ivar asked: the requests that were heard so far.
    :ivar acked: from SET_FEATURES; None before.
    :ivar protocol: from SET_PROTOCOL_FEATURES; None before.
    """

    offered: int
    protocol_offered: int
    queue_pairs: int
    asked: set[int] = field(default_factory=set)
    acked: int | None = None
    protocol: int | None = None
    owned: bool = False
    memory: GuestMemory | None = None
    rings: list[Ring] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rings = [Ring(index) for index in range(2 * self.queue_pairs)]

    def negotiated(self, bit: ProtocolFeature) -> bool:
        """Whether both sides have a protocol feature."""
        return has(self.protocol or 0, bit)

    @property
    def protocol_negotiated(self) -> bool:
        """Whether there are protocol features at all.

        QEMU acknowledges the feature bit itself only when its device is started, long after it made use of it: its
        SET_PROTOCOL_FEATURES is taken for the consent.
        """
        return self.protocol is not None or has(self.acked or 0, Feature.PROTOCOL_FEATURES)

    @property
    def header_size(self) -> int:
        """Bytes of virtio_net_hdr before each frame (virtio 1.1, section 5.1.6)."""
        acked = self.acked or 0
        return LONG_HEADER if has(acked, Feature.VERSION_1) or has(acked, Feature.NET_MRG_RXBUF) else 10

    def close(self) -> None:
        """Let go of all descriptors and maps."""
        for ring in self.rings:
            ring.close()
        if self.memory is not None:
            if self.memory.log is not None:
                self.memory.log.close()
            self.memory.close()
            self.memory = None
