"""results.json: everything that a run found out, and all that a report may read. ``docs/results.md`` tells its fields.

It is written again after each cell, each time whole: a file that can be read is a file that is complete.
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reconnect.kit import jsonfile
from reconnect.kit.errors import ConfigError
from reconnect.report.plan import Plan

SCHEMA = 2
FILE = "results.json"
VERDICTS = ("pass", "fail", "error", "skip")


def folder_name(*words: object) -> str:
    """A name for a cell's folder. Colons and the like are nothing that every file system and CI service takes."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", "-".join(map(str, words)))


def cell_name(scheme: str, launcher: str, backend: str, fault: str, repeat: int) -> str:
    """A cell's name. That QEMU is called without libvirt goes without saying."""
    return folder_name(scheme, *([] if launcher == "qemu" else [launcher]), backend, fault, repeat)


def shard_folder(number: int) -> str:
    """The folder of a shard, in that of the merged run."""
    return f"shard-{number}"


@dataclass(frozen=True)
class ComponentInfo:
    """A component as it was tested."""

    version: str
    commit: str
    series: tuple[str, ...]
    patched_tree: str


@dataclass(frozen=True)
class StackInfo:
    """The stack as it was tested.

    :param chosen: ``auto`` or ``named``.
    :param why: why ``auto`` came to it.
    :param components: by role: ``qemu``, ``libvirt``.
    """

    name: str
    chosen: str
    why: str
    components: dict[str, ComponentInfo]


@dataclass(frozen=True)
class QemuFigures:
    """What QEMU held before and after the fault, and its share of one processor during the outage."""

    fds_before: int
    fds_after: int
    rss_kib_before: int
    rss_kib_after: int
    cpu_percent_in_outage: float
    threads_before: int = 0
    threads_after: int = 0


@dataclass(frozen=True)
class CellResult:
    """One cell.

    :param verdict: one of :data:`VERDICTS`; anything that wasn't finished stays ``fail``.
    :param why: one line; empty for a pass.
    :param stages_ms: milliseconds since recovery began (see :class:`reconnect.lab.process.stages.Moments`); null for a
        stage that wasn't reached, or is none of the scheme (``listening`` in ``server``: QEMU listens all along).
    :param connections: those that the restarted backend saw.
    :param launcher: ``qemu``, ``libvirt`` or ``attach``: see :data:`reconnect.lab.schemes.LAUNCHERS`.
    :param memory: through libvirt, which kind of shared memory the guest has, and why this one.
    :param tx_gap_ms: the longest time for which the guest sent nothing, from the restart of the backend to the end.
    :param monitor_ms: the slowest answer of QEMU's monitor while the backend kept silent, where that was looked at.
    :param logs: paths relative to results.json.
    :param shard: of a merged run, which of its shards the cell is from, counted from 1; else 0.
    """

    scheme: str
    backend: str
    fault: str
    repeat: int
    expected: str
    neighbour: str
    verdict: str = "fail"
    why: str = "it was not run to its end"
    outage_ms: float | None = None
    recovery_ms: float | None = None
    probes_sent: int = 0
    probes_lost: int = 0
    stages_ms: dict[str, float | None] = field(default_factory=dict)
    connections: int = 0
    qemu: QemuFigures | None = None
    logs: tuple[str, ...] = ()
    launcher: str = "qemu"
    memory: str = ""
    tx_gap_ms: float | None = None
    monitor_ms: float | None = None
    shard: int = 0

    @property
    def name(self) -> str:
        """What tells it from the other cells of its run: also the name of its folder."""
        return cell_name(self.scheme, self.launcher, self.backend, self.fault, self.repeat)

    @property
    def folder(self) -> str:
        """Its folder, relative to results.json."""
        return f"{shard_folder(self.shard)}/{self.name}" if self.shard else self.name


@dataclass(frozen=True)
class ShardInfo:
    """A run that is part of a merged one.

    :param shard: which part of its plan it was: ``2/3``.
    :param run: its id.
    """

    shard: str
    run: str
    started: str
    host: dict[str, Any]


