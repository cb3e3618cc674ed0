"""The Debian packages that the test guest is made of: a kernel and busybox."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reconnect.project.config import GuestPackages
from reconnect.project.workspace import Workspace
from reconnect.toolchain import binarypackages

ROOM = "guest"


@dataclass(frozen=True)
class Debs:
    """The two downloaded packages."""

    kernel: Path
    busybox: Path


def cached(workspace: Workspace, packages: GuestPackages) -> Debs:
    """What the cache holds; asks no network.

    :raises SourceError: one of them isn't there or isn't whole; names both where both are missing.
    """
    return Debs(*binarypackages.cached(workspace, ROOM, (packages.kernel, packages.busybox)))


def fetch(workspace: Workspace, packages: GuestPackages, *, refresh: bool = False) -> Debs:
    """Download both packages, unless they are there.

    :param refresh: look for newer versions.
    :raises SourceError: the mirror doesn't serve one of them.
    """
    return Debs(*binarypackages.fetch(workspace, ROOM, (packages.kernel, packages.busybox), refresh=refresh))
