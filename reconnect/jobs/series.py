"""The proof of a series' order: compiled after each patch, and each of these programs run.

Each QEMU boots the test guest, and its network must survive a crash of the switch in the scheme ``server``, which
upstream's QEMU can do as well: no step of the series may break what was there. A libvirt has no guest: it says its
version. The baseline part is one step: it is what the program needs to compile and to run here at all. That step boots
the guest of the scheme ``baseline``: QEMU 2.7.1 knows no ``server`` that doesn't wait.
"""

from __future__ import annotations

from pathlib import Path

from reconnect.jobs import handover
from reconnect.kit import command
from reconnect.kit.command import CommandError
from reconnect.kit.console import say
from reconnect.kit.errors import VerdictError
from reconnect.lab.binaries import Binaries
from reconnect.lab.cell import Cell
from reconnect.lab.guest.image import Guest
from reconnect.lab.options import Options
from reconnect.lab.scenario import run_cell
from reconnect.project.config import Component, Config
from reconnect.project.workspace import Workspace
from reconnect.toolchain import prefixes, series
from reconnect.toolchain.building import Built

BEFORE = Cell("baseline", "testpmd", "crash")
CELL = Cell("server", "testpmd", "crash")
VERSION_SECONDS = 30.0


def run(workspace: Workspace, config: Config, component: Component) -> None:
    """Compile and run a component after the baseline part of its series, and after each patch from there on.

    :raises BuildError: it doesn't compile after one of them: there is nothing to go on with.
    :raises VerdictError: it compiles, but doesn't run; lists all such patches.
    """
    guest = handover.guest_image(workspace, config) if component.program == "qemu" else None
    # The component itself stays locked.
    with handover.in_use(workspace, ()):
        out_dir = handover.results_folder(workspace)
        baseline = len(series.read(workspace.patches / component.series).baseline)
        bad: list[tuple[str, str]] = []
        steps = 0
        for built in prefixes.compile_each(workspace, component):
            steps += 1
            patch = built.series[-1]
            cell = CELL if len(built.series) > baseline else BEFORE
            why = _cell(cell, component, built, guest, out_dir / patch) if guest else _version(built)
            say(f"    {why or 'runs'}")
            if why:
                bad.append((patch, why))
        say(f"{component.name}: {steps} steps, {steps - len(bad)} run, {len(bad)} do not; logs in {out_dir}")
    if bad:
        raise VerdictError(
            f"{component.name} does not run after {len(bad)} of the {steps} steps of its series",
            why="\n".join(f"{patch}: {why}" for patch, why in bad),
            hint=f"look in {out_dir}; a patch that mends it belongs before the one that breaks it, or into it",
        )


def _cell(cell: Cell, component: Component, built: Built, guest: Guest, folder: Path) -> str:
    """Run the cell; returns what was wrong."""
    qemu = handover.qemu(component, built)
    result = run_cell(cell, Binaries(qemu, qemu), guest, folder, Options())
    return "" if result.verdict == "pass" else f"{result.verdict}: {result.why}"


def _version(built: Built) -> str:
    try:
        command.run([built.product, "--version"], timeout=VERSION_SECONDS)
    except CommandError as error:
        return f"--version: {error.ending}"
    return ""
