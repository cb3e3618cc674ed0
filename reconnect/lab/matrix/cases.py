"""Which cases there are: data, and the words that name them on the command line."""

from __future__ import annotations

import fnmatch
import re
import secrets
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from reconnect.lab.stub.protocol import ANSWERED, Request
from reconnect.lab.stub.script import CLOSING, CONNECT, Rule, Script, ScriptError

MATRIX = "matrix"
"""The word that stands for the default matrix."""

CUT, LIE, GONE, SPIN, HANG, LATE = "cut", "lie", "gone", "spin", "hang", "late"
REHEARSE, AWAY, MANY, FUZZ = "rehearse", "away", "many", "fuzz"
PLUG, UNPLUG, DEAD, DIMM, WEDGE = "plug", "unplug", "dead", "dimm", "wedge"
RULED = (CUT, LIE, GONE, SPIN, HANG, LATE)
COUNTED = {MANY: "reconnect", FUZZ: "reconnect", DIMM: "memory"}
"""Kinds that take a number, each with its phase."""

PHASES = (
    *("startup", "boot", "reconnect", "queues", "set-link", "stop-cont", "unload", "reboot", "migrate"),
    *("hot-plug", "memory", "quit"),
)
NEW_SEEDS = 10**6
"""A seed that is drawn is one of so many: short enough to be typed again."""

UNRULED = ("hot-plug", "memory")
"""Phases that take no rules."""

RECONNECTING = ("reconnect", "queues")
"""Phases that begin with a new connection."""

FIRST = (CONNECT, "GET_FEATURES")
"""What such a connection begins with."""

FRESH = ("startup", "boot", "quit")
"""Phases that need a QEMU of their own."""

HANDSHAKE = (
    *("GET_FEATURES", "GET_PROTOCOL_FEATURES", "SET_PROTOCOL_FEATURES", "GET_QUEUE_NUM", "SET_OWNER"),
    *("GET_FEATURES#2", "SET_VRING_CALL", "SET_VRING_ERR"),
)
RINGS = (
    *("SET_VRING_ENABLE", "SET_FEATURES", "SET_MEM_TABLE", "SET_VRING_NUM", "SET_VRING_BASE", "SET_VRING_ADDR"),
    *("SET_VRING_KICK", "SET_VRING_NUM#2", "SET_VRING_KICK#2"),
)
STOP = ("GET_VRING_BASE", "GET_VRING_BASE#2")

CUTS = {
    "startup": (*HANDSHAKE, "SET_VRING_CALL#2", "SET_VRING_ERR#2"),
    "boot": (),
    # SET_VRING_CALL: the first two belong to the handshake, one more to the start of each ring.
    # GET_FEATURES: before the handshake QEMU asks with it whether the backend answers at all.
    "reconnect": (*HANDSHAKE, "GET_FEATURES#3", *RINGS, "SET_VRING_CALL#3", "SET_VRING_CALL#4"),
    "set-link": (*STOP, *RINGS, "SET_VRING_CALL", "SET_VRING_CALL#2"),
    "stop-cont": (*STOP, *RINGS, "SET_VRING_CALL", "SET_VRING_CALL#2"),
    # Each boot takes many seconds: only the messages that QEMU waits for.
    "reboot": (*STOP, "SET_MEM_TABLE"),
    "quit": STOP,
    # What a second queue pair adds.
    "queues": ("GET_QUEUE_NUM", "SET_MEM_TABLE", "SET_VRING_ENABLE#3", "SET_VRING_KICK#3", "SET_VRING_KICK#4"),
    "unload": (*STOP, "SET_MEM_TABLE"),
    # The log is begun. (When all of the memory is sent the rings are stopped, as in stop-cont.)
    "migrate": ("SET_LOG_BASE", "SET_FEATURES", "SET_VRING_ADDR"),
}
"""The messages at which each phase is cut."""

CUT_SOMEWHERE = frozenset(text.split("#")[0] for text in (*HANDSHAKE, *RINGS, *STOP, "SET_LOG_BASE"))
"""A rehearsal that hears another message finds a hole in the matrix."""

# A backend that comes back as another, once, or answers nonsense: QEMU must give up that connection by itself, unless
# it can live with it.
HANDSHAKE_LIES = (
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
    # A backend with too few queues ends the start: nothing but another backend would mend that.
    "startup": tuple(lie for lie in HANDSHAKE_LIES if not lie.startswith("GET_QUEUE_NUM:answer")),
    # A refused memory table is not the end either, though it comes when the handshake is over: QEMU's card would fall
    # back to a data path without a switch.
    "reconnect": (*HANDSHAKE_LIES, *TABLE),
    "set-link": ("GET_VRING_BASE:wrong-request", "GET_VRING_BASE:wrong-size", *TABLE[:1]),
    "stop-cont": TABLE[:1],
}

