"""A virtual machine as a context manager, whoever starts it.

QEMU connects its monitor and the probe's serial port to sockets that we listen at, so that nothing is polled for:
either QEMU connects, or it ends, and both are events. Its output and the guest's console go to files.
"""

from __future__ import annotations

import abc
import contextlib
import os
import select
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from reconnect.kit.deadline import Deadline
from reconnect.kit.sockets import checked
from reconnect.lab.probe.agent import Agent
from reconnect.lab.probe.log import ProbeLog, ProbeRecord
from reconnect.lab.process.failure import CellError, CellFailed
from reconnect.lab.process.lines import tail_of
from reconnect.lab.process.waiter import Waiter
from reconnect.lab.qemu import sanitizer
from reconnect.lab.qemu.arguments import QemuArguments
from reconnect.lab.qemu.qmp import CommandRefused, Data, Monitor

PANIC = "Kernel panic - not syncing"
QUIT_SECONDS = 15.0
GOOD_END = "exit code 0"


class VirtualMachine(abc.ABC):
    """One run of QEMU. Entering starts it; leaving ends it, whatever state it is in.

    :param folder: takes ``qemu.log`` and ``probe.log``; the console is where the arguments say.
    :param start: how long QEMU may take until its monitor answers.
    """

    def __init__(self, arguments: QemuArguments, folder: Path, waiter: Waiter, start: Deadline) -> None:
        self.arguments = arguments
        self.log = folder / "qemu.log"
        self.probe: ProbeLog | None = None
        self._folder = folder
        self._waiter = waiter
        self._start = start
        self._told_to_quit = False
        self._stack = contextlib.ExitStack()

    @abc.abstractmethod
    def _launch(self, stack: contextlib.ExitStack) -> None:
        """Start QEMU; what is put on ``stack`` ends it."""

    @property
    @abc.abstractmethod
    def pid(self) -> int | None:
        """QEMU's process id; None where it isn't known before QEMU has connected to us."""

    @property
    @abc.abstractmethod
    def ending(self) -> str:
        """How QEMU ended: ``exit code 1`` or ``signal SIGSEGV``; empty while it runs."""

    @abc.abstractmethod
    def _tell_to_quit(self, deadline: Deadline) -> None:
        """Ask QEMU to end. It may be gone before it answers."""

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            qmp = stack.enter_context(_listener(self.arguments.qmp))
            probe = stack.enter_context(_listener(self.arguments.probe))
            # The probe's reader ends when QEMU does, so it is joined after QEMU was ended.
            stack.callback(self._join_probe)
            self._launch(stack)
            qmp_connection = stack.enter_context(self._accept(qmp))
            probe_connection = stack.enter_context(self._accept(probe))
            self._connected(qmp_connection)
            self.agent = Agent(probe_connection, self._waiter)
            # makefile() keeps the connection open for itself, until QEMU hangs up.
            stream, log = probe_connection.makefile("rb"), self._folder / "probe.log"
            self.probe = ProbeLog(stream, log, self._waiter, self.agent.take)
            stack.enter_context(self._waiter.guard(self.check))
            self._qmp_connection = qmp_connection
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def record(self) -> ProbeRecord:
        """What the probe saw so far; empty before it could say anything."""
        return self.probe.record if self.probe else ProbeRecord()

    @property
    def process(self) -> psutil.Process:
        """For figures of its memory, its descriptors and its time."""
        return psutil.Process(self.pid)

    def connect_monitor(self) -> None:
        """Greet QEMU's monitor. In a scheme where QEMU waits for its peer this works only once that is there."""
        try:
            self._qmp_connection.setblocking(False)
            self._monitor = Monitor(self._qmp_connection, self._start)
        except CellError:
            self.check_soon()
            raise
        self._stack.callback(self._monitor.close)

    def execute(self, command: str, deadline: Deadline, **arguments: object) -> object:
        """Run a command of QEMU's monitor.

        :raises CommandRefused: QEMU's answer is an error.
        """
        try:
            return self._monitor.execute(command, deadline, **arguments)
        except CommandRefused:
            raise
        except CellError:
            self.check_soon()
            raise

    def event(self, name: str, deadline: Deadline, wanted: Callable[[Data], bool] = lambda _: True) -> Data:
        """Wait for an event of QEMU's that was not asked for yet, and return its data.

        :param wanted: which of that name.
        """
        try:
            return self._monitor.event(name, deadline, wanted)
        except CellError:
            self.check_soon()
            raise

    def events(self) -> list[dict[str, Any]]:
        """Events of QEMU's monitor since the last call, up to the last command's answer."""
        return self._monitor.events()

    def said(self) -> list[str]:
        """QEMU's last lines."""
        return tail_of(self.log)

    def check(self) -> None:
        """Object if QEMU has ended without being told to.

        :raises CellFailed: QEMU was built with a sanitizer, and that has ended it.
        :raises CellError: with QEMU's ending and its last lines, or the console's where the guest panicked.
        """
        if not self.ending or self._told_to_quit:
            return
        self._check_memory()
        console = tail_of(self.arguments.console, 80)
        panic = next((line for line in console if PANIC in line), "")
        if panic and self.ending == GOOD_END:
            raise CellError(f"the guest panicked: {panic.partition(PANIC)[2].lstrip(': ')}", console[-40:])
        lines = self.said()
        said = f", having said: {lines[-1]}" if lines else ""
        raise CellError(f"QEMU ended by itself with {self.ending}{said}", lines or console[-15:])

    def _check_memory(self) -> None:
        if report := sanitizer.report_in(self.log):
            raise CellFailed(sanitizer.told(report), report)

    def check_soon(self) -> None:
        """As :meth:`check`, where something else has failed first that QEMU's end would explain."""
        with contextlib.suppress(CellError):
            self._waiter.wait(lambda: self.ending, Deadline(1), "QEMU's end")
        self.check()

    def quit(self) -> None:
        """Ask QEMU to end, and require that it does, with exit code 0.

        :raises CellFailed: it crashed at its end, or did not end.
        """
        deadline = Deadline(QUIT_SECONDS)
        self._told_to_quit = True
        self._tell_to_quit(deadline)
        ending = self._waiter.wait(lambda: self.ending, deadline, "QEMU's end after it was told to quit")
        self._check_memory()
        if ending != GOOD_END:
            raise CellFailed(f"QEMU ended with {ending} when it was told to quit", self.said())
        self._join_probe()

    @abc.abstractmethod
    def _connected(self, connection: socket.socket) -> None:
        """QEMU is at the other end of this connection."""

    def _join_probe(self) -> None:
        if self.probe:
            self.probe.join()

    def _accept(self, listener: socket.socket) -> socket.socket:
        with contextlib.ExitStack() as stack:
            events: list[int | socket.socket] = [listener]
            if self.pid is not None:
                pidfd = os.pidfd_open(self.pid)
                stack.callback(os.close, pidfd)
                events.append(pidfd)
            select.select(events, [], [], self._start.remaining)
            listener.setblocking(False)
            try:
                return listener.accept()[0]
            except BlockingIOError:
                self.check_soon()
                raise CellError(f"QEMU did not start within {self._start.seconds:.0f} s", self.said()) from None


def peer_pid(connection: socket.socket) -> int:
    """The process at the other end of a unix socket, when it connected (SO_PEERCRED, unix(7))."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[0])


def _listener(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(checked(path)))
        listener.listen(1)
    except BaseException:
        listener.close()
        raise
    return listener
