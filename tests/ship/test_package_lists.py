"""The package lists of the image, against the mirror: a package that was renamed is found here, not in a build.

And its Python packages, against their hashes.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from reconnect.kit.errors import SourceError
from reconnect.project import config, packages
from reconnect.project.workspace import ROOT, Workspace
from reconnect.ship import context
from reconnect.toolchain.apt import Apt
from tests.wheels import NO_INDEX, make_wheel

LIST = ROOT / "debian-packages.txt"
SCRIPT = ROOT / "docker/install-packages"
# What only ./inv test needs stays out of the image.
SECTIONS = ("tools", "build", "lab", "image")


def simulated(apt: Apt, names: list[str]) -> subprocess.CompletedProcess[str]:
    """apt's plan for an empty machine: all dependencies are resolved, nothing is downloaded."""
    argv = ["apt-get", *apt.options(), "--simulate", "--no-install-recommends", "install", *names]
    return subprocess.run(argv, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def apt(tmp_path_factory: pytest.TempPathFactory) -> Apt:
    made = Apt(tmp_path_factory.mktemp("apt"))
    made.update()
    return made


def test_the_run_stage_s_packages_can_be_installed_together(apt: Apt) -> None:
    names = [package.name for package in packages.read(LIST) if package.section in SECTIONS]
    done = simulated(apt, names)
    assert done.returncode == 0, done.stdout + done.stderr
    planned = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("Inst ")}
    assert set(names) <= planned


def test_a_package_that_the_mirror_lacks_is_found(apt: Apt) -> None:
    done = simulated(apt, ["git", "dpdk-testpmd-renamed"])
    assert done.returncode != 0
    assert "dpdk-testpmd-renamed" in done.stderr


def test_the_dockerfile_installs_every_section_but_the_checks() -> None:
    text = (ROOT / "docker/Dockerfile").read_text()
    words = " ".join(re.findall(r"docker/install-packages ([a-z ]+)", text)).split()
    assert sorted(words) == sorted(SECTIONS)
    assert {package.section for package in packages.read(LIST)} == {*SECTIONS, "checks"}


def run_script(tmp_path: Path, *sections: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """docker/install-packages with an apt-get that writes down what it is told."""
    said = tmp_path / "said"
    fakes = tmp_path / "bin"
    fakes.mkdir(exist_ok=True)
    for name, line in (("apt-get", f'echo "$*" >>{said}'), ("rm", ":"), ("chmod", ":")):
        (fakes / name).write_text(f"#!/bin/sh\n{line}\n")
        (fakes / name).chmod(0o755)
    copy = tmp_path / "checkout" / "docker" / "install-packages"
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_text(SCRIPT.read_text().replace("/usr/sbin/policy-rc.d", str(tmp_path / "policy-rc.d")))
    (copy.parent.parent / LIST.name).write_text(LIST.read_text())
    env = {**os.environ, "PATH": f"{fakes}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", str(copy), *sections], env=env, capture_output=True, text=True, timeout=60)
    return done, said.read_text() if said.exists() else ""


@pytest.mark.parametrize("section", SECTIONS)
def test_the_script_installs_what_the_list_says(section: str, tmp_path: Path) -> None:
    done, said = run_script(tmp_path, section)
    assert done.returncode == 0, done.stderr
    (install,) = [line for line in said.splitlines() if " install " in line]
    wanted = [package.name for package in packages.read(LIST) if package.section == section]
    assert install.split("--no-install-recommends ")[1].split() == wanted


def test_a_section_that_the_list_lacks_stops_the_script(tmp_path: Path) -> None:
    done, said = run_script(tmp_path, "lab", "laboratory")
    assert done.returncode == 2
    assert "no section [laboratory]" in done.stderr
    assert not said


def test_a_wheel_that_is_not_the_pinned_file_is_not_taken_into_the_image(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = workspace.root / "served"
    for name, value in {**NO_INDEX, "PIP_FIND_LINKS": str(served)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(context, "_guest", lambda *_: None)
    facts = config.load(ROOT / "stacks.toml", ROOT / "patches")
    right = make_wheel(served, "first")
    listed = workspace.root / "requirements.txt"
    listed.write_text(re.sub("[0-9a-f]{64}", "0" * 64, right))
    with pytest.raises(SourceError, match="could not be downloaded") as caught:
        context.prepare(workspace, facts)
    assert "DO NOT MATCH THE HASHES" in caught.value.why
    assert not list(workspace.build.glob("image/wheels/*"))
    listed.write_text(right)
    context.prepare(workspace, facts)
    assert [p.name for p in workspace.build.glob("image/wheels/*")] == ["first-1.0-py3-none-any.whl"]


def test_the_dockerfile_holds_each_package_to_its_hash() -> None:
    for step in re.findall(r"pip install (?:[^&\\]|\\\n)+", (ROOT / "docker/Dockerfile").read_text()):
        assert "--require-hashes" in step
        assert "/wheels/requirements.txt" in step
