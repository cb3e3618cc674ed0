"""The ways in which QEMU and the switch find each other, and what each must show."""

from __future__ import annotations

from dataclasses import dataclass

from reconnect.lab.binaries import Binaries, Qemu

QEMU, LIBVIRT, ATTACH = "qemu", "libvirt", "attach"
LAUNCHERS = (QEMU, LIBVIRT, ATTACH)
"""Who starts the guest: we call QEMU; libvirt does, from XML; the same, with the interface attached after the boot."""


@dataclass(frozen=True)
class Scheme:
    """One scheme.

    :param name: as on the command line and in results.json.
    :param chardev: options that it adds to QEMU's vhost-user chardev.
    :param expected: ``recovers`` or ``dead``.
    :param qemu_listens: QEMU is the server and the switch connects.
    :param patched: it runs the whole series; otherwise the series without the reconnect feature.
    :param reconnect: seconds of ``<reconnect>`` in the interface's XML; None: the XML says nothing.
    :param policy: seconds of ``vhostuser_reconnect_timeout`` in qemu.conf; None: it says nothing.
    :param launchers: who can start its guest; the first one does where nobody is asked for.
    """

    name: str
    chardev: tuple[str, ...]
    expected: str
    qemu_listens: bool = False
    patched: bool = True
    reconnect: int | None = None
    policy: int | None = None
    launchers: tuple[str, ...] = LAUNCHERS

    def qemu(self, binaries: Binaries) -> Qemu:
        """The build of QEMU that this scheme runs."""
        return binaries.patched if self.patched else binaries.baseline

    @property
    def qemu_conf(self) -> dict[str, int]:
        """What it sets in libvirt's qemu.conf."""
        return {"vhostuser_reconnect_timeout": self.policy} if self.policy is not None else {}

    @property
    def in_force(self) -> int | None:
        """Seconds that libvirt must ask QEMU for; None: libvirt must say nothing of it."""
        return self.policy if self.reconnect is None else self.reconnect


SCHEMES = {
    scheme.name: scheme
    for scheme in (
        # Not attached: QEMU 2.7.1 without the series crashes there (it reads options that a hot-plugged chardev lacks).
        Scheme("baseline", (), "dead", patched=False, launchers=(QEMU, LIBVIRT)),
        # "nowait" instead of "wait=off": QEMU 2.7 knows no other spelling, and 7.2 still takes it.
        Scheme("server", ("server", "nowait"), "recovers", qemu_listens=True),
        Scheme("default", (), "recovers"),
        Scheme("explicit", ("reconnect=1",), "recovers", reconnect=1),
        Scheme("policy", (), "recovers", policy=1, launchers=(LIBVIRT, ATTACH)),
    )
}