# One that is stuck until it is killed and started again, before QEMU's patience ends.
GONES: dict[str, tuple[str, ...]] = {
    "reconnect": ("CONNECT:stall", "GET_FEATURES:stall", "GET_QUEUE_NUM:truncate", "SET_MEM_TABLE:stall"),
}

# One that is no good for a while, on each connection: QEMU must try again at its interval, and not as fast as it can.
USELESS = ("CONNECT:after-read@any", "GET_QUEUE_NUM:answer=0@any", "GET_FEATURES#any:answer=0x40000000@any")
SPINS = {"startup": USELESS[:1], "reconnect": (*USELESS, "SET_MEM_TABLE:nack@any")}

# One that keeps silent: QEMU must give it up when its time limit is over, and its monitor must answer then. Where it
# keeps silent from the first message of a reconnect on, the virtual machine must not stall meanwhile. Each takes as
# long as that limit, so only some of them are in the default matrix.
HANGS: dict[str, tuple[str, ...]] = {"reconnect": ("CONNECT:stall",), "quit": ("GET_VRING_BASE:stall",)}
HANGS_BY_NAME = {
    "startup": ("CONNECT:stall", "GET_FEATURES:stall"),
    "reconnect": ("GET_FEATURES:stall", "GET_FEATURES#2:stall", "GET_QUEUE_NUM:truncate"),
}

# One that takes longer than that limit where it may: while it maps the guest's memory, and while it owns rings, which
# it may write to whenever it goes on. QEMU may wait for it, as it does without our patches; the network must be back.
LATES: dict[str, tuple[str, ...]] = {
    "reconnect": ("SET_MEM_TABLE:delay=12000",),
    "set-link": ("GET_VRING_BASE:delay=12000",),
}
LATES_BY_NAME: dict[str, tuple[str, ...]] = {
    "stop-cont": ("GET_VRING_BASE:delay=12000",),
    "reboot": ("GET_VRING_BASE:delay=12000",),
}

# Guests with two queue pairs: a backend that comes back with one, once and for a while.
LIES["queues"] = ("GET_QUEUE_NUM:answer=1",)
SPINS["queues"] = ("GET_QUEUE_NUM:answer=1@any",)

# Entries that are no rule for the stub: what each word stands for is told in the modules of that name.
VARIANTS = {
    (PLUG, "hot-plug"): ("default", "reconnect=1", "reconnect=0", "absent", "closing", "orphan"),
    (UNPLUG, "hot-plug"): ("connected", "away", "closing", "silent", "netdev-first", "queues=2"),
    (WEDGE, "reconnect"): ("commands", "reboot"),
    (DEAD, "migrate"): ("crashed", "absent", "under-way"),
}
AWAYS = ("boot", "unload")

# Patterns of names that are not in the default matrix, which must not take more than ten minutes.
BY_NAME = (
    # A silent backend costs QEMU's time limit again and again.
    "unplug:silent@hot-plug",
    # A boot takes many seconds.
    "wedge:reboot@reconnect",
    # Another one shows as much.
    *("plug:reconnect=1@hot-plug", "plug:closing@hot-plug", "unplug:connected@hot-plug", "unplug:closing@hot-plug"),
    *("cut:GET_QUEUE_NUM:*@queues", "cut:SET_MEM_TABLE:*@queues"),
    *("cut:GET_VRING_BASE#2:*@unload", "cut:SET_MEM_TABLE:*@unload", "cut:GET_VRING_BASE#2:*@reboot"),
)

_NAME = re.compile(r"([a-z]+)(?::(.+))?@([a-z-]+)", re.ASCII)


