"""From a component's name to an install prefix: fetch, unpack, patch, configure, compile, install.

Both variants of a component are built in one object folder, one after the other: the source tree moves between
their commits, and only what differs is compiled again. Each install appears whole, by a rename.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from reconnect import command
from reconnect.command import CommandError, pasteable
from reconnect.config import ANYWHERE, Component
from reconnect.console import say, step
from reconnect.errors import BuildError
from reconnect.toolchain import applying, disk, stamp
from reconnect.toolchain.applying import Applied
from reconnect.toolchain.base import import_base
from reconnect.toolchain.fetching import Fetched, fetch
from reconnect.toolchain.gitrepo import clear_locks
from reconnect.toolchain.lock import exclusive
from reconnect.toolchain.recipes import Argv, Place, find
from reconnect.toolchain.series import PATCHED, Series
from reconnect.toolchain.series import read as read_series
from reconnect.workspace import Workspace

COMPILE_SECONDS = 5400.0
"""Deadline of one compile; a slow machine takes half an hour."""

_ERROR = re.compile(
    r": (?:fatal )?error: |: undefined reference to|(?:^|: )ERROR: |: \*\*\* |^\S+Error: |multiple definition of"
)


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
        patched = _patch(workspace, component)
        applying.checkout(_tree(workspace, component), list(patched.applied.commits.values())[-1])
    return patched


def build(workspace: Workspace, component: Component) -> dict[str, Built]:
    """Build all variants of one component, unless they are there.

    :returns: the builds by the name of their variant.
    :raises BuildError: configure or compile failed; shows the first error and the log.
    """
    with exclusive(workspace.work(component.name), f"build {component.name}"):
        patched = _patch(workspace, component)
        return {v: _variant(workspace, patched, v) for v in patched.series.variants}


def _patch(workspace: Workspace, component: Component) -> Patched:
    series = read_series(workspace.patches / component.series)
    tree = _tree(workspace, component)
    if not (tree / ".git").exists():
        disk.require(workspace.build, component.build.disk_mib, component.name)
    fetched = fetch(workspace, component)
    clear_locks(tree)
    base = import_base(fetched, tree)
    return Patched(fetched, series, base, applying.apply(series, base, tree))


def _variant(workspace: Workspace, patched: Patched, variant: str) -> Built:
    component = patched.fetched.component
    work = workspace.work(component.name)
    prefix = workspace.install(component.name, variant)
    place = Place(
        source=_tree(workspace, component),
        objects=work / "objects",
        # All variants share their objects, and so their configured prefix: a baseline that isn't relocatable can be
        # looked at, but runs with the patched variant's files.
        prefix=ANYWHERE if component.build.relocatable else workspace.install(component.name, PATCHED),
        destdir=work / f"stage-{variant}",
        programs=Path(sys.executable).parent,
        jobs=workspace.settings.jobs,
    )
    configured = _configure_inputs(component, place)
    built = Built(
        component,
        variant,
        prefix,
        patched.fetched.version,
        patched.applied.commits[variant],
        patched.applied.trees[variant],
        tuple(p.name for p in patched.series.upto(variant)),
    )
    inputs = {"source (base or patches)": built.tree, **configured}
    done = work / f"{variant}.built.json"
    reason = stamp.why_redo(done, inputs, {p: prefix / p for p in component.build.products})
    if not reason:
        say(f"    {component.name} {variant}: up to date ({built.commit[:12]})")
        return built
    done.unlink(missing_ok=True)
    disk.require(workspace.build, component.build.disk_mib // 2, f"building {component.name}")
    with step(f"build {component.name} {variant}") as current:
        say(f"    {reason}")
        applying.checkout(place.source, built.commit)
        log = work / "logs" / f"{variant}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        environment = _environment(workspace)

        def run(what: str, argv: Argv, cwd: Path) -> None:
            current.progress(what)
            try:
                command.run(
                    argv,
                    cwd=cwd,
                    env=environment,
                    log=log,
                    timeout=COMPILE_SECONDS,
                    on_line=lambda line: current.progress(f"{what} {line}"),
                )
            except CommandError as error:
                raise _failure(component, variant, what, error, log) from error

        recipe = find(component.build.recipe)
        stamped = work / "configured.json"
        if stamp.why_redo(stamped, configured, {"objects": place.objects}):
            stamped.unlink(missing_ok=True)
            shutil.rmtree(place.objects, ignore_errors=True)
            place.objects.mkdir(parents=True)
            for argv in component.build.prepare:
                run("prepare", list(argv), place.source)
            run("configure", recipe.configure(component.build, place), place.objects)
            stamp.write(stamped, configured)
        run("compile", recipe.compile(component.build, place), place.objects)
        shutil.rmtree(place.destdir, ignore_errors=True)
        run("install", recipe.install(component.build, place), place.objects)
        _publish(component, place, prefix)
        stamp.write(done, inputs)
        current.done(f"{prefix.relative_to(workspace.root)} from {built.commit[:12]}")
    return built


def _configure_inputs(component: Component, place: Place) -> dict[str, str]:
    """What a configure step depends on; a change of any of these makes the objects worthless."""
    build = component.build
    return {
        "configure options": stamp.digest(
            *find(build.recipe).configure(build, place), *(word for argv in build.prepare for word in argv)
        ),
        "compiler": command.run(["gcc", "-dumpfullversion", "-dumpmachine"], check=False).output.strip(),
        "component version": component.version,
    }


def _environment(workspace: Workspace) -> dict[str, str]:
    return {
        "CC": "ccache gcc",
        "CXX": "ccache g++",
        "CCACHE_DIR": str(workspace.cache_dir("ccache")),
        # Two checkouts share what they compile: paths below the build folder are hashed as relative ones.
        "CCACHE_BASEDIR": str(workspace.build),
        "CCACHE_NOHASHDIR": "1",
        "CCACHE_MAXSIZE": "5G",
        # The programs of our own environment (meson, ninja) first, for build scripts that look for them.
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '/usr/bin:/bin')}",
        "LC_ALL": "C.UTF-8",
        "MAKEFLAGS": "",
    }


def _publish(component: Component, place: Place, prefix: Path) -> None:
    staged = place.destdir / place.prefix.relative_to("/")
    gone = [p for p in component.build.products if not (staged / p).exists()]
    if gone:
        raise BuildError(
            f"{component.name} was installed without {', '.join(gone)}",
            why="stacks.toml names it in build.products",
            hint="mend the configure options or the list of products",
        )
    old = prefix.with_name(f".{prefix.name}.old")
    prefix.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(old, ignore_errors=True)
    if prefix.exists():
        prefix.rename(old)
    staged.rename(prefix)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(place.destdir, ignore_errors=True)


def _failure(component: Component, variant: str, what: str, error: CommandError, log: Path) -> BuildError:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else list(error.tail)
    first = next((line.strip() for line in lines if _ERROR.search(line)), "")
    tail = "\n".join(f"| {line}" for line in error.tail[-6:])
    return BuildError(
        f"{component.name} {variant}: {what} failed" + (f": {first}" if first else ""),
        why=f"{pasteable(error.argv, error.cwd)}\nended with {error.ending}; last lines:\n{tail}",
        hint=f"read {log}\nwhat has been compiled is kept: the same command goes on from here",
    )


def _tree(workspace: Workspace, component: Component) -> Path:
    return workspace.work(component.name) / "source"
