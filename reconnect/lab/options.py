"""How cells are run."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Options:
    """How cells are run. Times in seconds unless the name says otherwise.

    :param accel: ``tcg`` or ``kvm``.
    :param neighbour: ``permanent`` or ``arp``.
    :param interval_us: microseconds between probes.
    :param steady: so many probes in a row must be answered before the fault and after the recovery.
    :param lost: so many must go unanswered in a row before the backend is started again.
    :param boot: for the guest to boot and answer steadily. A slow, busy machine takes its time.
    :param fault: for the backend to be gone after its fault, and again for probes to be lost.
    :param recovery: for the network to come back.
    :param dead: a network that is to be dead is watched for so long.
    :param vectors: MSI-X vectors of the card; None leaves QEMU's default. For experiments.
    :param append: words for the kernel's command line.
    """

    accel: str = "tcg"
    machine_type: str = "pc"
    neighbour: str = "permanent"
    interval_us: int = 20_000
    steady: int = 50
    lost: int = 10
    boot: float = 120.0
    fault: float = 15.0
    recovery: float = 30.0
    dead: float = 10.0
    vectors: int | None = None
    append: str = ""

    def slowed(self, factor: int) -> Options:
        """The same with more time for a slower QEMU. What is measured is not touched."""
        return replace(self, boot=self.boot * factor, fault=self.fault * factor, recovery=self.recovery * factor)
