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


def test_both_matrices_are_all_stacks_and_all_schemes() -> None:
    stacks = set(config.load(ROOT / "stacks.toml", ROOT / "patches").stacks)
    gitlab = YAML(typ="safe").load(CI / "gitlab-ci.yml")
    github = YAML(typ="safe").load(CI / "github-actions.yml")
    (matrix,) = gitlab["test"]["parallel"]["matrix"]
    assert set(matrix["STACK"]) == stacks
    assert set(matrix["SCHEME"]) == set(SCHEMES)
    matrix = github["jobs"]["test"]["strategy"]["matrix"]
    assert set(matrix["stack"]) == stacks
    assert set(matrix["scheme"]) == set(SCHEMES)


@pytest.mark.parametrize("name", SCHEMAS)
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
