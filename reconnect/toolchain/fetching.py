"""Sources into the cache, whichever kind of origin a component has."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from reconnect.kit import jsonfile
from reconnect.kit.console import step
from reconnect.kit.errors import SourceError
from reconnect.kit.lock import exclusive
from reconnect.project.config import Component, GitSource, GuestPackages, Submodule
from reconnect.project.workspace import Workspace
from reconnect.toolchain import guestpackages
from reconnect.toolchain.apt import Apt
from reconnect.toolchain.origins import debian
from reconnect.toolchain.origins import git as git_origin


@dataclass(frozen=True)
class Fetched:
    """A component's source in the cache.

    :param paths: the repository or the folder of the download; submodules after it, in stacks.toml's order.
    :param version: the exact version, for example ``1:7.2+dfsg-7+deb12u18`` or ``v2.7.1``.
    :param origin: what served it.
    """

    component: Component
    paths: tuple[Path, ...]
    version: str
    origin: str

    @property
    def identity(self) -> str:
        """Changes exactly when the base tree would."""
        git = self.component.git
        return " ".join(part.commit for part in git.parts) if git else self.version


def cached(workspace: Workspace, component: Component) -> Fetched:
    """What the cache holds of a component; asks no network.

    :raises SourceError: it isn't there or isn't whole.
    """
    if component.debian:
        folder, version = debian.cached(component.debian, workspace.cache_dir("debian"))
        return Fetched(component, (folder,), version, "Debian source package")
    assert component.git
    paths = []
    for part in component.git.parts:
        repository = _repository(workspace, part)
        git_origin.check(_pin(part), repository)
        paths.append(repository)
    origin = jsonfile.read(paths[0] / git_origin.MANIFEST).get("origin", "")
    return Fetched(component, tuple(paths), component.git.tag or component.git.commit[:12], origin)


def fetch(workspace: Workspace, component: Component, *, refresh: bool = False) -> Fetched:
    """Bring a component's source into the cache, unless it is there.

    :param refresh: ask the mirror for a newer revision of a Debian package.
    :raises SourceError: no origin serves the pinned source.
    """
    try:
        if not refresh or workspace.settings.offline:
            return cached(workspace, component)
    except SourceError:
        if workspace.settings.offline:
            raise
    # Several checkouts may share the cache: one download at a time.
    with exclusive(workspace.cache_dir("locks", component.name), f"fetch {component.name}"):
        if not refresh:
            with contextlib.suppress(SourceError):
                return cached(workspace, component)  # somebody else has fetched it while we waited
        return _fetch(workspace, component)


def fetch_all(
    workspace: Workspace,
    components: Sequence[Component],
    *,
    guest: GuestPackages | None = None,
    refresh: bool = False,
    known: Mapping[str, Fetched] = MappingProxyType({}),
) -> list[Fetched]:
    """Fetch several components. Offline, all that is missing is listed at once.

    :param guest: the guest's packages, where they will be needed too.
    :param known: what has been found in the cache already, by the name of the component: it isn't looked at again.
    :raises SourceError: see :func:`fetch`.
    """
    known = {} if refresh else known
    require_cached(workspace, [c for c in components if c.name not in known], guest)
    return [known.get(c.name) or fetch(workspace, c, refresh=refresh) for c in components]


def require_cached(workspace: Workspace, components: Sequence[Component], guest: GuestPackages | None = None) -> None:
    """Offline, make sure before any work that nothing is missing; online there is nothing to check.

    :raises SourceError: lists all that is missing.
    """
    if not workspace.settings.offline:
        return
    missing = []
    for component in components:
        try:
            cached(workspace, component)
        except SourceError as error:
            missing.append(f"{component.name}: {error.what}" + (f" ({error.why})" if error.why else ""))
    if guest:
        try:
            guestpackages.cached(workspace, guest)
        except SourceError as error:
            missing.append(f"guest: {error.what}")
    if missing:
        raise SourceError(
            f"RECONNECT_OFFLINE is set and the cache lacks {len(missing)} of "
            f"{len(components) + bool(guest)} things that are needed",
            why="\n".join(missing),
            hint="run ./inv fetch once where there is a network, with the same RECONNECT_CACHE,\n"
            f"or copy a filled cache to {workspace.settings.cache}",
        )


def reachable(workspace: Workspace, component: Component) -> str:
    """Whether the source can be had, without fetching it.

    :returns: nothing where it can, else the reasons, a line for each origin.
    """
    return look(workspace, component)[1]


def look(workspace: Workspace, component: Component) -> tuple[Fetched | None, str]:
    """What the cache holds of a component, or whether the source can be had, without fetching it.

    :returns: what is there, or None with the reasons why it can't be had, a line for each origin; None and no reason
        where it can.
    """
    try:
        return cached(workspace, component), ""
    except SourceError as error:
        return None, error.what if workspace.settings.offline else _served(workspace, component)


def _served(workspace: Workspace, component: Component) -> str:
    try:
        if component.debian:
            served = Apt.private(workspace).source_versions(component.debian.package)
            fitting = any(debian.matches(component.debian.upstream, r["Version"]) for r in served)
            return "" if fitting else f"apt serves no {component.debian.package} {component.debian.upstream}"
    except SourceError as error:
        return error.what
    assert component.git
    for part in component.git.parts:
        reasons = []
        for url in git_origin.candidates(part.origins, workspace.settings.premirrors):
            reason = git_origin.reachable(url)
            if not reason:
                break
            reasons.append(f"{url}: {reason}")
        else:
            return "\n".join(reasons)
    return ""


def _fetch(workspace: Workspace, component: Component) -> Fetched:
    with step(f"fetch {component.name}") as current:
        if component.debian:
            current.progress("Debian's signed indexes")
            folder, version = debian.fetch(component.debian, Apt.private(workspace), workspace.cache_dir("debian"))
            fetched = Fetched(component, (folder,), version, "Debian source package")
        else:
            fetched = _fetch_git(workspace, component, current.progress)
        current.done(f"{fetched.version} from {fetched.origin}")
    return fetched


def _fetch_git(workspace: Workspace, component: Component, progress: Callable[[str], None]) -> Fetched:
    assert component.git
    for part in component.git.parts:
        repository = _repository(workspace, part)
        try:
            git_origin.check(_pin(part), repository)
        except SourceError:
            urls = git_origin.candidates(part.origins, workspace.settings.premirrors)
            git_origin.fetch(_pin(part), urls, repository, progress)
    return cached(workspace, component)


def _repository(workspace: Workspace, part: GitSource | Submodule) -> Path:
    return workspace.cache_dir("git") / f"{part.commit}.git"


def _pin(part: GitSource | Submodule) -> git_origin.Pin:
    if isinstance(part, GitSource):
        return git_origin.Pin(part.commit, part.tag, part.tag_object)
    return git_origin.Pin(part.commit)
