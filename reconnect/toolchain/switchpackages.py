"""A switch out of Debian's packages, unpacked into a folder and not installed."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from reconnect.kit import command, stamp
from reconnect.kit.command import CommandError
from reconnect.kit.console import step
from reconnect.kit.errors import HostError, SourceError
from reconnect.kit.lock import exclusive
from reconnect.project.config import Switch
from reconnect.project.workspace import Workspace
from reconnect.toolchain import binarypackages
from reconnect.toolchain.apt import verified

ROOM = "switch"
UNPACK_SECONDS = 120.0


@dataclass(frozen=True)
class Unpacked:
    """A switch that can be started.

    :param root: the folder that takes the place of ``/``.
    :param version: of its first package.
    """

    root: Path
    version: str


def fetch(workspace: Workspace, switch: Switch, *, refresh: bool = False) -> list[Path]:
    """Download the packages, unless they are there.

    :raises SourceError: the mirror doesn't serve one of them.
    """
    return binarypackages.fetch(workspace, ROOM, switch.packages, refresh=refresh)


def unpack(workspace: Workspace, switch: Switch) -> Unpacked:
    """The switch, fetched and unpacked where it isn't yet.

    :raises SourceError: a package is unavailable, or can't be unpacked.
    :raises HostError: the host lacks a library that its program needs.
    """
    debs = fetch(workspace, switch)
    version = verified(debs[0].parent)["version"]
    root = workspace.switch / f"{switch.name}-{stamp.digest(*(deb.name for deb in debs))}"
    with exclusive(workspace.switch, f"unpack {switch.name}"):
        if not root.exists():
            with step(f"unpack {switch.name} {version}") as current:
                _unpack(debs, root)
                current.done(str(root.relative_to(workspace.root)))
    _require_libraries(root / switch.program, switch)
    return Unpacked(root, version)


def _unpack(debs: list[Path], root: Path) -> None:
    partial = root.with_name(f".{root.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for deb in debs:
        try:
            command.run(["dpkg-deb", "--extract", deb, partial], timeout=UNPACK_SECONDS)
        except CommandError as error:
            shutil.rmtree(partial)
            raise SourceError(f"{deb.name} can't be unpacked", why=str(error)) from error
    partial.rename(root)


def _require_libraries(program: Path, switch: Switch) -> None:
    if not program.is_file():
        raise SourceError(
            f"the packages of {switch.name} bring no {program.name}",
            why=f"stacks.toml: switch.{switch.name}.program names {switch.program}",
            hint="mend the list of packages or the program's path",
        )
    found = command.run(["ldd", program], check=False, timeout=30).output
    if missing := re.findall(r"(\S+) => not found", found):
        raise HostError(
            f"{switch.name} lacks {', '.join(missing)}",
            why="its packages are unpacked and not installed; the libraries come from the host",
            hint=f"apt-get install --no-install-recommends {' '.join(switch.libraries)}",
        )
