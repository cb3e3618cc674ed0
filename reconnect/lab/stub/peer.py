"""The loop: accepts or makes connections, and hands each of them its messages and kicks. One thread, no wait without
a reason."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from reconnect.lab.stub.events import EventLog
from reconnect.lab.stub.guest_memory import DirtyLog
from reconnect.lab.stub.script import Script
from reconnect.lab.stub.session import ConnectionClosed, Offer, Session


@dataclass(frozen=True)
class PeerSettings:
    """How the peer runs.

    :param client: connect to the front-end instead of listening.
    :param script: file that is read again at SIGHUP.
    :param retry: seconds between two attempts of a client.
    """

    socket: Path
    client: bool = False
    offer: Offer = field(default_factory=Offer)
    script: Path | None = None
    retry: float = 0.05


class Peer:
    """A running peer."""

    def __init__(self, settings: PeerSettings, script: Script, log: EventLog) -> None:
        self._settings = settings
        self._script = script
        self._log = log
        self._selector = selectors.DefaultSelector()
        self._listener: socket.socket | None = None
        self._sessions: list[Session] = []
        self._logs: dict[int, DirtyLog] = {}
        self._made = 0
        self._since_script = 0
        self._next_try = 0.0
        self._ending = ""

    def watch(self, fd: int, call: Callable[[], None]) -> None:
        """See :class:`reconnect.lab.stub.session.Loop`."""
        self._selector.register(fd, selectors.EVENT_READ, call)

    def unwatch(self, fd: int) -> None:
        """See :class:`reconnect.lab.stub.session.Loop`."""
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(fd)

    def run(self) -> None:
        """Run until SIGTERM or SIGINT; then close all, and remove the socket that was listened at."""
        settings = self._settings
        self._log.log("start", pid=os.getpid(), client=settings.client, socket=str(settings.socket))
        self._tell_script()
        with self._signals():
            if not settings.client:
                self._listen()
            while not self._ending:
                self._turn()
        for session in tuple(self._sessions):
            self._close(session, "end")
        if self._listener is not None:
            self._listener.close()
            settings.socket.unlink(missing_ok=True)
        self._log.log("end", why=self._ending)

    def _turn(self) -> None:
        wants = self._settings.client and not self._sessions
        if wants and time.monotonic() >= self._next_try:
            self._connect()
        timeout = max(0.0, self._next_try - time.monotonic()) if wants and not self._sessions else None
        for key, _ in self._selector.select(timeout):
            # What came first in this round may have closed what comes later, and given its number to another.
            if self._selector.get_map().get(key.fd) is key:
                key.data()

    def _listen(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.setblocking(False)
        self._listener.bind(str(self._settings.socket))
        self._listener.listen(64)
        self.watch(self._listener.fileno(), self._accept)
        self._log.log("listening")

    def _accept(self) -> None:
        assert self._listener is not None
        with contextlib.suppress(BlockingIOError, ConnectionError):
            connection, _ = self._listener.accept()
            self._begin(connection)

    def _connect(self) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(self._settings.socket))
        except OSError:
            connection.close()
            self._next_try = time.monotonic() + self._settings.retry
            return
        self._begin(connection)

    def _begin(self, connection: socket.socket) -> None:
        self._made += 1
        self._since_script += 1
        session = Session(connection, self._made, self._settings.offer, self._log, self)
        self._sessions.append(session)
        self._log.log("connected", connection=session.number)
        self.watch(connection.fileno(), lambda: self._step(session, lambda: session.readable(self._script)))
        self._step(session, lambda: session.begin(self._script, self._since_script))

    def _step(self, session: Session, step: Callable[[], None]) -> None:
        try:
            step()
        except ConnectionClosed as closed:
            self._close(session, str(closed))

    def _close(self, session: Session, by: str) -> None:
        self._sessions.remove(session)
        session.close(by)
        if session.log is not None:
            self._logs[session.number] = session.log
        self._next_try = time.monotonic() + self._settings.retry

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Signals come as bytes through a socket of the loop's: nothing is done inside of a handler."""
        inner, outer = socket.socketpair()
        for end in (inner, outer):
            end.setblocking(False)
        old = signal.set_wakeup_fd(outer.fileno(), warn_on_full_buffer=False)
        numbers = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
        handlers = {number: signal.signal(number, lambda *_: None) for number in numbers}
        self.watch(inner.fileno(), lambda: self._signalled(inner.recv(64)))
        try:
            yield
        finally:
            self.unwatch(inner.fileno())
            signal.set_wakeup_fd(old)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            inner.close()
            outer.close()

    def _signalled(self, numbers: bytes) -> None:
        for number in numbers:
            if number == signal.SIGHUP:
                self._load_script()
            else:
                self._ending = signal.Signals(number).name

    def _load_script(self) -> None:
        """Take the script's file again. One that is wrong ends the peer: a test that goes on without it shows nothing.

        :raises ScriptError: it is wrong.
        """
        if self._settings.script is None:
            return
        self._script = Script.load(self._settings.script)
        self._since_script = 0
        self._tell_logs()
        self._tell_script()
        for session in tuple(self._sessions):
            if self._script.hang_up:
                self._close(session, "script")
            else:
                session.begin(self._script, 0)

    def _tell_logs(self) -> None:
        for number, log in self._logs.items():
            self._log.log("log", connection=number, marked=log.marked, left=log.left)
            log.close()
        self._logs.clear()

    def _tell_script(self) -> None:
        script = self._script
        self._log.log("script", rules=[str(rule) for rule in script.rules], hang_up=script.hang_up, die=script.die)
