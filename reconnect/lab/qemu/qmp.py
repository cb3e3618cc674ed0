"""QEMU's monitor, spoken through QEMU's own library, one command at a time, each with a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from qemu.qmp import ExecuteError, Message, QMPClient, QMPError, Runstate

from reconnect.kit.deadline import Deadline
from reconnect.lab.process.failure import CellError

T = TypeVar("T")
Data = Mapping[str, Any]
Event = dict[str, Any]


class CommandRefused(CellError):
    """QEMU's answer to a command is an error, which is what some tests want."""


class _Client(QMPClient):
    """The library's, which takes no event for the answer to ``qmp_capabilities``: QEMU may send one before it."""

    async def _recv(self) -> Message:
        message = await super()._recv()
        while self.runstate is Runstate.CONNECTING and "event" in message:
            await self._event_dispatch(message)
            message = await super()._recv()
        return message


class Monitor:
    """A connected monitor.

    :param connection: QEMU's end has connected to it already.
    """

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        # The library's loop runs only inside of a call: nothing of it is left to run beside us.
        self._runner = asyncio.Runner()
        self._client = _Client("lab")
        self._passed: list[Event] = []
        self._run(self._client.connect(connection), deadline, "its greeting")

    def execute(self, command: str, deadline: Deadline, **arguments: object) -> object:
        """Run a command and return its answer.

        :raises CommandRefused: the answer is an error.
        :raises CellError: no answer in time, or QEMU is gone.
        """
        return self._run(self._client.execute(command, arguments or None), deadline, f"the answer to {command}")

    def events(self) -> list[Event]:
        """QEMU's events since the last call, without those that :meth:`event` has given. They come in while a command
        is answered."""
        passed, self._passed = self._passed, []
        return [*passed, *(dict(event) for event in self._client.events.clear())]

    def event(self, name: str, deadline: Deadline, wanted: Callable[[Data], bool]) -> Data:
        """Wait for an event and return its data, or take the first that has come already.

        What comes before it stays: for another call, and for :meth:`events`.

        :raises CellError: it did not come in time, or QEMU is gone.
        """
        return self._run(self._event(name, wanted), deadline, f"the event {name}")

    async def _event(self, name: str, wanted: Callable[[Data], bool]) -> Data:
        over = asyncio.create_task(self._over())
        search = asyncio.create_task(self._search(name, wanted))
        try:
            # The library's queue of events does not tell of a connection's end.
            await asyncio.wait((search, over), return_when=asyncio.FIRST_COMPLETED)
            if not search.done():
                raise ConnectionError("QEMU has hung up")
            return search.result()
        finally:
            over.cancel()
            search.cancel()

    async def _over(self) -> None:
        # It may be over before anybody asks: then nothing changes any more.
        while self._client.runstate is Runstate.RUNNING:
            await self._client.runstate_changed()

    async def _search(self, name: str, wanted: Callable[[Data], bool]) -> Data:
        self._passed += (dict(event) for event in self._client.events.clear())
        for number, event in enumerate(self._passed):
            if (data := _data(event, name, wanted)) is not None:
                del self._passed[number]
                return data
        while True:
            event = dict(await self._client.events.get())
            if (data := _data(event, name, wanted)) is not None:
                return data
            self._passed.append(event)

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
            raise CellError(f"QEMU's monitor did not give {what} within {deadline.seconds:.0f} s") from error
        except ExecuteError as error:
            raise CommandRefused(f"QEMU refused: {error}") from error
        except (QMPError, OSError) as error:
            raise CellError(f"QEMU's monitor did not give {what}: {type(error).__name__} {error}") from error


def _data(event: Event, name: str, wanted: Callable[[Data], bool]) -> Data | None:
    """The data of an event if it is the one that is waited for."""
    data = event.get("data", {})
    return data if event["event"] == name and isinstance(data, Mapping) and wanted(data) else None
