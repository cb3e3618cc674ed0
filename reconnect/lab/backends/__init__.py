"""The switches that a guest can be attached to."""

from __future__ import annotations

import abc
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import ClassVar, Self

from reconnect.kit.deadline import Deadline
from reconnect.lab.binaries import Binaries
from reconnect.lab.faults import Fault
from reconnect.lab.process import procunix
from reconnect.lab.process.failure import CellError
from reconnect.lab.process.waiter import Waiter


@dataclass(frozen=True)
class Endpoint:
    """Where a backend works.

    :param socket: path of the vhost-user socket.
    :param listens: the backend makes the socket; otherwise QEMU does and the backend connects.
    :param scratch: a short folder for its own sockets and files, which is removed after the cell.
    :param logs: the cell's folder.
    """

    socket: Path
    listens: bool
    scratch: Path
    logs: Path

    def remove_stale_socket(self) -> None:
        """A killed listener leaves its socket behind, and nobody can bind there until it is removed.

        :raises CellError: somebody still listens there.
        """
        if procunix.listens(self.socket):
            raise CellError(f"something else listens at {self.socket}: the old backend isn't gone")
        self.socket.unlink(missing_ok=True)


class Backend(abc.ABC):
    """One switch with one vhost-user port. It can be started again after it has ended: each time an *incarnation*.

    As a context manager it is ended on leaving, whatever state it is in.

    :param queue_pairs: queue pairs of the port.
    """

    name: str
    OPTIONS: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({})
    """What can be chosen: the values of each option, the default first."""

    def __init__(self, place: Endpoint, waiter: Waiter, queue_pairs: int = 1) -> None:
        self.place = place
        self.waiter = waiter
        self.queue_pairs = queue_pairs

    @classmethod
    def defaults(cls) -> dict[str, str]:
        """Each option with the value that it has where nothing is said."""
        return {name: values[0] for name, values in cls.OPTIONS.items()}

    def configure(self, binaries: Binaries, options: Mapping[str, str]) -> None:
        """Take what was chosen, before the first start.

        :param options: a value for each of :attr:`OPTIONS`.
        """
        assert not options, "a backend that has options takes them"
        del binaries

    @classmethod
    @abc.abstractmethod
    def require(cls) -> None:
        """Refuse a machine on which it can't run.

        :raises HostError: names what is missing and what to do.
        """

    @abc.abstractmethod
    def start(self, deadline: Deadline) -> float:
        """Start a new incarnation and wait until it is ready: it listens, or tries to connect.

        :returns: when its process was started, on the monotonic clock.
        :raises CellError: it ended or did not get ready.
        """

    @abc.abstractmethod
    def launch(self) -> float:
        """Start a new incarnation without waiting; returns when its process was started."""

    @abc.abstractmethod
    def inject(self, fault: Fault, deadline: Deadline) -> float:
        """Commit a fault and wait until the process is really gone; returns when the fault was committed."""

    @abc.abstractmethod
    def send(self, number: signal.Signals) -> float:
        """Send the present incarnation's process a signal that it survives; returns when that was."""

    @abc.abstractmethod
    def handshake(self) -> float | None:
        """When the present incarnation finished the vhost-user handshake; None before."""

    @abc.abstractmethod
    def connections(self) -> int:
        """How many connections the present incarnation has seen."""

    @abc.abstractmethod
    def check(self) -> None:
        """Object if it has ended without being told to.

        :raises CellError: with its last lines.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """End it. Never fails."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