@dataclass(frozen=True)
class RunResult:
    """One run.

    :param run: its id, also the name of its folder.
    :param started: ISO 8601, in UTC.
    :param host: facts of the host that figures depend on; nothing that names it. Of a merged run empty.
    :param plan: what the call was to run, and which part of it this run had; None in files of older versions.
    :param shards: the runs that a merged one was put together from; else empty.
    """

    run: str
    started: str
    host: dict[str, Any]
    stack: StackInfo
    cells: tuple[CellResult, ...] = ()
    plan: Plan | None = None
    shards: tuple[ShardInfo, ...] = ()

    def with_cell(self, cell: CellResult) -> RunResult:
        """The run with one more cell."""
        return dataclasses.replace(self, cells=(*self.cells, cell))

    def count(self, verdict: str) -> int:
        """How many cells have this verdict."""
        return sum(cell.verdict == verdict for cell in self.cells)

    @property
    def summary(self) -> str:
        """The line that counts: passed, failed, skipped."""
        failed = self.count("fail") + self.count("error")
        counts = {"passed": self.count("pass"), "failed": failed, "skipped": self.count("skip")}
        return ", ".join(f"{number} {word}" for word, number in counts.items())

    @property
    def good(self) -> bool:
        """No cell failed, and at least one was run."""
        return self.count("pass") > 0 and not self.count("fail") and not self.count("error")


def json_schema() -> dict[str, Any]:
    """The form of the file, as JSON Schema (draft 2020-12): for those who check a file that others wrote."""
    text = Path(__file__).with_name("results.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def save(result: RunResult, folder: Path) -> Path:
    """Write results.json into ``folder``; it appears whole."""
    path = folder / FILE
    jsonfile.write(path, {"schema": SCHEMA, **dataclasses.asdict(result)})
    return path


def load(path: Path) -> RunResult:
    """Read results.json.

    :param path: the file, or its folder.
    :raises ConfigError: there is none, or it has another form.
    """
    file = path / FILE if path.is_dir() else path
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        schema = data.pop("schema")
        if schema == 1:
            _upgrade(data)
        elif schema != SCHEMA:
            raise ValueError(f"its schema is {schema}: this version reads 1 to {SCHEMA}")
        stack = data.pop("stack")
        components = {role: _component(facts) for role, facts in stack.pop("components").items()}
        cells = tuple(_cell(cell) for cell in data.pop("cells"))
        plan, shards = data.pop("plan", None), data.pop("shards", ())
        return RunResult(
            stack=StackInfo(components=components, **stack),
            cells=cells,
            plan=Plan(**{**plan, "cells": tuple(plan["cells"])}) if plan else None,
            shards=tuple(ShardInfo(**shard) for shard in shards),
            **data,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{file} can't be read as results: {type(error).__name__}: {error}",
            hint="give the results.json of a run, or its folder",
        ) from error


def _upgrade(data: dict[str, Any]) -> None:
    """Give schema 1 the names of schema 2. Its verdict ``blocked``, which nothing ever had, counted as a skip."""
    data["host"] = data.pop("machine")
    for cell in data["cells"]:
        cell["launcher"] = cell.pop("through", "qemu")
        cell["verdict"] = {"blocked": "skip"}.get(cell["verdict"], cell["verdict"])
        cell["tx_gap_ms"] = cell.pop("silence_ms", None)


def _component(facts: dict[str, Any]) -> ComponentInfo:
    return ComponentInfo(**{**facts, "series": tuple(facts["series"])})


def _cell(facts: dict[str, Any]) -> CellResult:
    if facts["verdict"] not in VERDICTS:
        raise ValueError(f"unknown verdict {facts['verdict']!r}")
    qemu = QemuFigures(**facts["qemu"]) if facts["qemu"] else None
    return CellResult(**{**facts, "qemu": qemu, "logs": tuple(facts["logs"])})
