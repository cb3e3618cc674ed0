"""What QEMU holds, read from its process at one moment, and the figures that come of two of them."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil

from reconnect.lab.process.failure import CellError
from reconnect.lab.qemu.virtual_machine import VirtualMachine
from reconnect.report.results import QemuFigures


@dataclass(frozen=True)
class ResourceUsage:
    """What QEMU holds at one moment.

    :param anonymous_kib: of ``rss_kib``, without the guest's memory and other files.
    :param cpu: seconds of processor time so far.
    :param at: when it was read, in seconds of the monotonic clock.
    """

    fds: int
    threads: int
    rss_kib: int
    anonymous_kib: int
    cpu: float
    at: float


def usage_of(vm: VirtualMachine) -> ResourceUsage:
    """Read what QEMU holds now.

    :raises CellError: it can't be read; where QEMU's end explains that, with its last words.
    """
    try:
        process = vm.process
        with process.oneshot():
            times, memory = process.cpu_times(), process.memory_info()
            return ResourceUsage(
                fds=process.num_fds(),
                threads=process.num_threads(),
                rss_kib=memory.rss // 1024,
                anonymous_kib=(memory.rss - memory.shared) // 1024,
                cpu=times.user + times.system,
                at=time.monotonic(),
            )
    except psutil.Error as error:
        vm.check_soon()
        raise CellError(f"QEMU's figures can't be read: {error}") from error


def figures_of(
    before: ResourceUsage, after: ResourceUsage, outage: tuple[ResourceUsage, ResourceUsage] | None = None
) -> QemuFigures:
    """The figures of a cell for its result.

    :param outage: at its beginning and at its end; without it no share of a processor is told.
    """
    start, end = outage or (before, before)
    seconds = end.at - start.at
    percent = 100 * (end.cpu - start.cpu) / seconds if seconds > 0 else 0.0
    return QemuFigures(
        fds_before=before.fds,
        fds_after=after.fds,
        rss_kib_before=before.rss_kib,
        rss_kib_after=after.rss_kib,
        cpu_percent_in_outage=round(percent, 1),
        threads_before=before.threads,
        threads_after=after.threads,
    )
