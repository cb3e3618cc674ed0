"""How far each component is, without doing anything."""

from __future__ import annotations

from dataclasses import dataclass

from reconnect.kit import stamp
from reconnect.kit.errors import ReconnectError, SourceError
from reconnect.project.config import Component, Config
from reconnect.project.workspace import Workspace
from reconnect.toolchain import fetching, series
from reconnect.toolchain.base import resolve


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
    stacks = ", ".join(s.name for s in config.stacks.values() if component.name in s.components)
    try:
        fetched = fetching.cached(workspace, component).version
    except SourceError:
        fetched = "no"
    if fetched != "no":
        origin = "cached"
    elif ask_origins:
        reason = fetching.reachable(workspace, component)
        # git says "unable to access 'URL': why"; a table has no room for the URL.
        origin = "no: " + reason.splitlines()[0].split("': ")[-1] if reason else "yes"
    else:
        origin = "not asked"
    return Status(component.name, stacks, origin, fetched, _patched(workspace, component), _built(workspace, component))


def _patched(workspace: Workspace, component: Component) -> str:
    tree = workspace.work(component.name) / "source"
    try:
        read = series.read(workspace.patches / component.series)
    except ReconnectError as error:
        return f"no: {error.what}"
    count = f"{len(read.baseline)}+{len(read.feature)} patches"
    if not (tree / ".git").exists() or not (base := resolve(tree, "refs/reconnect/base")):
        return f"no ({count})"
    applied = resolve(tree, f"refs/reconnect/applied/{base[:12]}-{read.digest()[:24]}/{series.PATCHED}")
    return f"{applied[:12]} ({count})" if applied else f"outdated ({count})"


def _built(workspace: Workspace, component: Component) -> str:
    work = workspace.work(component.name)
    stamps = [v for v in (series.BASELINE, series.PATCHED) if (work / f"{v}.built.json").is_file()]
    gone = [
        v
        for v in stamps
        if stamp.why_redo(
            work / f"{v}.built.json",
            stamp.inputs(work / f"{v}.built.json"),
            {p: workspace.install(component.name, v) / p for p in component.build.products},
        )
    ]
    return ", ".join(v for v in stamps if v not in gone) or "no"
