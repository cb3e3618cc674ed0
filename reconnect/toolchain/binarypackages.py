"""Debian's binary packages in the cache: downloaded, checked against the signed index, and never installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reconnect.kit.console import step
from reconnect.kit.errors import SourceError
from reconnect.kit.lock import exclusive
from reconnect.project.workspace import Workspace
from reconnect.toolchain.apt import Apt, verified


def cached(workspace: Workspace, room: str, packages: Sequence[str]) -> list[Path]:
    """What the cache holds; asks no network.

    :param room: a folder of the cache: ``guest``, ``switch``.
    :returns: the .deb files, in the order of the packages.
    :raises SourceError: one of them isn't there or isn't whole; names all that are missing.
    """
    found, missing = [], []
    for package in packages:
        try:
            found.append(_cached(workspace, room, package))
        except SourceError as error:
            missing.append(error.what)
    if missing:
        raise SourceError("; ".join(missing))
    return found


def fetch(workspace: Workspace, room: str, packages: Sequence[str], *, refresh: bool = False) -> list[Path]:
    """Download packages, unless they are there.

    :param refresh: look for newer versions.
    :raises SourceError: the mirror doesn't serve one of them.
    """
    try:
        if not refresh or workspace.settings.offline:
            return cached(workspace, room, packages)
    except SourceError as error:
        if workspace.settings.offline:
            raise SourceError(
                f"RECONNECT_OFFLINE is set and the cache lacks the {room}'s packages",
                why=error.what,
                hint="run ./inv fetch once where there is a network, with the same RECONNECT_CACHE",
            ) from error
    with exclusive(workspace.cache_dir("locks", room), f"fetch {room} packages"):
        _fetch(workspace, room, packages)
    return cached(workspace, room, packages)


def _fetch(workspace: Workspace, room: str, packages: Sequence[str]) -> None:
    apt = Apt.private(workspace)
    with step(f"fetch {room} packages") as current:
        names = []
        for package in packages:
            current.progress(package)
            record = apt.newest_binary(package)
            folder = _folder(workspace, room, package) / f"{record['Package']}_{record['Version'].replace(':', '-')}"
            try:
                verified(folder)
            except SourceError:
                apt.download_binary(record, folder)
            names.append(folder.name)
        current.done(", ".join(names))


def _cached(workspace: Workspace, room: str, package: str) -> Path:
    why = ""
    # Newest first; a name with a dot is a download that was interrupted.
    folders = [p for p in _folder(workspace, room, package).glob("[!.]*") if p.is_dir()]
    for folder in sorted(folders, key=lambda p: p.stat().st_mtime, reverse=True):
        try:
            verified(folder)
            (deb,) = folder.glob("*.deb")
        except (SourceError, ValueError) as error:
            why = f" ({error})"
        else:
            return deb
    raise SourceError(f"the cache has no package {package}{why}")


def _folder(workspace: Workspace, room: str, package: str) -> Path:
    return workspace.cache_dir(room, package)
