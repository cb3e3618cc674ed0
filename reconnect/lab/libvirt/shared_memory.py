"""Guest memory that the backend can map, as a domain asks libvirt for it.

vhost-user needs shared memory. Every libvirt gives it with hugepages; without them libvirt has known of ``memfd``
since 4.10, and an older one refuses ("Shared memory mapping is supported only with hugepages"): there it is asked of
QEMU directly, past libvirt. Which it was, and why, goes into the results.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from reconnect.lab.process.rundir import held_folder
from reconnect.lab.qemu.memory_backend import memory_folder

PAGE_KIB = 2048
FREE = Path(f"/sys/kernel/mm/hugepages/hugepages-{PAGE_KIB}kB/free_hugepages")
MOUNTS = Path("/proc/mounts")
MEMFD_SINCE = (4, 10)


@dataclass(frozen=True)
class SharedMemory:
    """How a domain gets its memory.

    :param kind: ``hugepages``, ``memfd`` or ``file``.
    :param why: why it is this one.
    :param backing: XML inside of the domain.
    :param cpu: the same, where memory belongs to a NUMA node.
    :param arguments: words for QEMU that libvirt passes on as they are.
    :param settings: what qemu.conf needs for it.
    """

    kind: str
    why: str
    backing: str = ""
    cpu: str = ""
    arguments: tuple[str, ...] = ()
    settings: dict[str, str | list[str]] = field(default_factory=lambda: {"hugetlbfs_mount": []})

    def __str__(self) -> str:
        return f"{self.kind}: {self.why}"


@contextmanager
def shared_memory(mib: int, libvirt_version: str) -> Iterator[SharedMemory]:
    """The best that machine and libvirt can do; what was made for it is removed afterwards."""
    lack = hugepages_lack(mib)
    if not lack:
        mount = _mount()
        assert mount is not None, "hugepages_lack() has found it"
        with held_folder(mount) as folder:
            yield _hugepages(mib, folder)
    elif version(libvirt_version) >= MEMFD_SINCE:
        backing = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"
        yield SharedMemory("memfd", lack, backing=backing)
    else:
        size = f"size={mib}M,mem-path={memory_folder(mib)},share=on"
        older = f"libvirt {libvirt_version.removeprefix('v')}"
        why = f"{lack}, and without them {older} shares no memory: QEMU is told directly"
        memory = ("-object", f"memory-backend-file,id=memory,{size}", "-numa", "node,memdev=memory")
        yield SharedMemory("file", why, arguments=memory)


def hugepages_lack(mib: int, free: Path = FREE, mounts: Path = MOUNTS) -> str:
    """Why there can be no hugepages for a guest; empty where there can."""
    need = -(-mib * 1024 // PAGE_KIB)
    have = int(free.read_text(encoding="ascii")) if free.is_file() else 0
    if have < need:
        return f"{have} hugepages of {PAGE_KIB // 1024} MiB are free, {need} are needed"
    return "" if _mount(mounts) else "no hugetlbfs is mounted where we may write"


def version(text: str) -> tuple[int, int]:
    """The first two numbers of a version: of ``9.0.0-4+deb12u2``, (9, 0); neither an epoch nor a tag's ``v`` counts."""
    found = re.match(r"v?(?:\d+:)?(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _mount(mounts: Path = MOUNTS) -> Path | None:
    """A file system of hugepages of our size that we may write to."""
    for line in mounts.read_text(encoding="utf-8").splitlines():
        _, where, kind, options, *_ = line.split()
        size = next((o.removeprefix("pagesize=") for o in options.split(",") if o.startswith("pagesize=")), "2M")
        if kind == "hugetlbfs" and size == f"{PAGE_KIB // 1024}M" and os.access(where, os.W_OK):
            return Path(where)
    return None


def _hugepages(mib: int, folder: Path) -> SharedMemory:
    page = f"<page size='{PAGE_KIB}' unit='KiB'/>"
    cell = f"<cell id='0' cpus='0' memory='{mib}' unit='MiB' memAccess='shared'/>"
    return SharedMemory(
        "hugepages",
        f"this machine has them free, at {folder.parent}",
        backing=f"<memoryBacking><hugepages>{page}</hugepages></memoryBacking>",
        cpu=f"<cpu><numa>{cell}</numa></cpu>",
        settings={"hugetlbfs_mount": str(folder)},
    )
