"""How far each component is, without doing anything."""

from __future__ import annotations

from dataclasses import dataclass

from reconnect.kit import stamp
from reconnect.kit.errors import ReconnectError, SourceError
from reconnect.project.config import Component, Config
from reconnect.project.workspace import Workspace
from reconnect.toolchain import building, fetching, series
from reconnect.toolchain.applying import applied_ref
from reconnect.toolchain.base import BASE, marker, resolve
from reconnect.toolchain.fetching import Fetched
from reconnect.toolchain.workbench import Workbench, source_tree


@dataclass(frozen=True)
class Status:
    """A row of the table: each field is what the user reads."""

    component: str
    stack: str
    origin: str
    fetched: str
    patched: str
    built: str


def status(workspace: Workspace, config: Config, component: Component, *, ask_origins: bool) -> Status:
    """Look at one component.

    :param ask_origins: ask the network whether the origins are there (slow where they aren't).
    """
    fetched: Fetched | None
    stacks = ", ".join(s.name for s in config.stacks.values() if component.name in s.components)
    try:
        fetched = fetching.cached(workspace, component)
    except SourceError:
        fetched = None
    if fetched:
        origin = "cached"
    elif ask_origins:
        reason = fetching.reachable(workspace, component)
        # git says "unable to access 'URL': why"; a table has no room for the URL.
        origin = "no: " + reason.splitlines()[0].split("': ")[-1] if reason else "yes"
    else:
        origin = "not asked"
    return Status(
        component.name,
        stacks,
        origin,
        fetched.version if fetched else "no",
        _patched(workspace, component),
        _built(workspace, component, fetched),
    )


def _patched(workspace: Workspace, component: Component) -> str:
    tree = source_tree(workspace, component)
    try:
        read = series.read(workspace.patches / component.series)
    except ReconnectError as error:
        return f"no: {error.what}"
    count = f"{len(read.baseline)}+{len(read.feature)} patches"
    if not (tree / ".git").exists() or not (base := resolve(tree, BASE)):
        return f"no ({count})"
    applied = resolve(tree, f"{applied_ref(read, base)}/{series.PATCHED}")
    return f"{applied[:12]} ({count})" if applied else f"outdated ({count})"


def _built(workspace: Workspace, component: Component, fetched: Fetched | None) -> str:
    """The variants that are built, and why a build would do one of them again."""
    states = []
    for variant in (series.BASELINE, series.PATCHED):
        bench = Workbench(workspace, component, variant)
        if not stamp.inputs(bench.stamp):
            continue
        tree = _tree(workspace, component, variant, fetched)
        reason = building.why_build(workspace, bench, tree)
        states.append(f"{variant} (outdated: {reason})" if reason else variant)
    return ", ".join(states) or "no"


def _tree(workspace: Workspace, component: Component, variant: str, fetched: Fetched | None) -> str:
    """The tree that a build would compile now, or nothing where that isn't in the source repository yet.

    Without its source in the cache, a component is compared with the base that was unpacked last.
    """
    tree = source_tree(workspace, component)
    base = resolve(tree, marker(fetched) if fetched else BASE)
    try:
        read = series.read(workspace.patches / component.series)
    except ReconnectError:
        return ""
    return resolve(tree, f"{applied_ref(read, base)}/{variant}", "tree") if base else ""
