"""What the user sees: named, timed steps and their progress.

On a terminal a running step shows a live line; elsewhere (CI, a pipe) it prints a plain line at its start, one
every quarter of a minute while it works, and one at its end. No colour and no cursor movement without a terminal.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape

HEARTBEAT_SECONDS = 15.0
"""Without a terminal, a step that goes on says so this often."""

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


class Step:
    """A step that is under way. :meth:`progress` may be called as often as one likes."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.started = time.monotonic()
        self.result = ""
        self._said = self.started
        self._status = out.status(escape(title)) if out.is_terminal else None

    @property
    def seconds(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self.started

    def progress(self, text: str) -> None:
        """Show how far the step is: at once on a terminal, now and then elsewhere."""
        if self._status:
            self._status.update(f"{escape(self.title)} [dim]{escape(text[:100])}[/dim]")
        elif time.monotonic() - self._said >= HEARTBEAT_SECONDS:
            self._said = time.monotonic()
            say(f"    ... {self.title}: {text[:100]} ({self.seconds:.0f} s)")

    def done(self, result: str) -> None:
        """What the step came to, shown on its last line."""
        self.result = result


def say(text: str, style: str = "") -> None:
    """Print a line of plain text (no markup is read in it)."""
    out.print(escape(text), style=style or None)


@contextmanager
def step(title: str) -> Iterator[Step]:
    """A named, timed step of long work.

    Prints the title when it starts and the result with the seconds when it ends; an error passes through, marked.
    """
    current = Step(title)
    say(f"==> {title}", "bold")
    if current._status:
        current._status.start()
    try:
        yield current
    except BaseException:
        _stop(current)
        say(f"    {title}: failed after {current.seconds:.1f} s", "red")
        raise
    _stop(current)
    say(f"    {current.result or 'done'} ({current.seconds:.1f} s)", "green")


def _stop(current: Step) -> None:
    if current._status:
        current._status.stop()
