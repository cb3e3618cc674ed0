"""A virtual machine as a context manager.

QEMU connects its monitor and the probe's serial port to sockets that we listen at, so that nothing is polled for:
either QEMU connects, or it ends, and both are events. Its output and the guest's console go to files.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from pathlib import Path
from types import TracebackType

import psutil

from reconnect.deadline import Deadline
from reconnect.lab.arguments import QemuArguments
from reconnect.lab.bell import Bell
from reconnect.lab.child import Child
from reconnect.lab.failure import Broken, Wrong
from reconnect.lab.lines import tail_of
from reconnect.lab.probe.log import ProbeLog, ProbeRecord
from reconnect.lab.qmp import Monitor
from reconnect.sockets import checked

PANIC = "Kernel panic - not syncing"
QUIT_SECONDS = 15.0


class Vm:
    """One run of QEMU. Entering starts it; leaving ends it, whatever state it is in.

    :param folder: takes ``qemu.cmd``, ``qemu.log`` and ``probe.log``; the console is where the arguments say.
    :param start: how long QEMU may take until its monitor answers.
    """

    def __init__(self, arguments: QemuArguments, folder: Path, bell: Bell, start: Deadline) -> None:
        self.arguments = arguments
        self.log = folder / "qemu.log"
        self._command = folder / "qemu.cmd"
        self._probe_log = folder / "probe.log"
        self._bell = bell
        self._start = start
        self._told_to_quit = False
        self.probe: ProbeLog | None = None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Vm:
        with contextlib.ExitStack() as stack:
            qmp = stack.enter_context(_listener(self.arguments.qmp))
            probe = stack.enter_context(_listener(self.arguments.probe))
            output = stack.enter_context(self.log.open("wb"))
            # The probe's reader ends when QEMU does, so it is joined after QEMU was ended.
            stack.callback(self._join_probe)
            self.child = Child("QEMU", self.arguments.argv(), self._bell, output)
            stack.callback(self.child.close)
            self._command.write_text(self.child.pasteable + "\n", encoding="utf-8")
            qmp_connection = stack.enter_context(self._accept(qmp))
            probe_connection = self._accept(probe)
            self.probe = ProbeLog(probe_connection.makefile("rb"), self._probe_log, self._bell)
            # makefile() keeps the connection open for itself.
            probe_connection.close()
            stack.enter_context(self._bell.guarded(self.check))
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
        return psutil.Process(self.child.pid)

    def connect_monitor(self) -> None:
        """Greet QEMU's monitor. In a scheme where QEMU waits for its peer this works only once that is there."""
        try:
            self._qmp_connection.setblocking(False)
            self._monitor = Monitor(self._qmp_connection, self._start)
        except Broken:
            self.check_soon()
            raise
        self._stack.callback(self._monitor.close)

    def execute(self, command: str, deadline: Deadline, **arguments: object) -> object:
        """Run a command of QEMU's monitor."""
        try:
            return self._monitor.execute(command, deadline, **arguments)
        except Broken:
            self.check_soon()
            raise

    def check(self) -> None:
        """Object if QEMU has ended without being told to.

        :raises Broken: with QEMU's ending and its last lines, or the console's where the guest panicked.
        """
        if self.child.ended is None or self._told_to_quit:
            return
        console = tail_of(self.arguments.console, 80)
        panic = next((line for line in console if PANIC in line), "")
        if panic and self.child.returncode == 0:
            raise Broken(f"the guest panicked: {panic.partition(PANIC)[2].lstrip(': ')}", console[-40:])
        lines = tail_of(self.log)
        said = f", having said: {lines[-1]}" if lines else ""
        raise Broken(f"QEMU ended by itself with {self.child.ending}{said}", lines or console[-15:])

    def check_soon(self) -> None:
        """As :meth:`check`, where something else has failed first that QEMU's end would explain."""
        with contextlib.suppress(Broken):
            self.child.wait(Deadline(1), "QEMU's end")
        self.check()

    def quit(self) -> None:
        """Ask QEMU to end, and require that it does, with exit code 0.

        :raises Wrong: it crashed at its end, or did not end.
        """
        deadline = Deadline(QUIT_SECONDS)
        self._told_to_quit = True
        # QEMU may hang up before it answers.
        with contextlib.suppress(Broken):
            self._monitor.execute("quit", deadline)
        self.child.wait(deadline, "QEMU's end after quit")
        if self.child.returncode != 0:
            raise Wrong(f"QEMU ended with {self.child.ending} when it was told to quit", tail_of(self.log))
        self._join_probe()

    def _join_probe(self) -> None:
        if self.probe:
            self.probe.join()

    def _accept(self, listener: socket.socket) -> socket.socket:
        pidfd = os.pidfd_open(self.child.pid)
        try:
            events: list[int | socket.socket] = [listener, pidfd]
            select.select(events, [], [], self._start.remaining)
            listener.setblocking(False)
            try:
                return listener.accept()[0]
            except BlockingIOError:
                self.check_soon()
                raise Broken(f"QEMU did not start within {self._start.seconds:.0f} s", tail_of(self.log)) from None
        finally:
            os.close(pidfd)


def _listener(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(checked(path)))
        listener.listen(1)
    except BaseException:
        listener.close()
        raise
    return listener
