"""DPDK's testpmd as a switch: no root, no hugepages, no bridge.

In the forwarding mode ``icmpecho`` it answers ARP and ping for any address, so the guest has a peer to probe.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from reconnect.kit.deadline import Deadline
from reconnect.kit.errors import HostError
from reconnect.lab.backends import Backend, Endpoint
from reconnect.lab.faults import Fault
from reconnect.lab.process.child import Child
from reconnect.lab.process.failure import CellError
from reconnect.lab.process.lines import Line, LineReader
from reconnect.lab.process.stages import SocketWatch
from reconnect.lab.process.waiter import Waiter

PROGRAM = "dpdk-testpmd"

CONNECTING = "vhost-user client: socket created"
READY = "virtio is now ready for processing"
NEW_CONNECTION = "new vhost user connection is"
NEW_DEVICE = "new device, handle is"

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
    """

    __test__ = False  # not a test, whatever pytest thinks of its name

    program: str
    socket: Path
    client: bool
    prefix: str
    processors: tuple[int, ...]
    queue_pairs: int = 1
    extra: tuple[str, ...] = ()

    def argv(self) -> list[str]:
        """The whole command."""
        vdev = f"net_vhost0,iface={self.socket},queues={self.queue_pairs},client={int(self.client)}"
        # Two threads wherever we may run ourselves. Left alone, DPDK wants a processor of its own for each, numbered
        # below 128: it would not start in a container with one.
        threads = f"(0-1)@({','.join(map(str, self.processors))})"
        return [
            self.program,
            *("--lcores", threads),
            *("--no-huge", "-m", "256", "--no-pci", "--file-prefix", self.prefix, "--vdev", vdev),
            "--",
            *([f"--rxq={self.queue_pairs}", f"--txq={self.queue_pairs}"] if self.queue_pairs > 1 else []),
            *("--forward-mode=icmpecho", "--auto-start", "--total-num-mbufs=4096", "--no-mlockall", "--nb-cores=1"),
            # Without it testpmd ends when its input does. The statistics themselves are not wanted.
            "--stats-period=86400",
            *self.extra,
        ]


@dataclass
class _Incarnation:
    child: Child
    lines: LineReader
    told_to_end: bool = field(default=False)


class Testpmd(Backend):
    """testpmd.

    :param extra: see :class:`TestpmdArguments`.
    """

    __test__ = False
    name = "testpmd"

    def __init__(self, place: Endpoint, waiter: Waiter, queue_pairs: int = 1, extra: tuple[str, ...] = ()) -> None:
        super().__init__(place, waiter, queue_pairs)
        self._extra = extra
        self._incarnations: list[_Incarnation] = []

    @classmethod
    def require(cls) -> None:
        """See :meth:`Backend.require`."""
        if not shutil.which(PROGRAM):
            raise HostError(
                f"the backend testpmd needs {PROGRAM}, which is not on this machine",
                hint="apt-get install dpdk-dev librte-meta-net librte-meta-mempool",
            )

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
                self.waiter.wait(lambda: self._now.lines.first(CONNECTING), deadline, "testpmd to connect")
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
        )
        # DPDK takes the first for root and for systemd's services, the second for everybody else.
        env = {"RUNTIME_DIRECTORY": str(self.place.scratch), "XDG_RUNTIME_DIR": str(self.place.scratch)}
        child = Child("testpmd", arguments.argv(), self.waiter, subprocess.PIPE, env)
        log = self.place.logs / f"testpmd-{number}.log"
        self._incarnations.append(_Incarnation(child, LineReader(child.stream, log, self.waiter)))
        log.with_suffix(".cmd").write_text(f"{child.pasteable}\n", encoding="utf-8")
        return child.started

    def inject(self, fault: Fault, deadline: Deadline) -> float:
        """See :meth:`Backend.inject`."""
        now = self._now
        now.told_to_end = True
        at = now.child.send(fault.signal)
        now.child.wait(deadline, f"testpmd's end after {fault.signal.name}")
        now.lines.join()
        return at

    def send(self, number: signal.Signals) -> float:
        """See :meth:`Backend.send`."""
        return self._now.child.send(number)

    def handshake(self) -> float | None:
        """See :meth:`Backend.handshake`."""
        return handshake_in(self._now.lines.lines)

    def connections(self) -> int:
        """See :meth:`Backend.connections`."""
        return connections_in(self._now.lines.lines, self.place.listens)

    def check(self) -> None:
        """See :meth:`Backend.check`."""
        if self._incarnations and self._now.child.ended is not None and not self._now.told_to_end:
            self._now.lines.join()
            tail = self._now.lines.tail()
            said = f", having said: {_telling(self._now.lines.lines)}" if tail else ""
            raise CellError(f"testpmd ended by itself with {self._now.child.ending}{said}", [*tail, USUAL_CAUSES])

    def close(self) -> None:
        """See :meth:`Backend.close`."""
        for incarnation in self._incarnations:
            incarnation.told_to_end = True
            incarnation.child.kill()
            incarnation.lines.join()

    @property
    def _now(self) -> _Incarnation:
        return self._incarnations[-1]


def handshake_in(lines: Sequence[Line]) -> float | None:
    """When the log says that the handshake was finished first; the words are the same since DPDK 16.07."""
    return next((line.at for line in tuple(lines) if READY in line.text), None)


def connections_in(lines: Sequence[Line], listens: bool) -> int:
    """How many connections the log tells of. A server logs each, a client only the device that it makes of each."""
    sign = NEW_CONNECTION if listens else NEW_DEVICE
    return sum(sign in line.text for line in tuple(lines))


def _telling(lines: Sequence[Line]) -> str:
    """The line that most likely says why: testpmd's last words are a usage text or "Port 0 is closed"."""
    words = ("error", "cannot", "fail", "unrecognized", "invalid")
    said = [line.text.strip() for line in lines if line.text.strip() and not line.text.lstrip().startswith("--")]
    return next((text for text in said if any(word in text.lower() for word in words)), said[-1] if said else "nothing")
