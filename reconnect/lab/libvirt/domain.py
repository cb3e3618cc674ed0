"""The XML that libvirt is given: the templates beside this file, filled in. Nothing is run here.

A domain has the devices of :class:`reconnect.lab.qemu.arguments.QemuArguments`, so that a cell through libvirt and one
without it measure the same thing. Past libvirt goes what it has no XML for: where this QEMU's firmware lies, and a
second monitor, which is the lab's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from string import Template
from xml.sax.saxutils import escape

from reconnect.lab.libvirt.places import DOMAIN
from reconnect.lab.libvirt.shared_memory import SharedMemory
from reconnect.lab.qemu.arguments import QemuArguments, escaped
from reconnect.lab.schemes import Scheme

HERE = Path(__file__).parent
QUOTES = {"'": "&apos;", '"': "&quot;"}


@dataclass(frozen=True)
class Domain:
    """One domain with one vhost-user interface.

    :param arguments: what the lab would give to QEMU itself.
    :param attach: the interface is not in the domain: it is attached when the guest is up.
    """

    arguments: QemuArguments
    scheme: Scheme
    memory: SharedMemory
    attach: bool = False

    def xml(self) -> str:
        """The domain."""
        arguments = self.arguments
        values = {
            "type": "kvm" if arguments.accel == "kvm" else "qemu",
            "name": DOMAIN,
            "memory_mib": arguments.memory_mib,
            "processors": arguments.processors,
            "machine": arguments.machine_type,
            "kernel": arguments.guest.kernel,
            "initrd": arguments.guest.initramfs,
            "cmdline": f"{arguments.kernel_words()} reconnect.hotplug=1" if self.attach else arguments.kernel_words(),
            "emulator": arguments.qemu.binary,
            "console": arguments.console,
            "probe": arguments.probe,
        }
        parts = {
            "memory_backing": self.memory.backing,
            "cpu": self.memory.cpu,
            "interface": "" if self.attach else self.interface(),
            "arguments": "\n    ".join(f"<qemu:arg value='{quoted(word)}'/>" for word in self._arguments()),
        }
        return _filled("domain.xml", {name: quoted(value) for name, value in values.items()} | parts)

    def interface(self) -> str:
        """The interface, alone: what ``virsh attach-device`` takes."""
        scheme = self.scheme
        reconnect = "" if scheme.reconnect is None else f"<reconnect enabled='yes' timeout='{scheme.reconnect}'/>"
        mode = "server" if scheme.qemu_listens else "client"
        queues = self.arguments.queues
        driver = f"<driver queues='{queues}'/>" if queues > 1 else ""
        values = {"socket": quoted(self.arguments.vhost), "mode": mode, "reconnect": reconnect, "driver": driver}
        return _filled("interface.xml", values)

    def _arguments(self) -> list[str]:
        arguments = self.arguments
        return [
            *(word for folder in arguments.qemu.data for word in ("-L", str(folder))),
            *self.memory.arguments,
            *("-chardev", f"socket,id=qmp,path={escaped(arguments.qmp)}", "-mon", "chardev=qmp,mode=control"),
        ]


def quoted(value: object) -> str:
    """Text for an attribute or an element."""
    return escape(str(value), QUOTES)


def _filled(name: str, values: dict[str, str]) -> str:
    return Template((HERE / name).read_text(encoding="utf-8")).substitute(values)
