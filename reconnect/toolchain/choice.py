"""Which stack a call works on. A stack that is named is never replaced by another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconnect.project.config import Config, Stack
from reconnect.project.workspace import Workspace
from reconnect.toolchain.fetching import Fetched, look

AUTO = "auto"
REFERENCE = "qemu-2.7"
FALLBACK = "debian-12"


@dataclass(frozen=True)
class Choice:
    """A stack, whether it was ``named`` or chosen by ``auto``, and why; goes into the report as it is.

    :param fetched: what was found in the cache on the way, by the name of the component.
    """

    stack: Stack
    chosen: str
    why: str
    fetched: Mapping[str, Fetched] = field(default_factory=dict)


def choose(workspace: Workspace, config: Config, name: str) -> Choice:
    """The stack of that name; for ``auto`` the reference stack where all its sources can be had, else Debian's.

    :raises reconnect.kit.errors.ConfigError: an unknown name.
    """
    if name != AUTO:
        return Choice(config.stack(name), "named", "named on the command line")
    reference = config.stack(REFERENCE)
    found: dict[str, Fetched] = {}
    for component in map(config.component, reference.components):
        fetched, reason = look(workspace, component)
        if fetched:
            found[component.name] = fetched
        if reason:
            lines = reason.splitlines()
            more = f" (and {len(lines) - 1} more origins)" if len(lines) > 1 else ""
            return Choice(config.stack(FALLBACK), AUTO, f"{component.name} is unavailable: {lines[0]}{more}")
    return Choice(reference, AUTO, f"the sources of {' and '.join(reference.components)} can be had", found)
