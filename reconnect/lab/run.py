"""All cells of one call, in one results folder."""

from __future__ import annotations

import os
import platform
import time
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil

from reconnect.kit import console
from reconnect.kit.errors import ReconnectError
from reconnect.lab.backends.known import BackendSpec
from reconnect.lab.binaries import Binaries
from reconnect.lab.cell import Cell
from reconnect.lab.guest.image import Guest
from reconnect.lab.libvirt import places as libvirt_places
from reconnect.lab.matrix.cases import Case, is_case
from reconnect.lab.matrix.runner import run_matrix
from reconnect.lab.options import Options
from reconnect.lab.outcome import result_of, write_failure
from reconnect.lab.qemu.accel import check_accelerator
from reconnect.lab.scenario import run_cell
from reconnect.lab.schemes import ATTACH, LIBVIRT, QEMU, SCHEMES
from reconnect.report import junit, table
from reconnect.report.plan import Plan
from reconnect.report.results import CellResult, RunResult, StackInfo, save

WAYS = {LIBVIRT: "libvirt", ATTACH: "libvirt, attached after the boot"}


def run_cells(
    cells: Sequence[Cell],
    binaries: Binaries,
    guest: Guest,
    stack_info: StackInfo,
    out_dir: Path,
    *,
    options: Options | None = None,
    plan: Plan | None = None,
) -> RunResult:
    """Run cells one after the other, and write results.json after each, junit.xml and the table at the end.

    :param out_dir: the run's folder; its name is the run's id.
    :param plan: what these cells are all or a part of; goes into results.json as it is.
    :returns: the result, whatever the verdicts: see :attr:`RunResult.good`.
    :raises HostError: this machine can't run a cell. results.json then has the cells that were finished, and the
        one at hand as ``error``; so it has after Ctrl-C (KeyboardInterrupt is passed on).
    """
    options = options or Options()
    check_accelerator(options.accel)
    for name in {cell.backend for cell in cells}:
        BackendSpec.parse(name).require()
    if binaries.libvirt and any(cell.launcher != QEMU for cell in cells):
        libvirt_places.require(binaries.libvirt.state)
    out_dir.mkdir(parents=True, exist_ok=True)
    result = RunResult(
        run=out_dir.name,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        host=host_facts(options, guest),
        stack=stack_info,
        plan=plan,
    )
    try:
        ordinary = [cell for cell in cells if not is_case(cell.fault)]
        for number, cell in enumerate(ordinary, 1):
            way = "" if cell.launcher == QEMU else f" through {WAYS[cell.launcher]}"
            title = f"{cell.scheme}{way}, {cell.backend}, {cell.fault}, repeat {cell.repeat}"
            with console.step(f"cell {number} of {len(ordinary)}: {title}") as step:
                try:
                    found = run_cell(cell, binaries, guest, out_dir / cell.name, options)
                except BaseException as error:
                    result = result.with_cell(_ended_by(error, cell, options, out_dir))
                    raise
                result = result.with_cell(found)
                save(result, out_dir)
                if found.memory:
                    console.say(f"    guest memory: {found.memory}")
                step.done(_line(found))
        cases = [cell for cell in cells if is_case(cell.fault)]
        try:
            for found in run_matrix(cases, binaries, guest, out_dir, options):
                result = result.with_cell(found)
                save(result, out_dir)
        except BaseException as error:
            # Results come in the order of the cases: the one under way is the first that has none.
            done = len(result.cells) - len(ordinary)
            if done < len(cases):
                result = result.with_cell(_ended_by(error, cases[done], options, out_dir))
            raise
    finally:
        save(result, out_dir)
        junit.write(result, out_dir)
    table.show(result, out_dir)
    return result


def host_facts(options: Options, guest: Guest) -> dict[str, object]:
    """What the figures depend on. Nothing in it names the machine."""
    return {
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", platform.system()),
        "kernel": platform.release(),
        "guest_kernel": guest.kernel_version,
        "processors": os.cpu_count(),
        "memory_mib": psutil.virtual_memory().total // 2**20,
        "accelerator": options.accel,
        "load": round(os.getloadavg()[0], 1),
    }


def new_run_id() -> str:
    """A name for a run's folder: the time in UTC, sortable."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())


def _line(cell: CellResult) -> str:
    if cell.verdict != "pass":
        return f"{cell.verdict}: {cell.why}"
    if cell.expected == "dead":
        return f"pass: dead, as expected ({cell.probes_lost} probes lost)"
    usage = "" if cell.monitor_ms is None else f"; meanwhile the guest sent nothing for {cell.tx_gap_ms:.0f} ms at most"
    return f"pass: recovered in {cell.recovery_ms:.0f} ms, outage {cell.outage_ms:.0f} ms{usage}"


def _ended_by(error: BaseException, cell: Cell, options: Options, out_dir: Path) -> CellResult:
    """The result of a cell that took the run with it."""
    if isinstance(error, KeyboardInterrupt):
        why = "interrupted"
    elif isinstance(error, ReconnectError):
        why = error.what
    else:
        why = f"internal error: {type(error).__name__}: {error}"
    text = str(error) if isinstance(error, ReconnectError) else "".join(traceback.format_exception(error))
    folder = out_dir / cell.name
    write_failure(folder, text)
    expected = Case.parse(cell.fault).expected if is_case(cell.fault) else SCHEMES[cell.scheme].expected
    return result_of(cell, options, "error", why, [folder], expected=expected)
