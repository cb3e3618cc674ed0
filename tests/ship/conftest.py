"""Engines of our own making: scripts that answer as the real ones do, and write down what they are told."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reconnect.project import settings
from reconnect.project.workspace import ROOT, Workspace

TOOLS = ("cat", "mkdir", "cp", "git", "sleep", "apt-config", "touch", "sed")
"""What the scripts and the code that calls them find besides the engines."""


@dataclass
class Host:
    """A PATH with just the programs that a test gives it.

    :ivar said: file with a line for each call of an engine.
    """

    path: Path
    said: Path
    programs: list[str] = field(default_factory=list)

    def engine(self, name: str, script: str) -> None:
        """Install a program; ``$*`` are its words. What the script doesn't answer ends with 0."""
        file = self.path / name
        # It may be a link to the machine's own program, which must not be written through.
        file.unlink(missing_ok=True)
        file.write_text(f'#!/bin/sh\necho "{name} $*" >>{self.said}\n{script}\nexit 0\n', encoding="utf-8")
        file.chmod(0o755)
        self.programs.append(name)

    @property
    def calls(self) -> list[str]:
        """The calls so far."""
        return self.said.read_text(encoding="utf-8").splitlines() if self.said.exists() else []


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A machine without any engine."""
    path = tmp_path / "path"
    path.mkdir()
    for tool in TOOLS:
        # Never a link to the real program: what a test writes to it would land there.
        (path / tool).write_text(f'#!/bin/sh\nexec {shutil.which(tool)} "$@"\n', encoding="utf-8")
        (path / tool).chmod(0o755)
    monkeypatch.setenv("PATH", str(path))
    return Host(path, tmp_path / "said")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A checkout with the real Dockerfile, and build/ and a cache of its own."""
    root = tmp_path / "checkout"
    root.mkdir()
    for name in ("docker", "patches"):
        shutil.copytree(ROOT / name, root / name)
    for name in (".dockerignore", "requirements.txt", "debian-packages.txt", "stacks.toml"):
        shutil.copy(ROOT / name, root / name)
    environ = {"RECONNECT_CACHE": str(tmp_path / "cache")}
    return Workspace(root, settings.load(environ))


STORE = '{"store": {"GraphRoot": "%s", "GraphDriverName": "overlay"}}'


@pytest.fixture
def buildah(host: Host, tmp_path: Path) -> Callable[[str], None]:
    """Install a buildah that builds whatever it is given; a test adds lines before its answers."""
    store = tmp_path / "store"
    (store / "overlay-layers").mkdir(parents=True)
    (store / "overlay-layers" / "layers.json").write_text(
        '[{"diff-digest": "sha256:a", "diff-size": 1000000}, {"diff-digest": "sha256:b", "diff-size": 2000000}]'
    )
    oci = (
        '{"OCIv1": {"config": {"Entrypoint": ["/entry"]}, "rootfs": {"diff_ids": ["sha256:a", "sha256:b"]}, "history":'
        ' [{"created_by": "/bin/sh -c #(nop) ADD file:base in /"}, {"created_by": "LABEL", "empty_layer": true},'
        ' {"created_by": "/bin/sh -c install lab"}]}}'
    )

    def install(lines: str = "") -> None:
        host.engine(
            "buildah",
            f"""
{lines}
case "$1" in
info) echo '{STORE % store}' ;;
inspect) echo '{oci}' ;;
build)
    while [ $# -gt 0 ]; do
        [ "$1" != --iidfile ] || echo sha256:0123456789abcdef >"$2"
        shift
    done ;;
esac""",
        )

    return install
