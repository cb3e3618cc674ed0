"""The ways in which QEMU and the switch find each other, and what each must show."""

from __future__ import annotations

from dataclasses import dataclass

from reconnect.lab.binaries import Binaries, Qemu


@dataclass(frozen=True)
class Scheme:
    """One scheme.

    :param name: as on the command line and in results.json.
    :param chardev: options that it adds to QEMU's vhost-user chardev.
    :param expected: ``recovers`` or ``dead``.
    :param qemu_listens: QEMU is the server and the switch connects.
    :param patched: it runs the whole series; otherwise the series without the reconnect feature.
    """

    name: str
    chardev: tuple[str, ...]
    expected: str
    qemu_listens: bool = False
    patched: bool = True

    def qemu(self, binaries: Binaries) -> Qemu:
        """The build of QEMU that this scheme runs."""
        return binaries.patched if self.patched else binaries.baseline


SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme("baseline", (), "dead", patched=False),
        # "nowait" instead of "wait=off": QEMU 2.7 knows no other spelling, and 7.2 still takes it.
        Scheme("server", ("server", "nowait"), "recovers", qemu_listens=True),
        Scheme("default", (), "recovers"),
        Scheme("explicit", ("reconnect=1",), "recovers"),
    )
}
