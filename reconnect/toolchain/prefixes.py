"""Every prefix of a series, compiled: whoever bisects the patched program must find no step that doesn't build.

The baseline part is one step: it is what the program needs to compile here at all. The prefixes have objects of their
own, in which only what a patch changes is compiled again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from reconnect.kit import disk
from reconnect.kit.console import say, step
from reconnect.kit.errors import BuildError
from reconnect.kit.lock import exclusive
from reconnect.project.config import Component
from reconnect.project.workspace import Workspace
from reconnect.toolchain import building
from reconnect.toolchain.building import Built
from reconnect.toolchain.gitrepo import git
from reconnect.toolchain.series import PATCHED
from reconnect.toolchain.workbench import Flavour, Workbench

EACH = Flavour("each")


def compile_each(workspace: Workspace, component: Component) -> Iterator[Built]:
    """Compile and install a component after the baseline part of its series, and after each patch from there on.

    :returns: the builds in the order of the series, each with the patches in it. They share one install folder: each
        is good until the next one is asked for. The component stays locked meanwhile.
    :raises BuildError: one doesn't compile; names the patch.
    """
    with exclusive(workspace.work(component.name), f"compile each patch of {component.name}"):
        patched = building.prepare(workspace, component)
        patches = patched.series.patches
        disk.require(workspace.build, component.build.disk_mib, component.name)
        bench = Workbench(workspace, component, PATCHED, EACH)
        prefix = workspace.install(component.name, bench.name)
        head = patched.applied.commits[PATCHED]
        first = max(len(patched.series.baseline), 1)
        commits = git("rev-list", "--reverse", f"{patched.base}..{head}", cwd=bench.place.source).output.split()
        for number, (patch, commit) in list(enumerate(zip(patches, commits, strict=True), 1))[first - 1 :]:
            with step(f"{component.name} with {number} of {len(patches)} patches") as current:
                say(f"    {patch.name}")
                try:
                    bench.begin(commit, current)
                    bench.run("compile", bench.recipe.compile(bench.build, bench.place))
                    shutil.rmtree(bench.place.destdir, ignore_errors=True)
                    for argv in bench.recipe.install(bench.build, bench.place):
                        bench.run("install", argv)
                except BuildError as error:
                    raise BuildError(
                        f"{component.series}/{patch.name} does not compile without the patches after it",
                        why=str(error),
                        hint="move what it lacks into it, or change the order of the series",
                    ) from error
                building.publish(workspace, component, bench.place, prefix)
            names = tuple(p.name for p in patches[:number])
            tree = git("rev-parse", f"{commit}^{{tree}}", cwd=bench.place.source).output.strip()
            yield Built(component, bench.name, prefix, patched.fetched.version, commit, tree, names)
