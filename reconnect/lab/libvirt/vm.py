"""A virtual machine that libvirt starts from XML."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
from pathlib import Path
from xml.etree import ElementTree

import psutil

from reconnect.kit.command import pasteable
from reconnect.kit.deadline import Deadline
from reconnect.lab.libvirt.daemon import Libvirtd
from reconnect.lab.libvirt.domain import Domain
from reconnect.lab.libvirt.places import DOMAIN
from reconnect.lab.process.failure import CellError, CellFailed
from reconnect.lab.process.lines import tail_of
from reconnect.lab.process.waiter import Waiter
from reconnect.lab.qemu.virtual_machine import VirtualMachine, peer_pid

DESTROY_SECONDS = 30.0
VIRSH_SECONDS = 30.0
LIBVIRTS = re.compile(r"(\d{4}-\d\d-\d\d [0-9:.+]+: )?(starting up|shutting down|Domain id=)")
COMMAND = re.compile(r"(LC_ALL|PATH|HOME|USER|LOGNAME|XDG_\w+|TMPDIR|QEMU_AUDIO_DRV)=|-[a-z]|/\S+qemu\S* ")
SENT = "QEMU_MONITOR_IO_WRITE"
"""What libvirtd's log has at each write to QEMU's monitor: the bytes follow."""


class LibvirtVm(VirtualMachine):
    """One domain, defined and started on entering, destroyed and undefined on leaving: see :class:`VirtualMachine`.

    The folder takes ``domain.xml``, ``interface.xml``, and as ``live.xml`` what libvirt made of them.
    """

    def __init__(self, libvirtd: Libvirtd, domain: Domain, folder: Path, waiter: Waiter, start: Deadline) -> None:
        super().__init__(domain.arguments, folder, waiter, start)
        self._libvirtd = libvirtd
        self._domain = domain
        self._pid: int | None = None

    def _launch(self, stack: contextlib.ExitStack) -> None:
        xml = self._folder / "domain.xml"
        xml.write_text(self._domain.xml(), encoding="utf-8")
        self._libvirtd.ask("define", xml, deadline=self._start)
        stack.callback(self._collect)
        stack.callback(self._destroy)
        try:
            self._libvirtd.ask("start", DOMAIN, deadline=self._start)
        except CellError as failure:
            raise CellError(failure.what, [*failure.details, *self.said()]) from failure

    def said(self) -> list[str]:
        """QEMU's last lines: libvirt's log of the domain without libvirt's own lines."""
        return qemus_own(tail_of(self._libvirtd.places.qemu_logs / f"{DOMAIN}.log", 400))[-15:]

    def plug(self, deadline: Deadline) -> None:
        """Attach the interface.

        :raises CellError: libvirt or QEMU refused it.
        """
        xml = self._folder / "interface.xml"
        xml.write_text(self._domain.interface(), encoding="utf-8")
        try:
            self._libvirtd.ask("attach-device", DOMAIN, xml, "--live", deadline=deadline)
        except CellError:
            self.check_soon()
            raise

    def verify(self) -> None:
        """Compare what is in force with what the scheme says, in libvirt's XML and in what QEMU was told.

        QEMU's own default brings the network back too, so a recovery alone does not show that libvirt did its part.

        :raises CellFailed: the live or the stored XML, or QEMU's command, is not what it should be.
        """
        scheme = self._domain.scheme
        live = self._libvirtd.ask("dumpxml", DOMAIN, deadline=Deadline(VIRSH_SECONDS))
        (self._folder / "live.xml").write_text(live, encoding="utf-8")
        _expect("the live XML", reconnect_in(live), scheme.in_force)
        stored = self._libvirtd.ask("dumpxml", DOMAIN, "--inactive", deadline=Deadline(VIRSH_SECONDS))
        _expect("the stored XML", reconnect_in(stored), None if self._domain.attach else scheme.reconnect)
        _expect("what libvirt told QEMU", told_in(self._told()), scheme.in_force)

    @property
    def pid(self) -> int | None:
        """See :attr:`VirtualMachine.pid`."""
        return self._pid

    @property
    def ending(self) -> str:
        """See :attr:`VirtualMachine.ending`."""
        return "" if self._pid is None else self._libvirtd.ending(self._pid)

    def _connected(self, connection: socket.socket) -> None:
        self._pid = peer_pid(connection)
        with contextlib.suppress(psutil.Error):
            command = pasteable(psutil.Process(self._pid).cmdline())
            (self._folder / "qemu.cmd").write_text(f"{command}\n", encoding="utf-8")

    def _tell_to_quit(self, deadline: Deadline) -> None:
        self._libvirtd.ask("destroy", DOMAIN, deadline=deadline)

    def _told(self) -> str:
        """All that QEMU was told of its vhost-user socket: on its command line, or later through its monitor."""
        if not self._domain.attach:
            return (self._folder / "qemu.cmd").read_text(encoding="utf-8")
        log = self._libvirtd.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(line for line in log.splitlines() if SENT in line and "chardev-add" in line)

    def _destroy(self) -> None:
        # It may be gone: a cell that ends well has destroyed it, and a libvirtd that died takes its QEMUs along.
        with contextlib.suppress(CellError):
            if not self._told_to_quit:
                self._libvirtd.ask("destroy", DOMAIN, deadline=Deadline(DESTROY_SECONDS))
        self._told_to_quit = True
        with contextlib.suppress(CellError):
            self._libvirtd.ask("undefine", DOMAIN, deadline=Deadline(VIRSH_SECONDS))

    def _collect(self) -> None:
        with contextlib.suppress(OSError):
            shutil.copyfile(self._libvirtd.places.qemu_logs / f"{DOMAIN}.log", self.log)


def qemus_own(lines: list[str]) -> list[str]:
    """The lines that QEMU wrote itself: without libvirt's, and without the command that it begins with."""
    return [line for line in lines if not LIBVIRTS.match(line) and not COMMAND.match(line)]


def reconnect_in(xml: str) -> int | None:
    """Seconds of ``<reconnect>`` of a domain's vhostuser interface: 0 where it is off, None where there is none."""
    domain = ElementTree.fromstring(xml)  # noqa: S314  # of a libvirtd that we started
    element = domain.find(".//interface[@type='vhostuser']/source/reconnect")
    if element is None:
        return None
    return int(element.get("timeout", "0")) if element.get("enabled") == "yes" else 0


def told_in(text: str) -> int | None:
    """Seconds of ``reconnect`` in QEMU's command line (``reconnect=1``) or in a command of its monitor, in JSON."""
    found = re.search(r"\breconnect(?:=|\\?\": ?)(\d+)", text)
    return int(found[1]) if found else None


def _expect(where: str, seconds: int | None, expected: int | None) -> None:
    if seconds != expected:
        raise CellFailed(f"{where} says {_worded(seconds)}, and should say {_worded(expected)}")


def _worded(seconds: int | None) -> str:
    return "no reconnect setting" if seconds is None else f"reconnect {seconds}"
