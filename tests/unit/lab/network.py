"""A guest and a switch without either: a thread that sends probes and answers them, and real sockets between the two.

What a cell judges by is real: the waiter and its deadlines, the record of probes, the watch of the sockets, a process's
figures. Unless it is told otherwise this network goes down at the fault, and recovers.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self, cast

import psutil

from reconnect.kit.deadline import Deadline
from reconnect.lab.backends import Backend, Endpoint
from reconnect.lab.boot import Booted
from reconnect.lab.faults import Fault
from reconnect.lab.options import Options
from reconnect.lab.probe.log import ProbeRecord
from reconnect.lab.process.failure import CellError
from reconnect.lab.process.waiter import Waiter
from reconnect.lab.qemu.virtual_machine import VirtualMachine

TICK_SECONDS = 0.005
OPTIONS = Options(interval_us=50_000, steady=5, lost=5, boot=2.0, fault=2.0, recovery=2.0, dead=0.5)
"""A busy host must not end a wait of a good network; its threads are slower than a tick, so few probes are expected."""


class Network:
    """The guest's probes, QEMU's end of the socket, and the switch's.

    :ivar dies: at its fault.
    :ivar listens: again, after its restart.
    :ivar connects: QEMU, to a switch that listens.
    :ivar accept_at_once: the switch, before anybody can stop it.
    :ivar recovers: probes are answered when the connection is accepted.
    :ivar gaps: after the restart, each so many probes one is not answered; 0: none.
    :ivar sends: the guest sends probes.
    :ivar made: connections that the switch tells of.
    :ivar status: the answer of QEMU's monitor, and the seconds that it takes.
    """

    def __init__(self, folder: Path) -> None:
        self.dies = self.listens = self.connects = self.recovers = self.sends = True
        self.accept_at_once = False
        self.gaps = 0
        self.made = 1
        self.status: object = {"status": "running"}
        self.slow = 0.0
        self.gone: Exception | None = None
        self.waiter = Waiter()
        self.record = ProbeRecord()
        self.socket = folder / "vhost.sock"
        self._folder = folder
        self._answers = True
        self._stopped = False
        self._listener: socket.socket | None = None
        self._ends: list[socket.socket] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for end in [*self._ends, *([self._listener] if self._listener else [])]:
            end.close()

    def booted(self, options: Options = OPTIONS) -> Booted:
        """It, as a cell has it."""
        place = Endpoint(self.socket, True, self._folder, self._folder)
        backend = SimpleNamespace(
            place=place,
            start=lambda _: time.monotonic(),
            check=lambda: None,
            inject=self._inject,
            launch=self._launch,
            send=self._send,
            handshake=lambda: None,
            connections=lambda: self.made,
        )
        return Booted(cast("Backend", backend), cast("VirtualMachine", _Vm(self)), self.record, self.waiter, options)

    def _inject(self, fault: Fault, deadline: Deadline) -> float:
        self._answers = not self.dies
        # One that is to be stopped as soon as it listens accepts nobody before, however late SIGSTOP comes.
        self._stopped = bool(fault.hold)
        return time.monotonic()

    def _launch(self) -> float:
        if self.listens:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(self.socket))
            listener.listen()
            listener.setblocking(False)
            if self.accept_at_once:
                self._connect()
                self._ends.append(listener.accept()[0])
            self._listener = listener
        return time.monotonic()

    def _send(self, number: signal.Signals) -> float:
        self._stopped = number == signal.SIGSTOP
        return time.monotonic()

    def _connect(self) -> None:
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(self.socket))
        self._ends.append(client)

    def _run(self) -> None:
        sent = 0
        while not self._over.wait(TICK_SECONDS):
            if self._listener is not None:
                self._recover(self._listener)
            if self.sends:
                sent += 1
                now = time.monotonic()
                self.record.add(f"s {sent} {int(now * 1e6)}", now)
                if self._answers and not (self._listener and self.gaps and sent % self.gaps == 0):
                    self.record.add(f"a {sent} 0 {int(now * 1e6)}", now)
            self.waiter.notify()

    def _recover(self, listener: socket.socket) -> None:
        if self.connects and not self._ends:
            self._connect()
        elif self._ends and not self._stopped:
            with contextlib.suppress(BlockingIOError):
                self._ends.append(listener.accept()[0])
            if len(self._ends) > 1:
                self._answers = self._answers or self.recovers


class _Vm:
    """QEMU: this process, for its figures."""

    def __init__(self, network: Network) -> None:
        self._network = network

    @property
    def process(self) -> psutil.Process:
        if self._network.gone:
            raise self._network.gone
        return psutil.Process()

    @property
    def record(self) -> ProbeRecord:
        return self._network.record

    def check_soon(self) -> None:
        """It lives."""

    def execute(self, command: str, deadline: Deadline, **_: Any) -> object:
        """Its status."""
        assert command == "query-status"
        time.sleep(self._network.slow)
        if isinstance(self._network.status, CellError):
            raise self._network.status
        return self._network.status

    def quit(self) -> None:
        """It ends well."""
