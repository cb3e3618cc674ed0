"""Which cells a call asks for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import product

from reconnect.errors import ConfigError
from reconnect.lab.backends import Backend
from reconnect.lab.backends.testpmd import Testpmd
from reconnect.lab.faults import FAULTS
from reconnect.lab.schemes import SCHEMES
from reconnect.suggest import unknown

BACKENDS: dict[str, type[Backend]] = {Testpmd.name: Testpmd}
DEFAULT_FAULTS = ("crash",)


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
        return f"{self.scheme}-{self.backend}-{self.fault}-{self.repeat}"


def select(schemes: str = "", backends: str = "", faults: str = "", repeat: int = 1) -> tuple[Cell, ...]:
    """The cells that the words of a command line ask for.

    Each list is comma separated; empty means the default set (every scheme, every backend, the fault ``crash``),
    ``all`` means all.

    :raises ConfigError: an unknown name, or ``repeat`` below 1.
    """
    if repeat < 1:
        raise ConfigError(f"--repeat {repeat}: at least 1", hint="--repeat 1 is the default")
    chosen = product(
        _words("scheme", schemes, SCHEMES, tuple(SCHEMES)),
        _words("backend", backends, BACKENDS, tuple(BACKENDS)),
        _words("fault", faults, FAULTS, DEFAULT_FAULTS),
        range(1, repeat + 1),
    )
    return tuple(Cell(*words) for words in chosen)


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
