"""DPDK's testpmd as a switch: no root, no hugepages, no bridge.

In the forwarding mode ``icmpecho`` it answers ARP and ping for any address, so the guest has a peer to probe.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from reconnect.kit.deadline import Deadline
from reconnect.kit.errors import HostError
from reconnect.lab.backends import Endpoint
from reconnect.lab.backends.program import CONNECTING, Incarnation, ProgramBackend
from reconnect.lab.backends.wakeport import WakePort
from reconnect.lab.binaries import Binaries
from reconnect.lab.process.child import Child
from reconnect.lab.process.lines import LineReader
from reconnect.lab.process.stages import SocketWatch
from reconnect.lab.process.waiter import Waiter

PROGRAM = "dpdk-testpmd"

USUAL_CAUSES = (
    "usual causes: the socket's path is taken, too little memory (it needs 256 MiB), a DPDK driver package is "
    "missing (librte-meta-net, librte-meta-mempool)"
)


@dataclass(frozen=True)
class TestpmdArguments:
    """testpmd's command line.

    :param socket: path of the vhost-user socket.
    :param client: testpmd connects to QEMU instead of listening.
    :param prefix: names its files in the runtime directory.
    :param processors: those that its two threads (control, and a forwarder that polls) may run on.
    :param queue_pairs: queue pairs.
    :param extra: more words for the application's part, for experiments.
    :param wake: socket of a wake port: see :mod:`reconnect.lab.backends.wakeport`.
    """

    __test__ = False  # not a test, whatever pytest thinks of its name

    program: str
    socket: Path
    client: bool
    prefix: str
    processors: tuple[int, ...]
    queue_pairs: int = 1
    extra: tuple[str, ...] = ()
    wake: Path | None = None

    def argv(self) -> list[str]:
        """The whole command."""
        vdev = f"net_vhost0,iface={self.socket},queues={self.queue_pairs},client={int(self.client)}"
        # Last: DPDK's thread must look at the listener of the first when this one wakes it.
        wake = ["--vdev", f"net_vhost1,iface={self.wake},queues=1,client=1"] if self.wake else []
        # Two threads wherever we may run ourselves. Left alone, DPDK wants a processor of its own for each, numbered
        # below 128: it would not start in a container with one.
        threads = f"(0-1)@({','.join(map(str, self.processors))})"
        return [
            self.program,
            *("--lcores", threads),
            *("--no-huge", "-m", "256", "--no-pci", "--file-prefix", self.prefix, "--vdev", vdev, *wake),
            "--",
            *([f"--rxq={self.queue_pairs}", f"--txq={self.queue_pairs}"] if self.queue_pairs > 1 else []),
            *("--forward-mode=icmpecho", "--auto-start", "--total-num-mbufs=4096", "--no-mlockall", "--nb-cores=1"),
            # Without it testpmd ends when its input does. The statistics themselves are not wanted.
            "--stats-period=86400",
            *self.extra,
        ]


class Testpmd(ProgramBackend):
    """testpmd.

    The option ``wake``: with a wake port it accepts a connection at once. Where QEMU listens there is nothing to wake.

    :param extra: see :class:`TestpmdArguments`.
    """

    __test__ = False
    name = "testpmd"
    causes = USUAL_CAUSES
    OPTIONS = MappingProxyType({"wake": ("off", "on")})

    def __init__(self, place: Endpoint, waiter: Waiter, queue_pairs: int = 1, extra: tuple[str, ...] = ()) -> None:
        super().__init__(place, waiter, queue_pairs)
        self._extra = extra
        self._incarnations: list[Incarnation] = []
        self._wake: WakePort | None = None

    @classmethod
    def require(cls) -> None:
        """See :meth:`Backend.require`."""
        if not shutil.which(PROGRAM):
            raise HostError(
                f"the backend testpmd needs {PROGRAM}, which is not on this machine",
                hint="apt-get install dpdk-dev librte-meta-net librte-meta-mempool",
            )

    def configure(self, binaries: Binaries, options: Mapping[str, str]) -> None:  # noqa: ARG002  # Backend has it
        """See :meth:`Backend.configure`."""
        if options["wake"] == "on" and self.place.listens:
            self._wake = WakePort(self.place.scratch / "wake.sock")

    @property
    def incarnations(self) -> Sequence[Incarnation]:
        """See :class:`ProgramBackend`."""
        return self._incarnations

    def close(self) -> None:
        """See :meth:`Backend.close`."""
        super().close()
        if self._wake is not None:
            self._wake.close()

    def start(self, deadline: Deadline) -> float:
        """See :meth:`Backend.start`."""
        with ExitStack() as stack:
            # "binding succeeded" in its log comes before it listens: whoever connects in between is refused.
            watch = SocketWatch(self.place.socket, self.waiter)
            stack.callback(watch.close)
            started = self.launch()
            stack.enter_context(self.waiter.guard(self.check))
            if self.place.listens:
                self.waiter.wait(lambda: watch.listening, deadline, "testpmd to listen")
            else:
                self.waiter.wait(lambda: self.now.lines.first(CONNECTING), deadline, "testpmd to connect")
        return started

    def launch(self) -> float:
        """See :meth:`Backend.launch`."""
        if self.place.listens:
            self.place.remove_stale_socket()
        number = len(self._incarnations) + 1
        arguments = TestpmdArguments(
            program=shutil.which(PROGRAM) or PROGRAM,
            socket=self.place.socket,
            client=not self.place.listens,
            prefix=f"lab{number}",
            processors=tuple(sorted(os.sched_getaffinity(0))),
            queue_pairs=self.queue_pairs,
            extra=self._extra,
            wake=self._wake.renewed() if self._wake else None,
        )
        # DPDK takes the first for root and for systemd's services, the second for everybody else.
        env = {"RUNTIME_DIRECTORY": str(self.place.scratch), "XDG_RUNTIME_DIR": str(self.place.scratch)}
        child = Child("testpmd", arguments.argv(), self.waiter, subprocess.PIPE, env)
        log = self.place.logs / f"testpmd-{number}.log"
        self._incarnations.append(Incarnation(child, LineReader(child.stream, log, self.waiter)))
        log.with_suffix(".cmd").write_text(f"{child.pasteable}\n", encoding="utf-8")
        return child.started
