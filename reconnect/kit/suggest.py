"""Refusals of unknown names, with the nearest known one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from reconnect.kit.errors import ConfigError


def unknown(kind: str, name: str, known: Iterable[str], where: str = "") -> ConfigError:
    """The error for a name that nobody knows.

    :param kind: what was named, for example ``scheme``.
    :param where: the file and table, or the option, in which it stands.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    question = f"did you mean {near[0]!r}? " if near else ""
    return ConfigError(
        f"unknown {kind} {name!r}" + (f" in {where}" if where else ""),
        hint=f"{question}known: {', '.join(names) or 'none'}",
    )