@dataclass(frozen=True)
class Case:
    """One case of the matrix.

    :param rule: None for those of no rule.
    :param count: how many restarts (:data:`MANY`, :data:`DIMM`); the seed (:data:`FUZZ`).
    :param variant: one of :data:`VARIANTS`.
    """

    kind: str
    rule: Rule | None
    phase: str
    count: int = 0
    variant: str = ""

    @classmethod
    def parse(cls, name: str) -> Case:
        """A case from its name: of the tables here, or any other of the kind; ``fuzz`` without a seed draws one.

        :raises ValueError: it is none.
        """
        found = _NAME.fullmatch(name)
        kind, detail, phase = found.groups() if found else ("", "", "")
        ruled = phase in PHASES and phase not in UNRULED
        if ruled and kind in RULED and detail:
            return cls(kind, Rule.parse(detail), phase)
        if (phase in AWAYS if kind == AWAY else ruled and kind == REHEARSE) and not detail:
            return cls(kind, None, phase)
        if kind == FUZZ and phase == COUNTED[kind] and not detail:
            return cls(kind, None, phase, secrets.randbelow(NEW_SEEDS))
        if kind in COUNTED and phase == COUNTED[kind] and detail and detail.isdecimal():
            return cls(kind, None, phase, int(detail))
        if detail in VARIANTS.get((kind, phase), ()):
            return cls(kind, None, phase, variant=detail)
        raise ValueError(f"{name!r} is no case of the matrix")

    @property
    def name(self) -> str:
        """As on the command line and in results.json."""
        detail = str(self.rule) if self.rule else str(self.count) if self.kind in COUNTED else self.variant
        return f"{self.kind}:{detail}@{self.phase}" if detail else f"{self.kind}@{self.phase}"

    @property
    def script(self) -> Script:
        """What the stub is given: the rule is for the next connection, or for the one that is there."""
        if self.kind == AWAY:
            return Script.parse("CONNECT:after-read@any", hang_up=True)
        rules = () if self.rule is None else (self.rule,)
        if self.phase == "startup":
            return Script(rules)
        if self.phase in RECONNECTING:
            return Script(rules, hang_up=True)
        return Script(tuple(replace(rule, connection=0) for rule in rules))

    @property
    def unanswered(self) -> bool:
        """Whether the backend is silent from the first message of a connection that was made again."""
        rule = self.rule
        silent = rule is not None and rule.action == "stall" and rule.message in FIRST and rule.occurrence == 1
        return silent and self.kind == HANG and self.phase in RECONNECTING

    @property
    def expected(self) -> str:
        """What must come of it."""
        if self.phase == "quit":
            return "ends"
        return "dead" if self.variant == "reconnect=0" else "recovers"


def _ruled(kind: str, table: dict[str, tuple[str, ...]]) -> Iterator[Case]:
    return (Case(kind, Rule.parse(text), phase) for phase, texts in table.items() for text in texts)


def _cuts(phase: str) -> Iterator[Case]:
    yield Case(REHEARSE, None, phase)
    for message in CUTS[phase]:
        answered = Request[message.split("#")[0]] in (*ANSWERED, Request.SET_MEM_TABLE, Request.SET_LOG_BASE)
        for action in CLOSING if answered else ("before-read", "after-read"):
            yield Case(CUT, Rule.parse(f"{message}:{action}"), phase)


def _variants() -> Iterator[Case]:
    return (
        Case(kind, None, phase, variant=variant) for (kind, phase), variants in VARIANTS.items() for variant in variants
    )


def _by_name(cases: Iterable[Case]) -> dict[str, Case]:
    # Sorted by phase (sort is stable): those of one phase share a guest.
    return {case.name: case for case in sorted(cases, key=lambda case: PHASES.index(case.phase))}


def _by_name_alone(case: Case) -> bool:
    return any(fnmatch.fnmatchcase(case.name, pattern) for pattern in BY_NAME)


_WISHED = _by_name(
    [
        *(case for phase in PHASES if phase not in UNRULED for case in _cuts(phase)),
        *_ruled(LIE, LIES),
        *_ruled(GONE, GONES),
        *_ruled(SPIN, SPINS),
        *_ruled(HANG, HANGS),
        *_ruled(LATE, LATES),
        *(Case(AWAY, None, phase) for phase in AWAYS),
        Case(MANY, None, "reconnect", 20),
        *_variants(),
        Case(DIMM, None, "memory", 10),
    ]
)
DEFAULT = {name: case for name, case in _WISHED.items() if not _by_name_alone(case)}
EXTRA = _by_name(
    [
        *_ruled(HANG, HANGS_BY_NAME),
        *_ruled(LATE, LATES_BY_NAME),
        *filter(_by_name_alone, _WISHED.values()),
        Case(MANY, None, "reconnect", 200),
    ]
)
CASES = {**DEFAULT, **EXTRA}


def is_case(fault: str) -> bool:
    """Whether a cell's fault is a case of the matrix: the others have no phase."""
    return "@" in fault


def named(words: Iterable[str]) -> tuple[list[str], list[str]]:
    """The cases that words name: :data:`MATRIX`, a name, or a pattern as a shell has it (``cut:*@reboot``).

    :returns: the names of cases, each once, those of a phase together; and the words that name none.
    """
    found: dict[str, None] = {}
    unknown = []
    for word in words:
        matching: Collection[str] = DEFAULT if word == MATRIX else fnmatch.filter(CASES, word)
        if not matching:
            try:
                matching = [Case.parse(word).name]
            except (ValueError, ScriptError):
                unknown.append(word)
        found |= dict.fromkeys(matching)
    return sorted(found, key=lambda name: PHASES.index(Case.parse(name).phase)), unknown
