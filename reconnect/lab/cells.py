"""Which cells a call asks for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import product

from reconnect.errors import ConfigError
from reconnect.lab.backends import Backend
from reconnect.lab.backends.stub import Stub
from reconnect.lab.backends.testpmd import Testpmd
from reconnect.lab.faults import FAULTS
from reconnect.lab.matrix.entries import DEFAULT, ENTRIES, MATRIX, named
from reconnect.lab.results import folder_name
from reconnect.lab.schemes import SCHEMES
from reconnect.suggest import unknown

BACKENDS: dict[str, type[Backend]] = {Testpmd.name: Testpmd, Stub.name: Stub}
DEFAULT_BACKENDS = (Testpmd.name,)
DEFAULT_FAULTS = ("crash",)
MATRIX_SCHEMES = ("default",)
"""Where no scheme is named: the others make the same messages, and cost the same time again."""


@dataclass(frozen=True)
class Cell:
    """Scheme x backend x fault, and which repeat of it, from 1."""

    scheme: str
    backend: str
    fault: str
    repeat: int = 1

    @property
    def name(self) -> str:
        """Also the name of its folder."""
        return folder_name(self.scheme, self.backend, self.fault, self.repeat)


def select(schemes: str = "", backends: str = "", faults: str = "", repeat: int = 1) -> tuple[Cell, ...]:
    """The cells that the words of a command line ask for.

    Each list is comma separated; empty means the default set (every scheme, every backend, the fault ``crash``),
    ``all`` means all. A fault may also be an entry of the matrix, a pattern over its entries, or ``matrix``; where
    the backend ``stub`` is asked for and no fault, the matrix is run too.

    :raises ConfigError: an unknown name, or ``repeat`` below 1.
    """
    if repeat < 1:
        raise ConfigError(f"--repeat {repeat}: at least 1", hint="--repeat 1 is the default")
    scheme_names = _words("scheme", schemes, SCHEMES, tuple(SCHEMES))
    backend_names = _words("backend", backends, BACKENDS, DEFAULT_BACKENDS)
    numbers = range(1, repeat + 1)
    fault_names, entries = _faults(faults, backend_names)
    # The matrix needs a peer that takes a script, and a QEMU that recovers at all.
    recovering = [name for name in scheme_names if SCHEMES[name].expected == "recovers"]
    chosen = [
        *product(scheme_names, backend_names, fault_names, numbers),
        *product(recovering if schemes.strip() else MATRIX_SCHEMES, (Stub.name,), entries, numbers),
    ]
    return tuple(Cell(*words) for words in chosen)


def _faults(text: str, backends: Collection[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Faults of the ordinary kind, and entries of the matrix."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        return DEFAULT_FAULTS, tuple(DEFAULT) if Stub.name in backends else ()
    entries, others = named(word for word in words if word not in (*FAULTS, "all"))
    if others:
        raise unknown("fault", others[0], [*FAULTS, *ENTRIES, MATRIX, "all"], "--fault")
    if entries and Stub.name not in backends:
        raise ConfigError(f"the fault {entries[0]} needs the backend {Stub.name}", hint=f"--backend {Stub.name}")
    return _words("fault", ",".join(w for w in words if w in (*FAULTS, "all")), FAULTS, ()), tuple(entries)


def _words(kind: str, text: str, known: Collection[str], default: tuple[str, ...]) -> tuple[str, ...]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        return default
    if "all" in words:
        return tuple(known)
    for word in words:
        if word not in known:
            raise unknown(kind, word, [*known, "all"], f"--{kind}")
    # Twice the same name is one cell, at its first place.
    return tuple(dict.fromkeys(words))
