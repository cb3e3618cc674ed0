"""From a component's name to an install prefix: fetch, unpack, patch, configure, compile, install.

Both variants of a component are built in one object folder, one after the other: the source tree moves between
their commits, and only what differs is compiled again. Each install appears whole, by a rename.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from reconnect.kit import disk, stamp
from reconnect.kit.console import say, step
from reconnect.kit.errors import BuildError
from reconnect.kit.lock import exclusive
from reconnect.project.config import Component
from reconnect.project.workspace import Workspace
from reconnect.toolchain import applying
from reconnect.toolchain.applying import Applied
from reconnect.toolchain.base import import_base
from reconnect.toolchain.fetching import Fetched, fetch
from reconnect.toolchain.gitrepo import clear_locks
from reconnect.toolchain.recipes import BuildPaths
from reconnect.toolchain.series import PATCHED, Series
from reconnect.toolchain.series import read as read_series
from reconnect.toolchain.workbench import ORDINARY, Flavour, Workbench, source_tree


@dataclass(frozen=True)
class Built:
    """One finished variant.

    :param prefix: its install folder.
    :param commit: the patched commit that it was compiled from, ``tree`` that commit's tree.
    :param series: the patches in it.
    """

    component: Component
    variant: str
    prefix: Path
    version: str
    commit: str
    tree: str
    series: tuple[str, ...]

    @property
    def product(self) -> Path:
        """The first file that stacks.toml names as a product: the program itself."""
        return self.prefix / self.component.build.products[0]


@dataclass(frozen=True)
class Patched:
    """A component whose source repository holds the commits of all its variants."""

    fetched: Fetched
    series: Series
    base: str
    applied: Applied


def patch(workspace: Workspace, component: Component) -> Patched:
    """Fetch, unpack and patch one component, and bring its source tree to the patched commit."""
    with exclusive(workspace.work(component.name), f"patch {component.name}"):
        patched = prepare(workspace, component)
        applying.checkout(source_tree(workspace, component), list(patched.applied.commits.values())[-1])
    return patched


def build(
    workspace: Workspace,
    component: Component,
    flavour: Flavour = ORDINARY,
    only: str = "",
    fetched: Fetched | None = None,
) -> dict[str, Built]:
    """Build all variants of one component, unless they are there.

    :param flavour: each has objects and install folders of its own.
    :param only: just this variant.
    :param fetched: its source, where the caller has it: the cache isn't looked at again.
    :returns: the builds by the name of their variant.
    :raises BuildError: configure or compile failed; shows the first error and the log.
    """
    with exclusive(workspace.work(component.name), f"build {component.name}"):
        patched = prepare(workspace, component, fetched)
        variants = [only] if only else patched.series.variants
        return {v: _variant(workspace, patched, v, flavour) for v in variants}


def described(workspace: Workspace, component: Component, fetched: Fetched | None = None) -> Built:
    """What :func:`build` would make of the whole series, without making it: fetches and patches what isn't yet."""
    with exclusive(workspace.work(component.name), f"patch {component.name}"):
        return _built(workspace, prepare(workspace, component, fetched), PATCHED, ORDINARY)


def prepare(workspace: Workspace, component: Component, fetched: Fetched | None = None) -> Patched:
    """Fetch, unpack and patch one component; its source tree stays where it is. The caller holds its lock."""
    series = read_series(workspace.patches / component.series)
    tree = source_tree(workspace, component)
    if not (tree / ".git").exists():
        disk.require(workspace.build, component.build.disk_mib, component.name)
    fetched = fetched or fetch(workspace, component)
    clear_locks(tree)
    base = import_base(fetched, tree)
    return Patched(fetched, series, base, applying.apply(series, base, tree))


def _variant(workspace: Workspace, patched: Patched, variant: str, flavour: Flavour) -> Built:
    component = patched.fetched.component
    bench = Workbench(workspace, component, variant, flavour)
    built = _built(workspace, patched, variant, flavour)
    prefix = built.prefix
    reason = why_build(workspace, bench, built.tree)
    if not reason:
        say(f"    {component.name} {bench.name}: up to date ({built.commit[:12]})")
        return built
    bench.stamp.unlink(missing_ok=True)
    disk.require(workspace.build, component.build.disk_mib // 2, f"building {component.name}")
    with step(f"build {component.name} {bench.name}") as current:
        say(f"    {reason}")
        bench.begin(built.commit, current)
        bench.run("compile", bench.recipe.compile(bench.build, bench.place))
        shutil.rmtree(bench.place.destdir, ignore_errors=True)
        for argv in bench.recipe.install(bench.build, bench.place):
            bench.run("install", argv)
        publish(workspace, component, bench.place, prefix)
        stamp.write(bench.stamp, _inputs(bench, built.tree))
        current.done(f"{prefix.relative_to(workspace.root)} from {built.commit[:12]}")
    return built


def _built(workspace: Workspace, patched: Patched, variant: str, flavour: Flavour) -> Built:
    component = patched.fetched.component
    return Built(
        component,
        variant,
        workspace.install(component.name, Workbench(workspace, component, variant, flavour).name),
        patched.fetched.version,
        patched.applied.commits[variant],
        patched.applied.trees[variant],
        tuple(p.name for p in patched.series.upto(variant)),
    )


def why_build(workspace: Workspace, bench: Workbench, tree: str) -> str:
    """Why a variant must be built (again), as :func:`reconnect.kit.stamp.why_redo` says it.

    :param tree: of the commit that it is to be compiled from; empty where there is none yet.
    """
    prefix = workspace.install(bench.component.name, bench.name)
    return stamp.why_redo(bench.stamp, _inputs(bench, tree), {p: prefix / p for p in bench.component.build.products})


def _inputs(bench: Workbench, tree: str) -> dict[str, str]:
    return {"source (base or patches)": tree, **bench.configure_inputs}


def publish(workspace: Workspace, component: Component, place: BuildPaths, prefix: Path) -> None:
    """Bring a staged install to its folder, in place of what is there, once nobody runs that any more.

    :raises BuildError: a product of stacks.toml is not in it.
    """
    staged = place.destdir / place.prefix.relative_to("/")
    gone = [p for p in component.build.products if not (staged / p).exists()]
    if gone:
        raise BuildError(
            f"{component.name} was installed without {', '.join(gone)}",
            why="stacks.toml names it in build.products",
            hint="mend the configure options or the list of products",
        )
    old = prefix.with_name(f".{prefix.name}.old")
    with exclusive(workspace.use(component.name), f"install {component.name}"):
        prefix.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(old, ignore_errors=True)
        if prefix.exists():
            prefix.rename(old)
        staged.rename(prefix)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(place.destdir, ignore_errors=True)
