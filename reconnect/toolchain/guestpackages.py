"""The Debian packages that the test guest is made of: a kernel and busybox, downloaded and never installed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reconnect.kit.console import step
from reconnect.kit.errors import SourceError
from reconnect.kit.lock import exclusive
from reconnect.project.config import GuestPackages
from reconnect.project.workspace import Workspace
from reconnect.toolchain.apt import Apt, verified


@dataclass(frozen=True)
class Debs:
    """The two downloaded packages."""

    kernel: Path
    busybox: Path


def cached(workspace: Workspace, packages: GuestPackages) -> Debs:
    """What the cache holds; asks no network.

    :raises SourceError: one of them isn't there or isn't whole; names both where both are missing.
    """
    found, missing = [], []
    for package in (packages.kernel, packages.busybox):
        try:
            found.append(_cached(workspace, package))
        except SourceError as error:
            missing.append(error.what)
    if missing:
        raise SourceError("; ".join(missing))
    return Debs(*found)


def fetch(workspace: Workspace, packages: GuestPackages, *, refresh: bool = False) -> Debs:
    """Download both packages, unless they are there.

    :param refresh: look for newer versions.
    :raises SourceError: the mirror doesn't serve one of them.
    """
    try:
        if not refresh or workspace.settings.offline:
            return cached(workspace, packages)
    except SourceError as error:
        if workspace.settings.offline:
            raise SourceError(
                "RECONNECT_OFFLINE is set and the cache lacks the guest's packages",
                why=error.what,
                hint="run ./inv fetch once where there is a network, with the same RECONNECT_CACHE",
            ) from error
    with exclusive(workspace.cache_dir("locks", "guest"), "fetch guest packages"):
        return _fetch(workspace, packages)


def _fetch(workspace: Workspace, packages: GuestPackages) -> Debs:
    apt = Apt.private(workspace)
    with step("fetch guest packages") as current:
        names = []
        for package in (packages.kernel, packages.busybox):
            current.progress(package)
            record = apt.newest_binary(package)
            folder = _folder(workspace, package) / f"{record['Package']}_{record['Version'].replace(':', '-')}"
            try:
                verified(folder)
            except SourceError:
                apt.download_binary(record, folder)
            names.append(folder.name)
        current.done(", ".join(names))
    return cached(workspace, packages)


def _cached(workspace: Workspace, package: str) -> Path:
    why = ""
    # Newest first; a name with a dot is a download that was interrupted.
    folders = [p for p in _folder(workspace, package).glob("[!.]*") if p.is_dir()]
    for folder in sorted(folders, key=lambda p: p.stat().st_mtime, reverse=True):
        try:
            verified(folder)
            (deb,) = folder.glob("*.deb")
        except (SourceError, ValueError) as error:
            why = f" ({error})"
        else:
            return deb
    raise SourceError(f"the cache has no package {package}{why}")


def _folder(workspace: Workspace, package: str) -> Path:
    return workspace.cache_dir("guest", package)
