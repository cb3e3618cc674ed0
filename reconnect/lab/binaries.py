"""What the lab is given: paths of binaries and where they come from. The lab never builds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Qemu:
    """One build of QEMU.

    :param name: the component, for example ``qemu-7.2``.
    :param version: the exact version of the source.
    :param binary: ``qemu-system-x86_64``.
    :param data: folders with BIOS images, for ``-L``; none where the binary finds its own.
    :param commit: the commit id of the patched source.
    :param series: names of the patches that are applied.
    :param tree: the tree id of the patched source.
    :param environment: words ``NAME=value`` that it is started with.
    """

    name: str
    version: str
    binary: Path
    data: tuple[Path, ...]
    commit: str
    series: tuple[str, ...]
    tree: str
    environment: tuple[str, ...] = ()


@dataclass(frozen=True)
class Libvirt:
    """One build of libvirt.

    :param version: the exact version of the source.
    :param prefix: its install folder, with ``sbin/libvirtd`` and ``bin/virsh``.
    :param state: the folder that root's libvirtd keeps everything in: compiled into it.
    """

    name: str
    version: str
    prefix: Path
    state: Path

    @property
    def daemon(self) -> Path:
        """The program libvirtd."""
        return self.prefix / "sbin" / "libvirtd"

    @property
    def virsh(self) -> Path:
        """The program virsh."""
        return self.prefix / "bin" / "virsh"


@dataclass(frozen=True)
class OpenVswitch:
    """Open vSwitch with DPDK, unpacked from its packages.

    :param version: of the packages, for example ``3.1.0-2+deb12u1``.
    :param root: the folder that takes the place of ``/``.
    """

    version: str
    root: Path

    @property
    def vswitchd(self) -> Path:
        """The switch itself."""
        return self.root / "usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"

    @property
    def schema(self) -> Path:
        """The schema of its database."""
        return self.root / "usr/share/openvswitch/vswitch.ovsschema"

    def program(self, name: str) -> Path:
        """One of its tools."""
        return self.root / ("usr/sbin" if name == "ovsdb-server" else "usr/bin") / name


@dataclass(frozen=True)
class Binaries:
    """The two builds of QEMU that a run compares, started with the same arguments, and what may start them.

    :param baseline: the series without the reconnect feature; the scheme ``baseline`` runs it.
    :param patched: the whole series; every other scheme runs it.
    :param libvirt: None where no cell of the run goes through libvirt.
    :param ovs: None where no cell of the run has that backend.
    """

    baseline: Qemu
    patched: Qemu
    libvirt: Libvirt | None = None
    ovs: OpenVswitch | None = None

    def with_environment(self, environment: tuple[str, ...]) -> Binaries:
        """The same, with QEMU started with these words ``NAME=value`` as well."""
        baseline, patched = (
            replace(qemu, environment=(*qemu.environment, *environment)) for qemu in (self.baseline, self.patched)
        )
        return replace(self, baseline=baseline, patched=patched)
