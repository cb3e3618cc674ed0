"""A thread that reads lines as they come, stamps each with the monotonic clock, and keeps them in a log file.

It always drains its stream, so that no child ever blocks on a full pipe: also where a line can't be taken, which it
reports to the waiter.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from reconnect.lab.process.waiter import Waiter

Listener = Callable[["Line"], None]


@dataclass(frozen=True)
class Line:
    """One line. ``at`` is when it arrived, in seconds of the monotonic clock."""

    at: float
    text: str


class LineReader:
    """Reads a stream to its end.

    :param stream: a binary stream; closed at the end.
    :param log: file for the lines, each with its seconds since the cell began.
    :param listener: called with each line in the reader's thread, before the waiter is notified. What it
        raises ends the cell.
    """

    def __init__(self, stream: IO[bytes], log: Path, waiter: Waiter, listener: Listener | None = None) -> None:
        self.log = log
        self.lines: list[Line] = []
        self._stream = stream
        self._waiter = waiter
        self._listener = listener
        self._thread = threading.Thread(target=self._read, name=f"reader of {log.name}", daemon=True)
        self._thread.start()

    def first(self, text: str) -> Line | None:
        """The first line that contains ``text``."""
        return next((line for line in tuple(self.lines) if text in line.text), None)

    def tail(self, count: int = 15) -> list[str]:
        """The last lines that aren't blank."""
        return [line.text for line in tuple(self.lines) if line.text.strip()][-count:]

    def join(self, seconds: float = 5.0) -> None:
        """Wait for the stream's end: all lines are there then."""
        self._thread.join(seconds)

    def _read(self) -> None:
        stream = self._raw()
        try:
            with self.log.open("w", encoding="utf-8") as log:
                for raw in stream:
                    self._take(raw, log)
        except Exception as error:  # noqa: BLE001  # a thread: whoever waits is told
            self._waiter.report(f"the reader of {self.log.name}", error)
            for _ in stream:
                pass
        self._waiter.notify()

    def _raw(self) -> Iterator[bytes]:
        # A connection that is reset, or closed here, ends the stream like any other end.
        with contextlib.suppress(OSError, ValueError), self._stream:
            yield from self._stream

    def _take(self, raw: bytes, log: IO[str]) -> None:
        line = Line(time.monotonic(), raw.decode("utf-8", "replace").rstrip("\r\n"))
        log.write(f"{line.at - self._waiter.epoch:10.6f} {line.text}\n")
        log.flush()
        self.lines.append(line)
        if self._listener:
            self._listener(line)
        self._waiter.notify()


def tail_of(path: Path, count: int = 15) -> list[str]:
    """The last lines of a file that aren't blank; none where there is no file."""
    with contextlib.suppress(OSError):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        return [line.rstrip() for line in lines if line.strip()][-count:]
    return []
