"""The host's end of the agent in the guest (``agent.sh``), which takes orders at the probe's serial port."""

from __future__ import annotations

import socket

from reconnect.kit.deadline import Deadline
from reconnect.lab.process.failure import CellError
from reconnect.lab.process.waiter import Waiter

READY = 0
"""The number of what the agent says first."""


class Agent:
    """The agent of one guest.

    :param connection: the host's end of the serial port; it stays the caller's.
    """

    def __init__(self, connection: socket.socket, waiter: Waiter) -> None:
        self._connection = connection
        self._waiter = waiter
        self._answers: dict[int, tuple[int, str]] = {}
        self._asked = READY

    def take(self, text: str) -> None:
        """Take a line of the serial port; what is no answer is the probe's."""
        match text.split(" ", 3):
            case ["r", number, code, *said] if number.isdecimal() and code.isdecimal():
                self._answers[int(number)] = (int(code), "".join(said))

    @property
    def ready(self) -> bool:
        """Whether it listens."""
        return READY in self._answers

    def ask(self, verb: str, *words: object, deadline: Deadline) -> str:
        """Give an order, wait until it is carried out, and return what the agent said.

        :raises CellError: it failed, or there was no answer in time.
        """
        order = " ".join([verb, *map(str, words)])
        self._waiter.wait(lambda: self.ready, deadline, "the guest's agent to listen")
        self._asked += 1
        number = self._asked
        self._connection.sendall(f"{number} {order}\n".encode())
        code, text = self._waiter.wait(lambda: self._answers.get(number), deadline, f"the guest to carry out: {order}")
        if code:
            raise CellError(f"the guest could not carry out: {order} (exit code {code})")
        return text
