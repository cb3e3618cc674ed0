"""The guest: Debian's cloud kernel, busybox and the probe, in an initramfs of about two megabytes.

Kernel and busybox come from their Debian packages, unpacked aside: nothing is installed on the host. The image is
cached in a folder that is named by the hash of everything that goes into it, and appears whole or not at all.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from reconnect.kit import command
from reconnect.kit.command import CommandError
from reconnect.kit.errors import HostError, ReconnectError, SourceError
from reconnect.lab.guest.cpio import Archive
from reconnect.lab.probe import AGENT, INIT, SOURCE

MODULES = (
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
)
"""The drivers of the network card, in the order in which they must be loaded."""

KERNEL = "vmlinuz"
INITRAMFS = "initramfs.gz"
VERSION = "version"


@dataclass(frozen=True)
class Guest:
    """A bootable guest.

    :param kernel_version: as ``uname -r`` says it.
    """

    kernel: Path
    initramfs: Path
    kernel_version: str


def build_guest(kernel_deb: Path, busybox_deb: Path, into: Path) -> Guest:
    """Make the guest's image, or find it made.

    :param kernel_deb: a ``linux-image-<version>-cloud-amd64`` package.
    :param busybox_deb: a ``busybox-static`` package.
    :param into: folder of the images; each gets one of its own in it.
    :raises HostError: there is no C compiler, no static C library, or no dpkg-deb.
    :raises SourceError: a package does not hold what it should.
    """
    folder = into / _key(kernel_deb, busybox_deb)
    if not folder.is_dir():
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=into) as scratch:
            image = Path(scratch) / "image"
            image.mkdir()
            _make(kernel_deb, busybox_deb, Path(scratch), image)
            try:
                image.rename(folder)
            except OSError:
                # Somebody else made the same image meanwhile: theirs is as good.
                if not folder.is_dir():
                    raise
    return Guest(folder / KERNEL, folder / INITRAMFS, (folder / VERSION).read_text(encoding="utf-8").strip())


def compile_probe(into: Path) -> Path:
    """Compile the probe; static, because the guest has no C library.

    :param into: the program to write.
    """
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not compiler:
        raise HostError(
            "there is no C compiler for the guest's probe", hint="apt-get install gcc libc6-dev linux-libc-dev"
        )
    try:
        command.run([compiler, "-static", "-O2", "-Wall", "-o", into, SOURCE], timeout=120)
    except CommandError as error:
        raise HostError(
            "the guest's probe does not compile",
            why=str(error),
            hint="its headers and the static C library are in: apt-get install libc6-dev linux-libc-dev",
        ) from error
    return into


def _make(kernel_deb: Path, busybox_deb: Path, scratch: Path, image: Path) -> None:
    kernel_root, busybox_root = _unpacked(kernel_deb, scratch / "kernel"), _unpacked(busybox_deb, scratch / "busybox")
    kernel = _only(kernel_root, "boot/vmlinuz-*", kernel_deb)
    version = kernel.name.removeprefix("vmlinuz-")
    archive = Archive()
    for name in ("bin", "dev", "proc", "sys", "modules"):
        archive.folder(name)
    # The kernel opens the console for init before init can mount anything.
    archive.character_device("dev/console", 5, 1)
    archive.file("bin/busybox", _only(busybox_root, "*bin/busybox", busybox_deb).read_bytes(), 0o755)
    archive.symlink("bin/sh", "busybox")
    archive.file("bin/probe", compile_probe(scratch / "probe").read_bytes(), 0o755)
    archive.file("bin/agent", AGENT.read_bytes())
    archive.file("init", INIT.read_bytes(), 0o755)
    for name in MODULES:
        archive.file(f"modules/{name}.ko", _module(kernel_root, version, name, kernel_deb))
    archive.file("modules/order", "".join(f"{name}.ko\n" for name in MODULES).encode())
    shutil.copyfile(kernel, image / KERNEL)
    (image / INITRAMFS).write_bytes(gzip.compress(archive.finish(), compresslevel=6, mtime=0))
    (image / VERSION).write_text(f"{version}\n", encoding="utf-8")


def _unpacked(deb: Path, into: Path) -> Path:
    try:
        command.run(["dpkg-deb", "-x", deb, into], timeout=300)
    except CommandError as error:
        if not shutil.which("dpkg-deb"):
            raise HostError("dpkg-deb is not on this machine", hint="apt-get install dpkg") from error
        raise SourceError(f"{deb.name} cannot be unpacked", why=str(error), hint=f"remove {deb} and fetch") from error
    return into


def _only(root: Path, pattern: str, deb: Path) -> Path:
    found = [p for p in root.glob(pattern) if p.is_file()] or [p for p in root.glob(f"*/{pattern}") if p.is_file()]
    if len(found) != 1:
        raise SourceError(f"{deb.name} has not exactly one {pattern}, but {len(found)}")
    return found[0]


def _module(root: Path, version: str, name: str, deb: Path) -> bytes:
    modules = next(root.glob(f"**/lib/modules/{version}"), root)
    found = sorted(modules.rglob(f"{name}.ko*"))
    if not found:
        raise SourceError(f"{deb.name} has no module {name}", hint="it must be a linux-image-*-cloud-amd64 package")
    data = found[0].read_bytes()
    if found[0].suffix == ".xz":
        return lzma.decompress(data)
    if found[0].suffix != ".ko":
        raise ReconnectError(f"module {found[0].name} is compressed in a way that this project doesn't know")
    return data


def _key(kernel_deb: Path, busybox_deb: Path) -> str:
    """The hash of all inputs: both packages, and everything of ours that is or shapes the image."""
    digest = hashlib.sha256()
    here = Path(__file__)
    for path in (kernel_deb, busybox_deb, SOURCE, INIT, AGENT, here, here.with_name("cpio.py")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    digest.update(os.uname().machine.encode())
    return digest.hexdigest()[:16]
