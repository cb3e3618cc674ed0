"""What users copy or build from: the CI files and the Dockerfile, by their linters."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from reconnect import __version__
from reconnect.lab.schemes import SCHEMES
from reconnect.project import config
from reconnect.project.workspace import ROOT

CI = ROOT / "docs/ci"
SCHEMAS = {"gitlab-ci.yml": "vendor.gitlab-ci", "github-actions.yml": "vendor.github-workflows"}
BIN = Path(sys.executable).parent


def check(name: str, file: Path) -> subprocess.CompletedProcess[str]:
    argv = [str(BIN / "check-jsonschema"), "--builtin-schema", SCHEMAS[name], str(file)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_ci_file_fits_its_schema(name: str) -> None:
    done = check(name, CI / name)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("name", "key"), [("gitlab-ci.yml", "script:"), ("github-actions.yml", "runs-on:")])
def test_a_misspelt_key_is_found(name: str, key: str, tmp_path: Path) -> None:
    wrong = tmp_path / name
    wrong.write_text((CI / name).read_text().replace(key, f"x{key}"))
    assert check(name, wrong).returncode == 1


def test_all_stacks_are_tested_in_whole() -> None:
    """Verify: each stack, with as many shards as there are jobs."""
    stacks = set(config.load(ROOT / "stacks.toml", ROOT / "patches").stacks)
    gitlab = YAML(typ="safe").load(CI / "gitlab-ci.yml")
    github = YAML(typ="safe").load(CI / "github-actions.yml")
    for kind in ("test", "report"):
        jobs = {name.removeprefix(f"{kind}-"): job for name, job in gitlab.items() if name.startswith(f"{kind}-")}
        assert {name: job["variables"]["STACK"] for name, job in jobs.items()} == {name: name for name in stacks}
        assert {job["extends"] for job in jobs.values()} == {f".{kind}"}
        assert set(github["jobs"][kind]["strategy"]["matrix"]["stack"]) == stacks
    assert gitlab[".test"]["parallel"] <= len(SCHEMES)
    shards = github["jobs"]["test"]["strategy"]["matrix"]["shard"]
    assert shards == list(range(1, len(shards) + 1))
    assert f'/{len(shards)}"' in (CI / "github-actions.yml").read_text()


def job_faults(text: str) -> list[str]:
    """What Kubernetes would refuse in a Job, or run otherwise than it is meant. Its schema is not among the tools."""
    job = YAML(typ="safe").load(text)
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    checks = {
        "kind": (job["apiVersion"], job["kind"]) == ("batch/v1", "Job"),
        "indexed": spec["completionMode"] == "Indexed",
        "each shard is completed": f'/{spec["completions"]}"' in container["args"][0],
        "counted from 1": "$((JOB_COMPLETION_INDEX + 1))/" in container["args"][0],
        "restart": pod["restartPolicy"] in ("Never", "OnFailure"),
        "volumes": {mount["name"] for mount in container["volumeMounts"]} == volumes,
        "keys": set(spec) <= {"completionMode", "completions", "parallelism", "backoffLimit", "template"},
    }
    return [name for name, good in checks.items() if not good]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("", "", ""),
        ("kind: Job", "kind: Jobs", "kind"),
        ("Indexed\n", "NonIndexed\n", "indexed"),
        ("completions: 3", "completions: 4", "each shard is completed"),
        ("JOB_COMPLETION_INDEX + 1", "JOB_COMPLETION_INDEX", "counted from 1"),
        ("restartPolicy: Never", "restartPolicy: Always", "restart"),
        ("- name: memory\n          emptyDir", "- name: shm\n          emptyDir", "volumes"),
        ("backoffLimit", "backofLimit", "keys"),
    ],
)
def test_the_kubernetes_job(old: str, new: str, fault: str) -> None:
    text = (CI / "kubernetes-job.yml").read_text()
    assert old in text
    assert job_faults(text.replace(old, new)) == ([fault] if fault else [])


@pytest.mark.parametrize("name", [*SCHEMAS, "kubernetes-job.yml"])
def test_the_image_of_this_version_is_named(name: str) -> None:
    assert f"reconnect:{__version__}" in (CI / name).read_text()


def test_the_dockerfile_is_clean() -> None:
    done = subprocess.run(
        [str(BIN / "hadolint"), "docker/Dockerfile"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout


def test_a_bad_dockerfile_is_found(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM debian:latest\nRUN sudo apt-get install gcc\n")
    done = subprocess.run([str(BIN / "hadolint"), str(tmp_path / "Dockerfile")], capture_output=True, timeout=60)
    assert done.returncode == 1
