"""A virtual machine whose QEMU we start ourselves."""

from __future__ import annotations

import contextlib
import socket

from reconnect.kit.deadline import Deadline
from reconnect.lab.process.child import Child
from reconnect.lab.process.failure import CellError
from reconnect.lab.qemu.virtual_machine import VirtualMachine


class Vm(VirtualMachine):
    """One run of QEMU: see :class:`VirtualMachine`. Its command goes to ``qemu.cmd``."""

    def _launch(self, stack: contextlib.ExitStack) -> None:
        environment = dict(word.split("=", 1) for word in self.arguments.qemu.environment)
        output = stack.enter_context(self.log.open("wb"))
        self.child = Child("QEMU", self.arguments.argv(), self._waiter, output, environment)
        stack.callback(self.child.close)
        (self._folder / "qemu.cmd").write_text(self.child.pasteable + "\n", encoding="utf-8")

    def _connected(self, connection: socket.socket) -> None:
        # It is our child: there is nothing to learn from the connection.
        pass

    @property
    def pid(self) -> int:
        """See :attr:`VirtualMachine.pid`."""
        return self.child.pid

    @property
    def ending(self) -> str:
        """See :attr:`VirtualMachine.ending`."""
        return self.child.ending

    def _tell_to_quit(self, deadline: Deadline) -> None:
        # QEMU may hang up before it answers.
        with contextlib.suppress(CellError):
            self._monitor.execute("quit", deadline)
