"""What a real libvirtd says to an interface XML."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from reconnect.kit.deadline import Deadline
from reconnect.lab.libvirt.daemon import Libvirtd
from reconnect.lab.process.failure import CellError
from tests.reconnect.corpus.interfaces import Element

SECONDS = 30.0
"""Deadline of one command."""

NAME = "corpus"
DOMAIN = """
<domain type='qemu'>
  <name>corpus</name>
  <uuid>6f0d5d0e-7a3c-4f5e-8b55-3d6c1d2f9a01</uuid>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices><emulator>{emulator}</emulator>{interface}</devices>
</domain>
"""
ADDED = ("address", "alias")
"""Elements that libvirt adds to each device, differently from release to release."""


@dataclass(frozen=True)
class Answer:
    """What became of a definition.

    :param error: why it was refused; empty: it was accepted.
    :param stored: the interface as it is printed afterwards: the new one, or still the old one.
    """

    error: str
    stored: Element


class Asker:
    """Defines one domain again and again, each time with another interface.

    :param emulator: QEMU's program, for the domain.
    :param folder: takes the XML.
    """

    def __init__(self, libvirtd: Libvirtd, emulator: Path, folder: Path) -> None:
        self._libvirtd, self._emulator = libvirtd, emulator
        self._file = folder / "domain.xml"

    def ask(self, interface: Element, *options: str) -> Answer:
        """Define the domain with this interface.

        :param options: for ``virsh define``.
        """
        self._file.write_text(DOMAIN.format(emulator=self._emulator, interface=interface), encoding="utf-8")
        error = ""
        try:
            self._virsh("define", self._file, *options)
        except CellError as refusal:
            error = refusal.what
        return Answer(error, self.stored())

    def stored(self) -> Element:
        """The interface that the domain has now."""
        root = ElementTree.fromstring(self._virsh("dumpxml", "--inactive", NAME))
        (interface,) = root.findall("devices/interface")
        return _element(interface)

    def _virsh(self, *words: str | Path) -> str:
        return self._libvirtd.virsh.run(*words, deadline=Deadline(SECONDS))


def _element(found: ElementTree.Element) -> Element:
    children = [_element(child) for child in found if child.tag not in ADDED]
    return Element(found.tag, tuple(found.attrib.items()), tuple(children))
