"""What a build needs and docker/Dockerfile can't fetch by itself, below ``build/image/``: wheels, the guest's packages.

Both are fetched on the host, with the host's own pip and apt configuration, so that no proxy, index or certificate of
this machine gets into the image.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

from reconnect.kit import command, stamp
from reconnect.kit.command import CommandError
from reconnect.kit.console import step
from reconnect.kit.errors import SourceError
from reconnect.project.config import Config
from reconnect.project.workspace import Workspace
from reconnect.toolchain import guestpackages

PYTHON = "3.11"
"""The image's Python: Debian 12's."""

PIP_SECONDS = 900.0


def prepare(workspace: Workspace, config: Config) -> None:
    """Bring both up to date.

    :raises SourceError: a wheel or a package is unavailable.
    """
    _wheels(workspace, folder(workspace) / "wheels")
    _guest(workspace, config, folder(workspace) / "guest")


def folder(workspace: Workspace) -> Path:
    """Where all that belongs to the image is made."""
    return workspace.build / "image"


def inputs(workspace: Workspace) -> stamp.Inputs:
    """What an image is made from: each entry of .dockerignore with the hash of its files."""
    lines = (workspace.root / ".dockerignore").read_text(encoding="utf-8").splitlines()
    return {line[1:]: _digest(workspace.root / line[1:]) for line in lines if line.startswith("!")}


def _digest(path: Path) -> str:
    files = sorted(p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts) or [path]
    found = hashlib.sha256()
    for file in filter(Path.is_file, files):
        found.update(f"{file.relative_to(path.parent)}\0{file.stat().st_mode:o}\0".encode())
        found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()[:16]


def _wheels(workspace: Workspace, into: Path) -> None:
    requirements = workspace.root / "requirements.txt"
    inputs = {"requirements.txt": requirements.read_text(encoding="utf-8"), "Python": PYTHON}
    done = into.with_name("wheels.json")
    if not stamp.why_redo(done, inputs, {"wheels": into}):
        return
    partial = into.with_name(".wheels.partial")
    shutil.rmtree(partial, ignore_errors=True)
    into.parent.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
    argv += ["--only-binary=:all:", f"--python-version={PYTHON}", f"--dest={partial}", f"--requirement={requirements}"]
    with step("wheels for the image") as current:
        try:
            command.run(argv, timeout=PIP_SECONDS, log=into.with_name("wheels.log"), on_line=current.progress)
        except CommandError as error:
            raise SourceError(
                "the image's Python packages could not be downloaded",
                why=str(error),
                hint="check pip's index and proxy: pip config list",
            ) from error
        shutil.rmtree(into, ignore_errors=True)
        partial.rename(into)
        stamp.write(done, inputs)
        current.done(f"{len(list(into.glob('*.whl')))} wheels")


def _guest(workspace: Workspace, config: Config, into: Path) -> None:
    debs = guestpackages.fetch(workspace, config.guest)
    wanted = {
        package: deb.parent
        for package, deb in ((config.guest.kernel, debs.kernel), (config.guest.busybox, debs.busybox))
    }
    if {p.name: [d.name for d in p.iterdir()] for p in into.glob("*")} == {p: [d.name] for p, d in wanted.items()}:
        return
    partial = into.with_name(".guest.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for package, source in wanted.items():
        shutil.copytree(source, partial / package / source.name)
    shutil.rmtree(into, ignore_errors=True)
    partial.rename(into)
