"""What goes wrong, and when: a list of rules, each for one message of one connection.

A rule is written ``MESSAGE[#N]:ACTION[=VALUE][@CONNECTION]``: at the N-th (1) message of that name on the named
connection, do this; ``#any`` is each one. Connections count from the moment at which the script was loaded: those
that were open then are 0, the next one is 1 (which is what a rule means that names none); ``any`` is each one. The
message ``CONNECT`` is the connection itself: the rule is carried out before anything is read.

====================  ================================================================================================
``before-read``       close with the message unread: the front-end's next read is reset
``after-read``        read it, close without an answer
``half-reply``        read it, send half of the answer (or of one byte less than a header where there is none), close
``stall``             read it and never answer again; the connection stays open
``truncate``          send half of the answer, and stall
``drop-fds``          read it, lose its descriptors, go on
``nack``              do not handle; answer with a failure where an answer is asked for
``answer=NUMBER``     put that number into the answer
``wrong-request``     answer as if to another message
``wrong-size``        an answer whose payload is four bytes short
``wrong-flags``       an answer without the reply flag
``delay=MS``          answer that many milliseconds late
``drip``              send the answer in single bytes, each when the front-end has taken the one before
====================  ================================================================================================

Example: ``SET_MEM_TABLE:half-reply GET_QUEUE_NUM:answer=1@any``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from reconnect.lab.stub.protocol import Request

CONNECT = "CONNECT"
CLOSING = ("before-read", "after-read", "half-reply")
VALUED = ("answer", "delay")
ACTIONS = (
    *CLOSING,
    "stall",
    "truncate",
    "drop-fds",
    "nack",
    "wrong-request",
    "wrong-size",
    "wrong-flags",
    "drip",
    *VALUED,
)
CONNECT_ACTIONS = ("before-read", "after-read", "stall")
ANY = -1
"""Each connection; each occurrence."""

_RULE = re.compile(r"([A-Z_]+)(?:#(\d+|any))?:([a-z-]+)(?:=(\w+))?(?:@(\d+|any))?", re.ASCII)


class ScriptError(ValueError):
    """The text of a script is wrong."""


@dataclass(frozen=True)
class Rule:
    """One rule; see the module.

    :param connection: which, or :data:`ANY`.
    """

    message: str
    action: str
    occurrence: int = 1
    value: int | None = None
    connection: int = 1

    def __post_init__(self) -> None:
        known = CONNECT_ACTIONS if self.message == CONNECT else ACTIONS
        if self.message != CONNECT and self.message not in Request.__members__:
            raise ScriptError(f"unknown message {self.message!r}: {CONNECT}, {', '.join(Request.__members__)}")
        if self.action not in known:
            raise ScriptError(f"unknown action {self.action!r} at {self.message}: {', '.join(known)}")
        if (self.value is not None) != (self.action in VALUED):
            raise ScriptError(f"{self.action} {'needs' if self.action in VALUED else 'takes no'} =VALUE")
        if self.occurrence < 1 and self.occurrence != ANY:
            raise ScriptError("occurrences count from 1")

    @classmethod
    def parse(cls, text: str) -> Rule:
        """A rule from its text.

        :raises ScriptError: it is none.
        """
        found = _RULE.fullmatch(text)
        if not found:
            raise ScriptError(f"{text!r} is not MESSAGE[#N]:ACTION[=VALUE][@CONNECTION]")
        message, occurrence, action, value, connection = found.groups()
        try:
            number = None if value is None else int(value, 0)
        except ValueError as error:
            raise ScriptError(f"{value!r} in {text!r} is not a number") from error
        at = ANY if connection == "any" else int(connection or 1)
        each = ANY if occurrence == "any" else int(occurrence or 1)
        return cls(message, action, each, number, at)

    def __str__(self) -> str:
        occurrence = "" if self.occurrence == 1 else "#any" if self.occurrence == ANY else f"#{self.occurrence}"
        value = "" if self.value is None else f"={self.value:#x}" if self.action == "answer" else f"={self.value}"
        connection = "" if self.connection == 1 else "@any" if self.connection == ANY else f"@{self.connection}"
        return f"{self.message}{occurrence}:{self.action}{value}{connection}"

    def applies(self, connection: int, message: str, occurrence: int) -> bool:
        """Whether this is the moment."""
        return self.message == message and self.occurrence in (ANY, occurrence) and self.connection in (ANY, connection)


@dataclass(frozen=True)
class Script:
    """All rules.

    :param hang_up: close the connections that are open when the script is loaded.
    :param die: where a rule closes the connection, kill the whole process instead (SIGKILL).
    """

    rules: tuple[Rule, ...] = ()
    hang_up: bool = False
    die: bool = False

    @classmethod
    def parse(cls, *rules: str, hang_up: bool = False, die: bool = False) -> Script:
        """A script from the texts of its rules.

        :raises ScriptError: one is wrong.
        """
        return cls(tuple(Rule.parse(text) for text in rules), hang_up, die)

    def rule(self, connection: int, message: str, occurrence: int) -> Rule | None:
        """The first rule for this moment."""
        return next((rule for rule in self.rules if rule.applies(connection, message, occurrence)), None)

    def argv(self) -> list[str]:
        """The script as words of the stub's command line. There is nothing to hang up yet when it starts."""
        words = [word for rule in self.rules for word in ("--rule", str(rule))]
        return [*words, *(["--die"] if self.die else [])]

    def json(self) -> str:
        """The script as the text of a script's file."""
        return json.dumps({"rules": [str(rule) for rule in self.rules], "hang_up": self.hang_up, "die": self.die})

    @classmethod
    def load(cls, path: Path) -> Script:
        """Read a script's file.

        :raises ScriptError: it can't be read, or holds something else.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(data, dict) or set(data) - {"rules", "hang_up", "die"}:
                raise ScriptError("it must be an object with rules, hang_up and die, and nothing else")
            return cls.parse(*data.get("rules", ()), hang_up=data.get("hang_up", False), die=data.get("die", False))
        except (OSError, ValueError, TypeError) as error:
            raise ScriptError(f"script {path}: {error}") from error
