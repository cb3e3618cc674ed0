"""results.schema.json: what we write fits it, and what it must refuse does not."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from reconnect.lab.matrix.cases import CASES
from reconnect.lab.process.stages import NAMES
from reconnect.lab.qemu.arguments import NEIGHBOURS
from reconnect.lab.schemes import LAUNCHERS, SCHEMES
from reconnect.project.workspace import ROOT
from reconnect.report import results
from reconnect.report.plan import Plan
from reconnect.report.results import CellResult, ComponentInfo, QemuFigures, RunResult, ShardInfo, StackInfo
from tests.pages import Page
from tests.unit.report.test_results import PASSED, RUN, STACK

SCHEMA = results.json_schema()
COMPONENT = ComponentInfo("7.2.22", "c" * 40, ("0001-x.patch",), "a" * 40)


@pytest.fixture
def data(tmp_path: Path) -> dict[str, Any]:
    """A run as it is written, with a whole cell, a bare one, and one of a matrix's case that was passed over."""
    whole = replace(PASSED, stages_ms=dict.fromkeys(NAMES, -4.5), launcher="libvirt", memory="memfd", monitor_ms=3.1)
    skipped = replace(PASSED, verdict="skip", why="QEMU does not send it", stages_ms={}, fault="cut:X:y@quit")
    run = replace(RUN, cells=(whole, CellResult("server", "testpmd", "stop", 2, "recovers", "arp"), skipped))
    run = replace(run, plan=Plan.of([cell.name for cell in run.cells], "debian-12", {}, {}, "2/3"))
    run = replace(run, shards=(ShardInfo("1/1", RUN.run, RUN.started, {"processors": 2}),))
    run = replace(run, stack=replace(STACK, components={"qemu": COMPONENT, "libvirt": COMPONENT}))
    written: dict[str, Any] = json.loads(results.save(run, tmp_path).read_text(encoding="utf-8"))
    return written


def complaints(data: object) -> list[str]:
    return [error.json_path for error in Draft202012Validator(SCHEMA).iter_errors(data)]


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_what_is_written_fits(data: dict[str, Any]) -> None:
    assert complaints(data) == []


@pytest.mark.parametrize(
    ("kind", "where"),
    [
        (RunResult, SCHEMA),
        (StackInfo, SCHEMA["properties"]["stack"]),
        (ComponentInfo, SCHEMA["$defs"]["component"]),
        (QemuFigures, SCHEMA["$defs"]["qemu"]),
        (CellResult, SCHEMA["$defs"]["cell"]),
        (Plan, SCHEMA["$defs"]["plan"]),
        (ShardInfo, SCHEMA["$defs"]["shard"]),
    ],
)
def test_every_field_is_in_it_and_required(kind: type, where: dict[str, Any]) -> None:
    """Verify: a field that is added to the code and not to the schema is found, and the other way round."""
    names = [field.name for field in fields(kind)]
    assert [name for name in where["properties"] if name != "schema"] == names
    assert set(where["required"]) == set(where["properties"])
    assert where["additionalProperties"] is False


def test_its_words_are_those_of_the_code() -> None:
    """Verify: verdicts, launchers, stages and the like: the lists in the schema are the lists in the code."""
    cell = SCHEMA["$defs"]["cell"]["properties"]
    assert cell["verdict"]["enum"] == list(results.VERDICTS)
    assert cell["launcher"]["enum"] == list(LAUNCHERS)
    assert cell["neighbour"]["enum"] == list(NEIGHBOURS)
    expected = {scheme.expected for scheme in SCHEMES.values()} | {case.expected for case in CASES.values()}
    assert set(cell["expected"]["enum"]) == expected
    assert list(SCHEMA["$defs"]["stages"]["properties"]) == list(NAMES)
    assert SCHEMA["properties"]["schema"]["const"] == results.SCHEMA


@pytest.mark.parametrize(
    ("spoil", "path"),
    [
        (lambda data: data.update(schema=1), "$.schema"),
        (lambda data: data.update(started="yesterday"), "$.started"),
        (lambda data: data.update(machine={}), "$"),
        (lambda data: data["host"].update(disks=["a"]), "$.host.disks"),
        (lambda data: data["stack"].update(chosen="guessed"), "$.stack.chosen"),
        (lambda data: data["stack"]["components"].pop("qemu"), "$.stack.components"),
        (lambda data: data["stack"]["components"]["qemu"].update(commit="v7.2"), "$.stack.components.qemu.commit"),
        (lambda data: data["plan"].update(shard="0/3"), "$.plan.shard"),
        (lambda data: data["plan"].update(hash="1"), "$.plan.hash"),
        (lambda data: data["plan"]["cells"].clear(), "$.plan.cells"),
        (lambda data: data["shards"][0].pop("host"), "$.shards[0]"),
        (lambda data: data["cells"][0].update(shard=-1), "$.cells[0].shard"),
        (lambda data: data["cells"][0].pop("launcher"), "$.cells[0]"),
        (lambda data: data["cells"][0].update(through="qemu"), "$.cells[0]"),
        (lambda data: data["cells"][0].update(verdict="great"), "$.cells[0].verdict"),
        (lambda data: data["cells"][0].update(why="passed, but"), "$.cells[0].why"),
        (lambda data: data["cells"][1].update(why=""), "$.cells[1].why"),
        (lambda data: data["cells"][1].update(why="two\nlines"), "$.cells[1].why"),
        (lambda data: data["cells"][0].update(outage_ms="559 ms"), "$.cells[0].outage_ms"),
        (lambda data: data["cells"][0].update(probes_lost=-1), "$.cells[0].probes_lost"),
        (lambda data: data["cells"][0]["stages_ms"].update(resumed=1.0), "$.cells[0].stages_ms"),
        (lambda data: data["cells"][0]["qemu"].pop("threads_after"), "$.cells[0].qemu"),
        (lambda data: data["cells"][0].update(logs=["/var/log/qemu.log"]), "$.cells[0].logs[0]"),
    ],
)
def test_what_does_not_fit_is_found(data: dict[str, Any], spoil: Callable[[dict[str, Any]], object], path: str) -> None:
    """Steps: spoil one thing. Verify: that place is named."""
    spoiled = copy.deepcopy(data)
    spoil(spoiled)
    assert path in complaints(spoiled)


def test_the_command_of_the_page(data: dict[str, Any], tmp_path: Path) -> None:
    """Steps: check-jsonschema, as docs/results.md shows it, on a good file and on a bad one."""
    (command,) = Page(ROOT / "docs/results.md").commands()
    (words,) = command.calls
    assert words[-1].endswith(results.FILE)
    argv = [str(Path(sys.executable).with_name(Path(words[0]).name)), *words[1:-1], str(tmp_path / results.FILE)]
    for verdict, code in (("pass", 0), ("great", 1)):
        data["cells"][0]["verdict"] = verdict
        (tmp_path / results.FILE).write_text(json.dumps(data), encoding="utf-8")
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert done.returncode == code, done.stdout + done.stderr
