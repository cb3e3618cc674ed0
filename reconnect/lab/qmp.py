"""QEMU's monitor, spoken through QEMU's own library, one command at a time, each with a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Coroutine
from typing import Any, TypeVar

from qemu.qmp import QMPClient, QMPError

from reconnect.deadline import Deadline
from reconnect.lab.failure import Broken

T = TypeVar("T")


class Monitor:
    """A connected monitor.

    :param connection: QEMU's end has connected to it already.
    """

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        # The library's loop runs only inside of a call: nothing of it is left to run beside us.
        self._runner = asyncio.Runner()
        self._client = QMPClient("lab")
        self._run(self._client.connect(connection), deadline, "its greeting")

    def execute(self, command: str, deadline: Deadline, **arguments: object) -> object:
        """Run a command and return its answer.

        :raises Broken: no answer in time, an error, or QEMU is gone.
        """
        return self._run(self._client.execute(command, arguments or None), deadline, f"the answer to {command}")

    def events(self) -> list[dict[str, Any]]:
        """QEMU's events since the last call. They come in while a command is answered."""
        return [dict(event) for event in self._client.events.clear()]

    def close(self) -> None:
        """Hang up. Never fails."""
        with contextlib.suppress(Exception):
            self._runner.run(asyncio.wait_for(self._client.disconnect(), 2))
        with contextlib.suppress(Exception):
            self._runner.close()

    def _run(self, call: Coroutine[Any, Any, T], deadline: Deadline, what: str) -> T:
        try:
            return self._runner.run(asyncio.wait_for(call, max(deadline.remaining, 0.1)))
        except TimeoutError as error:
            raise Broken(f"QEMU's monitor did not give {what} within {deadline.seconds:.0f} s") from error
        except (QMPError, OSError) as error:
            raise Broken(f"QEMU's monitor did not give {what}: {type(error).__name__} {error}") from error
