"""What this machine can run, what it lacks, and the exact command that mends each."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reconnect.kit import sockets
from reconnect.kit.errors import ReconnectError
from reconnect.lab.libvirt import places
from reconnect.lab.qemu.accel import check_accelerator
from reconnect.project import packages
from reconnect.project.workspace import Workspace
from reconnect.toolchain.apt import ETC

OK = "ok"
NOTE = "note"
BAD = "missing"

DISK_MIB = 6000
"""Room for both QEMU builds of one stack, the caches, and a run."""

MEMORY_MIB = 2048
"""A guest, a switch, and one compiler job."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: ``ok``, ``note`` (something is not possible, nothing needs it), ``missing``."""

    what: str
    state: str
    detail: str
    mend: str = ""


def examine(workspace: Workspace) -> list[Finding]:
    """Look at everything that a run needs."""
    return [*_packages(workspace), *_machine(workspace), *_libvirt(workspace), *_privileges(), *_network(workspace)]


def _packages(workspace: Workspace) -> Iterator[Finding]:
    listed = [p for p in packages.read(workspace.packages) if p.section != packages.IMAGE]
    gone = packages.missing(listed)
    for section in dict.fromkeys(p.section for p in listed):
        here = [p.name for p in gone if p.section == section]
        if here:
            mend = f"apt-get install --no-install-recommends {' '.join(here)}"
            state = NOTE if section == packages.CHECKS else BAD
            yield Finding(f"Debian packages [{section}]", state, ", ".join(here), mend)
        else:
            yield Finding(f"Debian packages [{section}]", OK, f"{sum(p.section == section for p in listed)} installed")


def _machine(workspace: Workspace) -> Iterator[Finding]:
    yield Finding("processors", OK, f"{os.cpu_count()} ({platform.machine()})")
    if platform.machine() != "x86_64":
        yield Finding("architecture", BAD, f"{platform.machine()}: the guests are x86_64", "use an x86_64 host")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    yield _enough("memory", memory, MEMORY_MIB, "use a machine with more memory")
    free = shutil.disk_usage(workspace.root).free // 2**20
    yield _enough("disk below build/", free, DISK_MIB, "make room, or use a checkout on another disk")
    shm = shutil.disk_usage("/dev/shm").free // 2**20 if Path("/dev/shm").is_dir() else 0
    yield _enough("shared memory in /dev/shm", shm, 512, "mount -o remount,size=1G /dev/shm")
    try:
        sockets.checked(Path(tempfile.gettempdir()) / "reconnect-12345678" / "0123456789.sock")
        yield Finding("unix sockets", OK, f"below {tempfile.gettempdir()}")
    except ReconnectError as error:
        yield Finding("unix sockets", BAD, error.why, error.hint)


def _libvirt(workspace: Workspace) -> Iterator[Finding]:
    try:
        places.require(workspace.state)
        yield Finding("libvirt", OK, f"a {places.driver()}'s libvirtd can be run")
    except ReconnectError as error:
        yield Finding("libvirt", BAD, error.what, error.hint)


def _privileges() -> Iterator[Finding]:
    who = "root" if os.geteuid() == 0 else f"uid {os.geteuid()}"
    yield Finding("privileges", OK, f"{who}; testpmd and the guests need none")
    try:
        check_accelerator("kvm")
        yield Finding("KVM", OK, "a guest runs under it; the tests run under TCG")
    except ReconnectError as error:
        what = error.what.removeprefix("KVM was asked for, and ")
        yield Finding("KVM", NOTE, f"{what}; the tests run under TCG")


def _network(workspace: Workspace) -> Iterator[Finding]:
    state = "offline by RECONNECT_OFFLINE" if workspace.settings.offline else "allowed"
    yield Finding("network", OK, state)
    lists = [*(ETC / "sources.list.d").glob("*.sources"), *(ETC / "sources.list.d").glob("*.list")]
    if not lists and not (ETC / "sources.list").is_file():
        yield Finding("apt sources", BAD, f"{ETC} names no mirror", "give apt a Debian 12 mirror")
    else:
        yield Finding("apt sources", OK, "derived from the machine's own")
    tagged = (workspace.settings.cache / "CACHEDIR.TAG").is_file()
    size = f"{_mib(workspace.settings.cache)} MiB" if tagged else "empty"
    yield Finding("cache", OK, f"{workspace.settings.cache} ({size})")


def _enough(what: str, have: int, need: int, mend: str) -> Finding:
    detail = f"{have} MiB, {need} MiB needed"
    return Finding(what, OK, detail) if have >= need else Finding(what, BAD, detail, mend)


def _mib(folder: Path) -> int:
    return sum(p.lstat().st_size for p in folder.rglob("*") if p.is_file()) // 2**20
