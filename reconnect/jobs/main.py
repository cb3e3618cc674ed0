"""The main job from end to end: choose a stack, build what is missing, run the cells, report.

This is the only place that knows both the toolchain and the lab.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

from reconnect.jobs import handover, pages
from reconnect.kit.console import say
from reconnect.kit.errors import ConfigError, VerdictError
from reconnect.kit.suggest import unknown
from reconnect.lab.backends.known import BackendSpec
from reconnect.lab.backends.ovs import Ovs
from reconnect.lab.cell import Cell
from reconnect.lab.cells import select
from reconnect.lab.libvirt import places as libvirt_places
from reconnect.lab.options import Options
from reconnect.lab.qemu.accel import check_accelerator
from reconnect.lab.qemu.arguments import NEIGHBOURS
from reconnect.lab.run import run_cells
from reconnect.lab.schemes import QEMU
from reconnect.project.config import Config
from reconnect.project.workspace import Workspace
from reconnect.report.results import ComponentInfo, RunResult, StackInfo
from reconnect.toolchain import building
from reconnect.toolchain.building import Built
from reconnect.toolchain.choice import Choice, choose
from reconnect.toolchain.fetching import fetch_all
from reconnect.toolchain.series import PATCHED
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
    cells = select(request.scheme, request.backend, request.fault, request.repeat, request.launcher)
    if request.sanitize:
        cells = _without_libvirt(cells, named=bool(request.scheme or request.launcher))
    if request.neighbour not in NEIGHBOURS:
        raise unknown("neighbour", request.neighbour, NEIGHBOURS, "--neighbour")
    check_accelerator(request.accel)
    backends = [BackendSpec.parse(name) for name in sorted({cell.backend for cell in cells})]
    for backend in backends:
        backend.require()
    switches = [config.switch(Ovs.name)] if any(backend.name == Ovs.name for backend in backends) else []
    if any(cell.launcher != QEMU for cell in cells):
        libvirt_places.require(workspace.state)
    roles = ("qemu",) if all(cell.launcher == QEMU for cell in cells) else ("qemu", "libvirt")
    choice = choose(workspace, config, request.stack)
    say(f"stack {choice.stack.name}: {choice.why}")
    components = {role: config.component(choice.stack.by_role[role]) for role in roles}
    flavours = {"qemu": sanitized(components["qemu"])} if request.sanitize else {}
    fetch_all(workspace, list(components.values()), guest=config.guest)
    guest = handover.guest_image(workspace, config)
    builds = {
        # libvirt's baseline has no cell: it is for test-upstream to compare with.
        role: building.build(workspace, c, flavours.get(role, ORDINARY), only=PATCHED if role == "libvirt" else "")
        for role, c in components.items()
    }
    programs = replace(handover.binaries(workspace, components, builds), ovs=handover.open_vswitch(workspace, switches))
    options = Options(neighbour=request.neighbour, accel=request.accel)
    if request.sanitize:
        sanitize = components["qemu"].sanitize
        assert sanitize, "sanitized() refuses a component without"
        programs, options = programs.told(sanitize.environment), options.slowed(sanitize.slower)
    out_dir = handover.results_folder(workspace)
    result = run_cells(cells, programs, guest, _stack_info(choice, builds, request.sanitize), out_dir, options)
    say(f"report: {os.path.relpath(pages.write(workspace, result, out_dir))}")
    if not result.good:
        bad = [cell for cell in result.cells if cell.verdict != "pass"]
        raise VerdictError(
            f"{len(bad)} of {len(result.cells)} cells did not show what they had to",
            why="\n".join(f"{cell.name}: {cell.why}" for cell in bad),
            hint="\n".join(f"look in {out_dir / cell.name}" for cell in bad),
        )
    return result


def _without_libvirt(cells: tuple[Cell, ...], *, named: bool) -> tuple[Cell, ...]:
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
