"""The main job from end to end: choose a stack, build what is missing, run the cells, report.

This is the only place that knows both the toolchain and the lab.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from reconnect.jobs import handover, pages
from reconnect.kit.console import say
from reconnect.kit.errors import ConfigError, VerdictError
from reconnect.kit.suggest import unknown
from reconnect.lab.backends.known import BackendSpec
from reconnect.lab.backends.ovs import Ovs
from reconnect.lab.cell import Cell
from reconnect.lab.cells import select
from reconnect.lab.duration import seconds_of
from reconnect.lab.libvirt import places as libvirt_places
from reconnect.lab.options import Options
from reconnect.lab.qemu.accel import check_accelerator
from reconnect.lab.qemu.arguments import NEIGHBOURS
from reconnect.lab.run import run_cells
from reconnect.lab.schemes import QEMU
from reconnect.lab.shard import Shard
from reconnect.project.config import Config
from reconnect.project.workspace import Workspace
from reconnect.report.plan import Plan
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
    shard: str = ""


def run(workspace: Workspace, config: Config, request: Request) -> RunResult:
    """Run the main job.

    :raises VerdictError: a cell did not show what it had to show; results and reports are written all the same.
    :raises ReconnectError: see the steps; a wrong word is refused before any work.
    """
    planned, cells = _cells(request)
    if request.neighbour not in NEIGHBOURS:
        raise unknown("neighbour", request.neighbour, NEIGHBOURS, "--neighbour")
    check_accelerator(request.accel)
    backends = [BackendSpec.parse(name) for name in sorted({cell.backend for cell in cells})]
    for backend in backends:
        backend.require()
    switches = [config.switch(Ovs.name)] if any(backend.name == Ovs.name for backend in backends) else []
    if any(cell.launcher != QEMU for cell in cells):
        libvirt_places.require(workspace.state)
    # All shards of a plan name the same trees, even one that needs no libvirt.
    roles = ("qemu",) if all(cell.launcher == QEMU for cell in planned) else ("qemu", "libvirt")
    idle = set(roles) - {"qemu"} if all(cell.launcher == QEMU for cell in cells) else set()
    choice = choose(workspace, config, request.stack)
    say(f"stack {choice.stack.name}: {choice.why}")
    components = {role: config.component(choice.stack.by_role[role]) for role in roles}
    flavours = {"qemu": sanitized(components["qemu"])} if request.sanitize else {}
    sources = fetch_all(workspace, list(components.values()), guest=config.guest, known=choice.fetched)
    fetched = dict(zip(components, sources, strict=True))
    guest = handover.guest_image(workspace, config)
    others = {role: building.described(workspace, components[role], fetched[role]) for role in idle}
    builds = {
        # libvirt's baseline has no cell: it is for test-upstream to compare with.
        role: building.build(
            workspace, c, flavours.get(role, ORDINARY), PATCHED if role == "libvirt" else "", fetched[role]
        )
        for role, c in components.items()
        if role not in idle
    }
    programs = replace(handover.binaries(workspace, components, builds), ovs=handover.open_vswitch(workspace, switches))
    options = Options(neighbour=request.neighbour, accel=request.accel)
    if request.sanitize:
        sanitize = components["qemu"].sanitize
        assert sanitize, "sanitized() refuses a component without"
        programs, options = programs.with_environment(sanitize.environment), options.slowed(sanitize.slower)
    info = _stack_info(choice, {role: v[PATCHED] for role, v in builds.items()} | others, request.sanitize)
    trees = {role: facts.patched_tree for role, facts in info.components.items()}
    conditions = {"neighbour": request.neighbour, "accel": request.accel, "sanitize": str(request.sanitize)}
    plan = Plan.of([cell.name for cell in planned], info.name, trees, conditions, str(Shard.parse(request.shard)))
    if len(cells) < len(planned):
        say(f"shard {plan.shard}: {len(cells)} of {len(planned)} cells")
    needs = [guest.kernel, guest.initramfs, *(b.product for variants in builds.values() for b in variants.values())]
    needs += [programs.ovs.root] if programs.ovs else []
    with handover.in_use(workspace, (components[role].name for role in builds), needs=needs):
        out_dir = handover.results_folder(workspace)
        result = run_cells(cells, programs, guest, info, out_dir, options=options, plan=plan)
        say(f"report: {os.path.relpath(pages.write(workspace, result, out_dir))}")
    if not result.good:
        bad = [cell for cell in result.cells if cell.verdict != "pass"]
        raise VerdictError(
            f"{len(bad)} of {len(result.cells)} cells did not show what they had to",
            why="\n".join(f"{cell.name}: {cell.why}" for cell in bad),
            hint="\n".join(f"look in {out_dir / cell.name}" for cell in bad),
        )
    return result


def listed(request: Request) -> dict[str, object]:
    """The cells that :func:`run` would run, as data, with the seconds that they are expected to take; nothing is done.

    :raises ConfigError: a wrong word.
    """
    _, cells = _cells(request)
    rows = [{"name": cell.name, **asdict(cell), "seconds": seconds_of(cell)} for cell in cells]
    return {"shard": str(Shard.parse(request.shard)), "seconds": sum(map(seconds_of, cells)), "cells": rows}


def _cells(request: Request) -> tuple[tuple[Cell, ...], tuple[Cell, ...]]:
    """All cells that the words ask for, and those of the shard."""
    shard = Shard.parse(request.shard)
    cells = select(request.scheme, request.backend, request.fault, request.repeat, request.launcher)
    if request.sanitize:
        cells = _without_libvirt(cells, named=bool(request.scheme or request.launcher))
    return cells, shard.of(cells)


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


def _stack_info(choice: Choice, patched: Mapping[str, Built], sanitize: bool) -> StackInfo:
    facts = {
        role: ComponentInfo(b.version, b.commit, b.series, b.tree) for role, b in sorted(patched.items(), reverse=True)
    }
    if sanitize:
        facts["qemu"] = replace(facts["qemu"], version=f"{facts['qemu'].version} with AddressSanitizer")
    return StackInfo(choice.stack.name, choice.chosen, choice.why, facts)
