"""The one error tree of the project.

Every error that a user can cause or meet is a :class:`ReconnectError`. Its class fixes the exit code (the table
in docs/commands.md); the instance says what happened, why it usually does, and what to do now. Library code raises;
only ``tasks.py`` ends the process.
"""

from __future__ import annotations


class ReconnectError(Exception):
    """Base of all errors that are reported without a traceback.

    :param what: one sentence, what happened.
    :param why: the usual reason, or the details that were seen; may have several lines.
    :param hint: what to do now, most promising way first; may have several lines.
    """

    exit_code = 1

    def __init__(self, what: str, *, why: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.hint = hint

    def __str__(self) -> str:
        parts = [self.what]
        if self.why:
            parts.append(_labelled("why", self.why))
        if self.hint:
            parts.append(_labelled("do ", self.hint))
        return "\n".join(parts)


class ConfigError(ReconnectError):
    """The command line, an environment variable or stacks.toml is wrong."""

    exit_code = 2


class SourceError(ReconnectError):
    """A source is unavailable, or what was served is not what is pinned."""

    exit_code = 3


class PatchError(ReconnectError):
    """A series is malformed or a patch of it doesn't apply."""

    exit_code = 4


class BuildError(ReconnectError):
    """Configure or compile failed."""

    exit_code = 5


class HostError(ReconnectError):
    """This machine lacks something: a package, disk, a right, a device."""

    exit_code = 6


class VerdictError(ReconnectError):
    """At least one cell of a run did not show what it had to show."""

    exit_code = 7


INTERRUPTED = 130
"""Exit code after Ctrl-C or SIGTERM, as shells use it."""


def _labelled(label: str, text: str) -> str:
    first, *rest = text.strip("\n").splitlines()
    return "\n".join([f"  {label}: {first}", *(f"       {line}" for line in rest)])
