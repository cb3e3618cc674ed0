"""QEMU's command line, as a frozen object that renders to an argument list. It starts and checks nothing.

The spellings are those that QEMU 2.7 and 7.2 both take.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from reconnect.kit.sockets import checked
from reconnect.lab.binaries import Qemu
from reconnect.lab.guest.image import Guest
from reconnect.lab.options import Options
from reconnect.lab.qemu.memory_backend import memory_folder
from reconnect.lab.schemes import Scheme

PEER = "192.0.2.1"
"""The address that the guest probes (RFC 5737: it belongs to nobody). testpmd's icmpecho answers for any."""

PEER_MAC = "02:00:00:00:00:01"
VHOST = "vhost.sock"
"""The vhost-user socket, in the runtime directory."""

NEIGHBOURS = ("permanent", "arp")


@dataclass(frozen=True)
class QemuArguments:
    """One VM with one vhost-user network card.

    :param vhost: path of the vhost-user socket.
    :param qmp: socket that QEMU connects its monitor to.
    :param probe: socket that QEMU connects the probe's serial port to.
    :param console: file for the guest's console.
    :param chardev: options of the vhost-user chardev, from the scheme.
    :param neighbour: ``permanent``, or ``arp``: the guest resolves its peer's address.
    :param interval_us: microseconds between two probes.
    :param vectors: MSI-X vectors of the card; None leaves QEMU's default. For experiments with an unpatched QEMU.
    :param append: words to add to the kernel's command line.
    :param card: False for a VM without one, to be hot-plugged.
    :param queues: queue pairs of the card. A guest's driver enables as many of them as there are processors.
    :param processors: of the guest.
    :param memory_dir: folder of the guest's memory, which the backend maps. QEMU unlinks the file at once.
    """

    qemu: Qemu
    guest: Guest
    vhost: Path
    qmp: Path
    probe: Path
    console: Path
    chardev: tuple[str, ...] = ()
    neighbour: str = "permanent"
    interval_us: int = 20_000
    accel: str = "tcg"
    machine_type: str = "pc"
    memory_mib: int = 256
    vectors: int | None = None
    append: str = ""
    card: bool = True
    queues: int = 1
    processors: int = 1
    memory_dir: Path = Path("/dev/shm")

    @classmethod
    def of(
        cls,
        scheme: Scheme,
        qemu: Qemu,
        guest: Guest,
        runtime: Path,
        folder: Path,
        options: Options,
        *,
        queue_pairs: int = 1,
        words: Sequence[str] = (),
        memory_dir: Path | None = None,
    ) -> Self:
        """The VM of a cell or of a case of the matrix.

        :param runtime: the runtime directory, for the sockets; the vhost-user socket is ``vhost.sock`` in it.
        :param folder: takes the guest's console.
        :param queue_pairs: of the card; the guest has as many processors.
        :param words: for the kernel's command line, before those of the options.
        :param memory_dir: without it, the first folder that has the room.
        :raises HostError: a path is too long for a socket, or there is no room for the guest's memory.
        """
        return cls(
            qemu=qemu,
            guest=guest,
            vhost=checked(runtime / VHOST),
            qmp=checked(runtime / "qmp.sock"),
            probe=checked(runtime / "probe.sock"),
            console=folder / "console.log",
            chardev=scheme.chardev,
            neighbour=options.neighbour,
            interval_us=options.interval_us,
            accel=options.accel,
            machine_type=options.machine_type,
            vectors=options.vectors,
            append=" ".join(word for word in (*words, options.append) if word),
            queues=queue_pairs,
            processors=queue_pairs,
            memory_dir=memory_dir or memory_folder(cls.memory_mib),
        )

    def argv(self) -> list[str]:
        """The whole command."""
        return [
            str(self.qemu.binary),
            *(word for folder in self.qemu.data for word in ("-L", str(folder))),
            *("-machine", f"{self.machine_type},accel={self.accel}"),
            *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            *("-smp", str(self.processors), "-m", self._size()),
            *("-object", self._memory(), "-numa", "node,memdev=memory"),
            *("-kernel", str(self.guest.kernel), "-initrd", str(self.guest.initramfs), "-append", self.kernel_words()),
            *("-chardev", f"socket,id=qmp,path={escaped(self.qmp)}", "-mon", "chardev=qmp,mode=control"),
            *("-chardev", f"file,id=console,path={escaped(self.console)}", "-serial", "chardev:console"),
            *("-chardev", f"socket,id=probe,path={escaped(self.probe)}", "-serial", "chardev:probe"),
            *(self._network() if self.card else []),
        ]

    def _size(self) -> str:
        return str(self.memory_mib)

    def _network(self) -> list[str]:
        queues = f",queues={self.queues}" if self.queues > 1 else ""
        return [
            *("-chardev", ",".join(["socket", "id=vhost", f"path={escaped(self.vhost)}", *self.chardev])),
            *("-netdev", f"vhost-user,id=net,chardev=vhost{queues}"),
            *("-device", self._card()),
        ]

    def _memory(self) -> str:
        size = f"size={self.memory_mib}M"
        return f"memory-backend-file,id=memory,{size},mem-path={escaped(self.memory_dir)},share=on"

    def _card(self) -> str:
        # An empty romfile: no boot from the network, and no need for the ROM's file.
        card = "virtio-net-pci,netdev=net,romfile="
        # QEMU 2.7 does not count the vectors itself: two a pair, one for the control queue, one for the configuration.
        vectors = 2 * self.queues + 2 if self.vectors is None and self.queues > 1 else self.vectors
        card = f"{card},mq=on" if self.queues > 1 else card
        return card if vectors is None else f"{card},vectors={vectors}"

    def kernel_words(self) -> str:
        """The kernel's command line."""
        neighbour = PEER_MAC if self.neighbour == "permanent" else "arp"
        words = [
            # panic=-1 with -no-reboot: a guest that panics ends QEMU at once. no_timer_check: a booting kernel counts
            # timer interrupts for some milliseconds, and panics where a busy host gives TCG no time for them; for the
            # same reason no warnings of RCU's: their call trace looks like a fault of the guest's.
            "console=ttyS0 panic=-1 no_timer_check rcupdate.rcu_cpu_stall_suppress=1",
            f"reconnect.peer={PEER} reconnect.interval={self.interval_us} reconnect.neighbour={neighbour}",
            self.append,
        ]
        return " ".join(word for word in words if word)


def pinned(queue_pairs: int) -> str:
    """The word of the kernel's command line that keeps the probe on the last of so many processors.

    A guest sends on the queue pair of the processor that the sender runs on.
    """
    return f"reconnect.cpu={1 << queue_pairs - 1:x}" if queue_pairs > 1 else ""


def escaped(path: Path) -> str:
    """A path in an option of QEMU's, where a comma would begin the next one."""
    return str(path).replace(",", ",,")
