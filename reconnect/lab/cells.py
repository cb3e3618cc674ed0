"""Which cells a call asks for."""

from __future__ import annotations

from collections.abc import Collection
from itertools import product

from reconnect.kit.errors import ConfigError
from reconnect.kit.suggest import unknown
from reconnect.lab.backends.known import BACKENDS, BackendSpec
from reconnect.lab.backends.stub import Stub
from reconnect.lab.backends.testpmd import Testpmd
from reconnect.lab.cell import Cell
from reconnect.lab.faults import FAULTS
from reconnect.lab.matrix.cases import CASES, DEFAULT, MATRIX, named
from reconnect.lab.schemes import LAUNCHERS, QEMU, SCHEMES

ALL = "all"
"""The word that stands for all of a kind."""

DEFAULT_BACKENDS = (Testpmd.name,)
DEFAULT_FAULTS = ("crash",)
MATRIX_SCHEMES = ("default",)
"""Where no scheme is named: the others make the same messages, and cost the same time again."""


def select(
    schemes: str = "", backends: str = "", faults: str = "", repeat: int = 1, launcher: str = ""
) -> tuple[Cell, ...]:
    """The cells that the words of a command line ask for.

    Each list is comma separated; empty means the default set (every scheme, every backend, the fault ``crash``),
    ``all`` means all. A fault may also be a case of the matrix, a pattern over its cases, or ``matrix``; where
    the backend ``stub`` is asked for and no fault, the matrix is run too. Where nothing is said of ``launcher``, a
    scheme's guest is started the first way that it has: by QEMU alone, or through libvirt if it is libvirt's. A fault
    is left out in the schemes that it means nothing to.

    :raises ConfigError: an unknown name, ``repeat`` below 1, a scheme that has no such launcher, or a fault that is
        named and means nothing to any of the schemes; or no cell is left.
    """
    if repeat < 1:
        raise ConfigError(f"--repeat {repeat}: at least 1", hint="--repeat 1 is the default")
    scheme_names = _words("scheme", schemes, SCHEMES, tuple(SCHEMES))
    backend_names = _backends(backends)
    numbers = range(1, repeat + 1)
    fault_names, cases = _faults(faults, backend_names)
    ways = _ways(scheme_names, launcher, named_schemes=bool(_split(schemes)))
    # The matrix needs a peer that takes a script, and a QEMU that recovers at all and is called directly.
    takes_matrix = [name for name in scheme_names if _takes_matrix(name) and QEMU in ways[name]]
    fitting = {name: [scheme for scheme in scheme_names if _fits(scheme, name)] for name in fault_names}
    if (idle := [name for name in fault_names if not fitting[name]]) and ALL not in _split(faults):
        raise ConfigError(
            f"the fault {idle[0]} means nothing to the scheme {', '.join(scheme_names)}",
            why="it needs a QEMU that connects again to a switch that listens",
            hint=f"--scheme {', or '.join(name for name in SCHEMES if _fits(name, idle[0]))}",
        )
    asked = product(scheme_names, backend_names, fault_names, numbers)
    ordinary = (words for words in asked if words[0] in fitting[words[2]])
    if not _split(schemes):
        takes_matrix = [name for name in takes_matrix if name in MATRIX_SCHEMES]
    matrix = product(takes_matrix, (Stub.name,), cases, numbers)
    cells = (
        *(Cell(*words, launcher=way) for words in ordinary for way in ways[words[0]]),
        *(Cell(*words) for words in matrix),
    )
    if not cells:
        raise ConfigError(
            f"no cell has all of this: scheme {', '.join(scheme_names)}; fault {faults}; launcher {launcher or 'any'}",
            why="a case of the matrix needs a scheme that recovers, and whose guest QEMU starts alone",
            hint=f"--scheme {', or '.join(filter(_takes_matrix, SCHEMES))}, with --launcher {QEMU}",
        )
    return cells


def _backends(text: str) -> tuple[str, ...]:
    """Backends with their options, as they were written; ``all`` is each without options."""
    words = _split(text)
    for word in words:
        if word != ALL:
            BackendSpec.parse(word)
    return tuple(BACKENDS) if ALL in words else tuple(dict.fromkeys(words)) or DEFAULT_BACKENDS


def _fits(scheme: str, fault: str) -> bool:
    """Whether a fault means anything to a scheme: one holds a switch that listens, and to which QEMU connects again."""
    chosen = SCHEMES[scheme]
    return not FAULTS[fault].hold or (chosen.expected == "recovers" and not chosen.qemu_listens)


def _takes_matrix(scheme: str) -> bool:
    return SCHEMES[scheme].expected == "recovers" and QEMU in SCHEMES[scheme].launchers


def _ways(schemes: Collection[str], text: str, *, named_schemes: bool) -> dict[str, tuple[str, ...]]:
    """Through what each scheme's guests are started."""
    asked = _words("launcher", text, LAUNCHERS, ())
    ways = {}
    for name in schemes:
        possible = SCHEMES[name].launchers
        ways[name] = tuple(way for way in asked if way in possible) if asked else possible[:1]
        if not ways[name] and named_schemes:
            raise ConfigError(
                f"the scheme {name} has no launcher {', '.join(asked)}",
                why="it is libvirt's: QEMU alone knows nothing of it",
                hint=f"--launcher {', or '.join(possible)}",
            )
    return ways


def _faults(text: str, backends: Collection[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Faults of the ordinary kind, and cases of the matrix."""
    words = _split(text)
    if not words:
        return DEFAULT_FAULTS, tuple(DEFAULT) if Stub.name in backends else ()
    cases, others = named(word for word in words if word not in (*FAULTS, ALL))
    if others:
        raise unknown("fault", others[0], [*FAULTS, *CASES, MATRIX, ALL], "--fault")
    if cases and Stub.name not in backends:
        raise ConfigError(f"the fault {cases[0]} needs the backend {Stub.name}", hint=f"--backend {Stub.name}")
    return _words("fault", ",".join(w for w in words if w in (*FAULTS, ALL)), FAULTS, ()), tuple(cases)


def _split(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _words(kind: str, text: str, known: Collection[str], default: tuple[str, ...]) -> tuple[str, ...]:
    words = _split(text)
    if not words:
        return default
    for word in words:
        if word not in (*known, ALL):
            raise unknown(kind, word, [*known, ALL], f"--{kind}")
    if ALL in words:
        return tuple(known)
    # Twice the same name is one cell, at its first place.
    return tuple(dict.fromkeys(words))
