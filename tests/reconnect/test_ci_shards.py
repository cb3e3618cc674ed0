"""The CI files' own commands, with the variables that each engine sets: two shards, and what becomes of them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from reconnect.project.workspace import ROOT
from reconnect.report.results import load

CI = ROOT / "docs/ci"
CELLS = "--backend stub --fault crash --scheme default,explicit"
"""Two cells: what the jobs' commands are cut down to."""


def _yaml(name: str) -> dict:  # type: ignore[type-arg]
    data: dict = YAML(typ="safe").load(CI / name)  # type: ignore[type-arg]
    return data


def gitlab(index: int) -> tuple[str, dict[str, str]]:
    """The job's commands and what GitLab sets: the index counts from 1."""
    job = _yaml("gitlab-ci.yml")[".test"]
    text = "\n".join(job["script"])
    return text, {"STACK": "debian-12", "CI_NODE_INDEX": str(index), "CI_NODE_TOTAL": "2"}


def github(index: int) -> tuple[str, dict[str, str]]:
    """The step's commands, with the expressions that GitHub fills in."""
    steps = _yaml("github-actions.yml")["jobs"]["test"]["steps"]
    (text,) = (step["run"] for step in steps if "run" in step)
    values = {"matrix.stack": "debian-12", "matrix.shard": str(index)}
    text = re.sub(r"\$\{\{ ([\w.]+) \}\}", lambda found: values[found[1]], text).replace(f"{index}/3", f"{index}/2")
    return text, {"IMAGE": "IMAGE"}


def kubernetes(index: int) -> tuple[str, dict[str, str]]:
    """The container's commands and what an Indexed Job sets: the index counts from 0."""
    (container,) = _yaml("kubernetes-job.yml")["spec"]["template"]["spec"]["containers"]
    return container["args"][0].replace("/3", "/2"), {"JOB_COMPLETION_INDEX": str(index - 1)}


@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("keep_results")
@pytest.mark.parametrize("engine", [gitlab, github, kubernetes])
def test_two_shards_are_one_run(engine, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Steps: run each shard's commands, then GitLab's commands that put them together.

    Verify: one cell a shard, both of one plan; one run of two cells.
    """
    entry = tmp_path / "entry"
    entry.write_text(
        f'#!/bin/sh\ncd {ROOT}\n[ "$1" = report ] || set -- "$@" {CELLS}\n'
        f'exec {sys.executable} -m reconnect.program "$@"\n'
    )
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\nwhile [ "$1" != IMAGE ]; do shift; done\nshift\nexec {entry} "$@"\n')
    for program in (entry, docker):
        program.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "TERM": "dumb"}
    results = ROOT / "build/results"
    made: list[Path] = []
    try:
        for index in (1, 2):
            text, variables = engine(index)
            before = set(results.glob("2*"))
            _run(text.replace("/opt/reconnect/docker/entrypoint", str(entry)), {**env, **variables}, tmp_path)
            made += set(results.glob("2*")) - before
            shutil.copytree(made[-1], tmp_path / f"results-{index}" / made[-1].name)
            assert load(tmp_path / f"results-{index}" / made[-1].name).count("pass") == 1
        before = set(results.glob("2*"))
        merge = "\n".join(_yaml("gitlab-ci.yml")[".report"]["script"])
        _run(merge.replace("/opt/reconnect/docker/entrypoint", str(entry)), env, tmp_path)
        made += set(results.glob("2*")) - before
        whole = load(made[-1])
        assert [(cell.scheme, cell.shard) for cell in whole.cells] == [("default", 1), ("explicit", 2)]
    finally:
        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)


def _run(text: str, env: dict[str, str], folder: Path) -> None:
    done = subprocess.run(["sh", "-ec", text], cwd=folder, env=env, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
