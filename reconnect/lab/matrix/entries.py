"""Which entries there are: data, and the words that name them on the command line."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from reconnect.lab.stub.protocol import ANSWERED, Request
from reconnect.lab.stub.script import CLOSING, Rule, Script, ScriptError

MATRIX = "matrix"
"""The word that stands for the default matrix."""

CUT, LIE, GONE, SPIN, HANG = "cut", "lie", "gone", "spin", "hang"
REHEARSE, AWAY, MANY, FUZZ = "rehearse", "away", "many", "fuzz"
RULED = (CUT, LIE, GONE, SPIN, HANG)
COUNTED = (MANY, FUZZ)
MOMENTS = ("startup", "boot", "reconnect", "set-link", "stop-cont", "reboot", "quit")
FRESH = ("startup", "boot", "quit")
"""Moments that need a QEMU of their own."""

GREETING = (
    *("GET_FEATURES", "GET_PROTOCOL_FEATURES", "SET_PROTOCOL_FEATURES", "GET_QUEUE_NUM", "SET_OWNER"),
    *("GET_FEATURES#2", "SET_VRING_CALL", "SET_VRING_ERR"),
)
RINGS = (
    *("SET_VRING_ENABLE", "SET_FEATURES", "SET_MEM_TABLE", "SET_VRING_NUM", "SET_VRING_BASE", "SET_VRING_ADDR"),
    *("SET_VRING_KICK", "SET_VRING_NUM#2", "SET_VRING_KICK#2"),
)
STOP = ("GET_VRING_BASE", "GET_VRING_BASE#2")

CUTS = {
    "startup": (*GREETING, "SET_VRING_CALL#2", "SET_VRING_ERR#2"),
    "boot": (),
    # SET_VRING_CALL: the first two belong to the greeting, one more to the start of each ring.
    "reconnect": (*GREETING, *RINGS, "SET_VRING_CALL#3", "SET_VRING_CALL#4"),
    "set-link": (*STOP, *RINGS, "SET_VRING_CALL", "SET_VRING_CALL#2"),
    "stop-cont": (*STOP, *RINGS, "SET_VRING_CALL", "SET_VRING_CALL#2"),
    # Each boot takes many seconds: only the messages that QEMU waits for.
    "reboot": (*STOP, "SET_MEM_TABLE"),
    "quit": STOP,
}
"""The messages at which each moment is cut."""

CUT_SOMEWHERE = frozenset(text.split("#")[0] for text in (*GREETING, *RINGS, *STOP))
"""A rehearsal that hears another message finds a hole in the matrix."""

# A backend that comes back as another, once, or answers nonsense: QEMU must give up that connection by itself, unless
# it can live with it.
GREETING_LIES = (
    "CONNECT:after-read",
    "GET_FEATURES#any:answer=0x40000000",
    "GET_FEATURES#any:answer=0",
    "GET_FEATURES:wrong-request",
    "GET_FEATURES:wrong-size",
    "GET_FEATURES:wrong-flags",
    "GET_PROTOCOL_FEATURES:answer=0",
    "GET_QUEUE_NUM:answer=0",
)
TABLE = ("SET_MEM_TABLE:nack", "SET_MEM_TABLE:drop-fds", "SET_MEM_TABLE:wrong-request")
LIES = {
    "startup": GREETING_LIES,
    # A refused memory table is not the end either, though it comes when the greeting is over (REFERENCE B14).
    "reconnect": (*GREETING_LIES, *TABLE),
    "set-link": ("GET_VRING_BASE:wrong-request", "GET_VRING_BASE:wrong-size", *TABLE[:1]),
}

# One that refuses to work, or is stuck, until it is killed and started again.
GONES = {
    "reconnect": (
        *TABLE,
        *("CONNECT:stall", "GET_FEATURES:stall", "GET_QUEUE_NUM:truncate", "SET_MEM_TABLE:stall"),
    ),
    "set-link": TABLE[:1],
    "stop-cont": TABLE[:1],
}

# One that is no good for a while, on each connection: QEMU must try again at its interval, and not as fast as it can.
USELESS = ("CONNECT:after-read@any", "GET_QUEUE_NUM:answer=0@any", "GET_FEATURES#any:answer=0x40000000@any")
SPINS = {"startup": USELESS[:2], "reconnect": (*USELESS, "SET_MEM_TABLE:nack@any")}

# One that keeps silent: QEMU must give it up when its time limit is over, and its monitor must answer then (REFERENCE
# B22). Each takes as long as that limit, so only some of them are in the default matrix.
HANGS = {
    "reconnect": ("CONNECT:stall", "SET_MEM_TABLE:stall"),
    "set-link": ("GET_VRING_BASE:stall",),
    "quit": ("GET_VRING_BASE:stall",),
}
HANGS_BY_NAME = {
    "startup": ("CONNECT:stall", "GET_FEATURES:stall"),
    "reconnect": ("GET_FEATURES:stall", "GET_QUEUE_NUM:truncate"),
    "set-link": ("SET_MEM_TABLE:stall",),
    "stop-cont": ("GET_VRING_BASE:stall",),
    "reboot": ("GET_VRING_BASE:stall",),
}

_NAME = re.compile(r"([a-z]+)(?::(.+))?@([a-z-]+)", re.ASCII)


@dataclass(frozen=True)
class Entry:
    """One entry of the matrix.

    :param rule: None for those of no rule.
    :param count: how many restarts (:data:`MANY`); the seed (:data:`FUZZ`).
    """

    kind: str
    rule: Rule | None
    moment: str
    count: int = 0

    @classmethod
    def parse(cls, name: str) -> Entry:
        """An entry from its name: of the tables here, or any other of the kind.

        :raises ValueError: it is none.
        """
        found = _NAME.fullmatch(name)
        kind, detail, moment = found.groups() if found else ("", "", "")
        if moment in MOMENTS and kind in RULED and detail:
            return cls(kind, Rule.parse(detail), moment)
        if moment in (["boot"] if kind == AWAY else MOMENTS) and kind in (REHEARSE, AWAY) and not detail:
            return cls(kind, None, moment)
        if moment == "reconnect" and kind in COUNTED and detail and detail.isdecimal():
            return cls(kind, None, moment, int(detail))
        raise ValueError(f"{name!r} is no entry of the matrix")

    @property
    def name(self) -> str:
        """As on the command line and in results.json."""
        detail = str(self.rule) if self.rule else str(self.count) if self.kind in COUNTED else ""
        return f"{self.kind}:{detail}@{self.moment}" if detail else f"{self.kind}@{self.moment}"

    @property
    def script(self) -> Script:
        """What the stub is given: the rule is for the next connection, or for the one that is there."""
        if self.kind == AWAY:
            return Script.parse("CONNECT:after-read@any", hang_up=True)
        rules = () if self.rule is None else (self.rule,)
        if self.moment == "startup":
            return Script(rules)
        if self.moment == "reconnect":
            return Script(rules, hang_up=True)
        return Script(tuple(replace(rule, connection=0) for rule in rules))

    @property
    def expected(self) -> str:
        """What must come of it."""
        return "ends" if self.moment == "quit" else "recovers"


def _ruled(kind: str, table: dict[str, tuple[str, ...]]) -> Iterator[Entry]:
    return (Entry(kind, Rule.parse(text), moment) for moment, texts in table.items() for text in texts)


def _cuts(moment: str) -> Iterator[Entry]:
    yield Entry(REHEARSE, None, moment)
    for message in CUTS[moment]:
        answered = Request[message.split("#")[0]] in (*ANSWERED, Request.SET_MEM_TABLE)
        for action in CLOSING if answered else ("before-read", "after-read"):
            yield Entry(CUT, Rule.parse(f"{message}:{action}"), moment)


def _by_name(entries: Iterable[Entry]) -> dict[str, Entry]:
    # Sorted by moment (sort is stable): those of one moment share a guest.
    return {entry.name: entry for entry in sorted(entries, key=lambda entry: MOMENTS.index(entry.moment))}


DEFAULT = _by_name(
    [
        *(entry for moment in MOMENTS for entry in _cuts(moment)),
        *_ruled(LIE, LIES),
        *_ruled(GONE, GONES),
        *_ruled(SPIN, SPINS),
        *_ruled(HANG, HANGS),
        Entry(AWAY, None, "boot"),
        Entry(MANY, None, "reconnect", 20),
    ]
)
EXTRA = _by_name([*_ruled(HANG, HANGS_BY_NAME), Entry(MANY, None, "reconnect", 200)])
ENTRIES = {**DEFAULT, **EXTRA}


def is_entry(fault: str) -> bool:
    """Whether a cell's fault is an entry of the matrix: the others have no moment."""
    return "@" in fault


def named(words: Iterable[str]) -> tuple[list[str], list[str]]:
    """The entries that words name: :data:`MATRIX`, a name, or a pattern as a shell has it (``cut:*@reboot``).

    :returns: the names of entries, each once, those of a moment together; and the words that name none.
    """
    found: dict[str, None] = {}
    unknown = []
    for word in words:
        matching: Collection[str] = DEFAULT if word == MATRIX else fnmatch.filter(ENTRIES, word)
        if not matching:
            try:
                matching = [Entry.parse(word).name]
            except (ValueError, ScriptError):
                unknown.append(word)
        found |= dict.fromkeys(matching)
    return sorted(found, key=lambda name: MOMENTS.index(Entry.parse(name).moment)), unknown
