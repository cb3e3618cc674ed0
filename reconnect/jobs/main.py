"""The main job from end to end: choose a stack, build what is missing, run the cells, report.

This is the only place that knows both the toolchain and the lab.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from reconnect.kit.console import say, step
from reconnect.kit.errors import ConfigError, VerdictError
from reconnect.kit.suggest import unknown
from reconnect.lab import cells as selection
from reconnect.lab.binaries import Binaries, Libvirt, Qemu
from reconnect.lab.guest.image import Guest, build_guest
from reconnect.lab.libvirt import places as libvirt_places
from reconnect.lab.qemu.accel import check_accelerator
from reconnect.lab.qemu.arguments import NEIGHBOURS
from reconnect.lab.run import new_run_id, run_cells
from reconnect.lab.scenario import Options
from reconnect.lab.schemes import QEMU
from reconnect.project.config import Component, Config
from reconnect.project.workspace import Workspace
from reconnect.report.results import ComponentInfo, RunResult, StackInfo
from reconnect.toolchain import building, guestpackages
from reconnect.toolchain.building import Built
from reconnect.toolchain.choice import Choice, choose
from reconnect.toolchain.fetching import fetch_all
from reconnect.toolchain.series import BASELINE, PATCHED
from reconnect.toolchain.workbench import ORDINARY, sanitized


@dataclass(frozen=True)
class Request:
    """The words of the command line; empty ones stand for the defaults of :func:`reconnect.lab.cells.select`."""

    stack: str = "auto"
    scheme: str = ""
    backend: str = ""
    fault: str = ""
    repeat: int = 1
    neighbour: str = "permanent"
    accel: str = "tcg"
    launcher: str = ""
    sanitize: bool = False


def run(workspace: Workspace, config: Config, request: Request) -> RunResult:
    """Run the main job.

    :raises VerdictError: a cell did not show what it had to show; results and reports are written all the same.
    :raises ReconnectError: see the steps; a wrong word is refused before any work.
    """
    cells = selection.select(request.scheme, request.backend, request.fault, request.repeat, request.launcher)
    if request.sanitize:
        cells = _without_libvirt(cells, named=bool(request.scheme or request.launcher))
    if request.neighbour not in NEIGHBOURS:
        raise unknown("neighbour", request.neighbour, NEIGHBOURS, "--neighbour")
    check_accelerator(request.accel)
    for name in {cell.backend for cell in cells}:
        selection.BACKENDS[name].require()
    if any(cell.launcher != QEMU for cell in cells):
        libvirt_places.require(workspace.state)
    roles = ("qemu",) if all(cell.launcher == QEMU for cell in cells) else ("qemu", "libvirt")
    choice = choose(workspace, config, request.stack)
    say(f"stack {choice.stack.name}: {choice.why}")
    components = {role: config.component(choice.stack.by_role[role]) for role in roles}
    flavours = {"qemu": sanitized(components["qemu"])} if request.sanitize else {}
    fetch_all(workspace, list(components.values()), guest=config.guest)
    guest = guest_image(workspace, config)
    builds = {
        # libvirt's baseline has no cell: it is for test-upstream to compare with.
        role: building.build(workspace, c, flavours.get(role, ORDINARY), only=PATCHED if role == "libvirt" else "")
        for role, c in components.items()
    }
    programs = binaries(workspace, components, builds)
    options = Options(neighbour=request.neighbour, accel=request.accel)
    if request.sanitize:
        sanitize = components["qemu"].sanitize
        assert sanitize, "sanitized() refuses a component without"
        programs, options = programs.told(sanitize.environment), options.slowed(sanitize.slower)
    out_dir = results_folder(workspace)
    result = run_cells(cells, programs, guest, _stack_info(choice, builds, request.sanitize), out_dir, options)
    if not result.good:
        bad = [cell for cell in result.cells if cell.verdict != "pass"]
        raise VerdictError(
            f"{len(bad)} of {len(result.cells)} cells did not show what they had to",
            why="\n".join(f"{cell.name}: {cell.why}" for cell in bad),
            hint="\n".join(f"look in {out_dir / cell.name}" for cell in bad),
        )
    return result


def guest_image(workspace: Workspace, config: Config) -> Guest:
    """The test guest, made from its packages where it isn't there yet."""
    debs = guestpackages.fetch(workspace, config.guest)
    with step("guest image") as current:
        guest = build_guest(debs.kernel, debs.busybox, workspace.guest)
        current.done(f"kernel {guest.kernel_version}")
    return guest


def binaries(
    workspace: Workspace, components: Mapping[str, Component], builds: Mapping[str, Mapping[str, Built]]
) -> Binaries:
    """What the lab is given of the builds.

    :param components: by role: ``qemu``, and ``libvirt`` where a cell needs it.
    :param builds: by role, then by variant.
    :raises ConfigError: QEMU's series has no baseline part, so there is nothing to compare with.
    """
    component = components["qemu"]
    if BASELINE not in builds["qemu"]:
        raise ConfigError(
            f"the series {component.series} has no '# feature' line: there is no baseline to compare with"
        )
    return Binaries(
        qemu(component, builds["qemu"][BASELINE]),
        qemu(component, builds["qemu"][PATCHED]),
        libvirt(workspace, components["libvirt"], builds["libvirt"][PATCHED]) if "libvirt" in builds else None,
    )


def libvirt(workspace: Workspace, component: Component, built: Built) -> Libvirt:
    """What the lab is given of a build of libvirt. Only the patched one can be run: see building."""
    return Libvirt(component.name, built.version, built.prefix, workspace.state)


def qemu(component: Component, built: Built) -> Qemu:
    """What the lab is given of a build of QEMU."""
    return Qemu(
        name=component.name,
        version=built.version,
        binary=built.product,
        # An absolute folder of stacks.toml stays as it is: joining replaces the prefix.
        data=tuple(built.prefix / folder for folder in component.build.firmware),
        commit=built.commit,
        series=built.series,
        tree=built.tree,
    )


def _without_libvirt(cells: tuple[selection.Cell, ...], *, named: bool) -> tuple[selection.Cell, ...]:
    """The cells that the sanitizer can run.

    :raises ConfigError: others were asked for by name.
    """
    direct = tuple(cell for cell in cells if cell.launcher == QEMU)
    if named and direct != cells:
        raise ConfigError(
            "--sanitize works without libvirt only",
            why="libvirt starts QEMU with an environment of its own",
            hint="name schemes that QEMU alone can run, with --launcher qemu",
        )
    return direct


def _stack_info(choice: Choice, builds: Mapping[str, Mapping[str, Built]], sanitize: bool) -> StackInfo:
    patched = {role: variants[PATCHED] for role, variants in builds.items()}
    facts = {role: ComponentInfo(b.version, b.commit, b.series, b.tree) for role, b in patched.items()}
    if sanitize:
        facts["qemu"] = replace(facts["qemu"], version=f"{facts['qemu'].version} with AddressSanitizer")
    return StackInfo(choice.stack.name, choice.chosen, choice.why, facts)


def results_folder(workspace: Workspace) -> Path:
    """A new folder for the run, and ``latest`` pointing to it."""
    workspace.results.mkdir(parents=True, exist_ok=True)
    run_id = new_run_id()
    number = 1
    # Two runs may begin in one second.
    while True:
        folder = workspace.results / (run_id if number == 1 else f"{run_id}-{number}")
        try:
            folder.mkdir()
            break
        except FileExistsError:
            number += 1
    partial = workspace.results / f".latest-{folder.name}"
    partial.symlink_to(folder.name)
    partial.replace(workspace.results / "latest")
    return folder
