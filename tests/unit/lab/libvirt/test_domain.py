"""The XML that libvirt is given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest

from reconnect.lab.binaries import Qemu
from reconnect.lab.guest.image import Guest
from reconnect.lab.libvirt.domain import Domain
from reconnect.lab.libvirt.shared_memory import SharedMemory
from reconnect.lab.qemu.arguments import QemuArguments
from reconnect.lab.schemes import SCHEMES

QEMU = Qemu("qemu-7.2", "7.2.22", Path("/q/qemu"), (Path("/fw/a"), Path("/fw/b")), "c" * 40, (), "t" * 40)
GUEST = Guest(Path("/g/vmlinuz"), Path("/g/init"), "6.1.0")
ARGUMENTS = QemuArguments(QEMU, GUEST, Path("/r/vhost"), Path("/r/qmp"), Path("/r/probe"), Path("/c/console.log"))
MEMORY = SharedMemory("memfd", "", backing="<memoryBacking><source type='memfd'/></memoryBacking>")
ARG = "{http://libvirt.org/schemas/domain/qemu/1.0}arg"


def parsed(scheme: str, attach: bool = False, arguments: QemuArguments = ARGUMENTS) -> Element:
    return ElementTree.fromstring(Domain(arguments, SCHEMES[scheme], MEMORY, attach).xml())


@pytest.mark.parametrize(
    ("scheme", "mode", "reconnect"),
    [
        ("baseline", "client", None),
        ("server", "server", None),
        ("default", "client", None),
        ("explicit", "client", {"enabled": "yes", "timeout": "1"}),
        ("policy", "client", None),
    ],
)
def test_each_scheme_has_its_interface(scheme: str, mode: str, reconnect: dict[str, str] | None) -> None:
    """Verify: mode and ``<reconnect>`` as the scheme says; in ``attach`` the domain has no interface at all."""
    (interface,) = parsed(scheme).findall("devices/interface[@type='vhostuser']")
    source = interface.find("source")
    assert source is not None
    assert (source.get("path"), source.get("mode")) == ("/r/vhost", mode)
    found = source.find("reconnect")
    assert (None if found is None else found.attrib) == reconnect
    assert parsed(scheme, attach=True).find("devices/interface") is None
    alone = ElementTree.fromstring(Domain(ARGUMENTS, SCHEMES[scheme], MEMORY, True).interface())
    assert ElementTree.tostring(alone).split() == ElementTree.tostring(interface).split()


def test_a_card_of_many_queues() -> None:
    """Verify: a processor and a queue for each pair; one pair says nothing of queues."""
    root = parsed("explicit", arguments=replace(ARGUMENTS, queues=2, processors=2))
    assert root.findtext("vcpu") == "2"
    driver = root.find("devices/interface/driver")
    assert driver is not None
    assert driver.attrib == {"queues": "2"}
    assert parsed("explicit").findtext("vcpu") == "1"
    assert parsed("explicit").find("devices/interface/driver") is None


def test_the_guest_is_the_one_that_the_lab_starts_itself() -> None:
    """Verify: kernel, its words, memory, serial ports; a card that comes later is announced to the guest."""
    root = parsed("explicit")
    assert root.findtext("os/kernel") == "/g/vmlinuz"
    assert root.findtext("os/initrd") == "/g/init"
    assert root.findtext("os/cmdline") == ARGUMENTS.kernel_words()
    assert root.findtext("memory") == str(ARGUMENTS.memory_mib)
    assert root.findtext("devices/emulator") == "/q/qemu"
    assert [(s.get("type"), s.find("source").get("path")) for s in root.findall("devices/serial")] == [  # type: ignore[union-attr]
        ("file", "/c/console.log"),
        ("unix", "/r/probe"),
    ]
    cmdline = parsed("explicit", attach=True).findtext("os/cmdline") or ""
    assert cmdline.split() == [*ARGUMENTS.kernel_words().split(), "reconnect.hotplug=1"]


def test_what_libvirt_has_no_xml_for_goes_past_it() -> None:
    """Verify: firmware folders, the lab's monitor, and what the memory needs, in that order."""
    words = [arg.get("value") for arg in parsed("explicit").iter(ARG)]
    assert words == [
        *("-L", "/fw/a", "-L", "/fw/b"),
        *("-chardev", "socket,id=qmp,path=/r/qmp", "-mon", "chardev=qmp,mode=control"),
    ]
    memory = SharedMemory("file", "", arguments=("-object", "memory"))
    root = ElementTree.fromstring(Domain(ARGUMENTS, SCHEMES["explicit"], memory).xml())
    assert [arg.get("value") for arg in root.iter(ARG)][4:6] == ["-object", "memory"]


def test_the_accelerator_is_the_domains_type() -> None:
    """Verify: TCG is libvirt's ``qemu``."""
    assert parsed("explicit").get("type") == "qemu"
    assert parsed("explicit", arguments=replace(ARGUMENTS, accel="kvm")).get("type") == "kvm"


def test_a_path_may_hold_what_xml_may_not() -> None:
    """Verify: quotes, brackets and ampersands come through, in attributes, elements and QEMU's words."""
    odd = Path("/a&b<c>'d\"e,f")
    root = parsed("explicit", arguments=replace(ARGUMENTS, vhost=odd, console=odd, qmp=odd, append="x=<&>"))
    assert root.find("devices/interface/source").get("path") == str(odd)  # type: ignore[union-attr]
    assert root.find("devices/serial/source").get("path") == str(odd)  # type: ignore[union-attr]
    assert (root.findtext("os/cmdline") or "").endswith("x=<&>")
    values = [arg.get("value") or "" for arg in root.iter(ARG)]
    assert f"socket,id=qmp,path={str(odd).replace(',', ',,')}" in values
