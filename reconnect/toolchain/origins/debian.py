"""Debian source packages as origins: the upstream version is pinned, the exact one recorded.

A mirror keeps only the newest point release of a package, so the exact version can't be the pin; apt's signed
indexes verify whatever it is.
"""

from __future__ import annotations

import re
from pathlib import Path

from reconnect.kit.errors import SourceError
from reconnect.project.config import DebianSource
from reconnect.toolchain.apt import Apt, verified


def fetch(source: DebianSource, apt: Apt, cache: Path) -> tuple[Path, str]:
    """Download the newest revision of the pinned upstream version.

    :param cache: folder below which each version has a folder of its own.
    :returns: the folder of the download and the exact version.
    :raises SourceError: the mirror serves no such version, or a file that isn't the indexed one.
    """
    served = apt.source_versions(source.package)
    fitting = [r for r in served if matches(source.upstream, r["Version"])]
    if not fitting:
        versions = ", ".join(r["Version"] for r in served) or "none"
        raise SourceError(
            f"no Debian source package {source.package} with upstream version {source.upstream}",
            why=f"this machine's apt sources serve: {versions}",
            hint="give apt the sources of Debian 12 (bookworm)",
        )
    version = fitting[-1]["Version"]
    folder = cache / folder_name(source.package, version)
    try:
        verified(folder)
    except SourceError:
        apt.download_source(fitting[-1], folder)
    return folder, version


def cached(source: DebianSource, cache: Path) -> tuple[Path, str]:
    """The newest whole download that the cache holds.

    :raises SourceError: there is none.
    """
    reasons = []
    for folder in sorted(cache.glob(f"{source.package}_{source.upstream}*"), key=lambda p: p.stat().st_mtime)[::-1]:
        try:
            version = verified(folder)["version"]
        except SourceError as error:
            reasons.append(error.what)
            continue
        # The glob's 7.2 is the beginning of 7.20 too.
        if matches(source.upstream, version):
            return folder, version
    raise SourceError(f"the cache has no source package {source.package} {source.upstream}", why="\n".join(reasons))


def matches(upstream: str, version: str) -> bool:
    """Whether a Debian version (``1:7.2+dfsg-7+deb12u18``) has the upstream version (``7.2``)."""
    found = re.fullmatch(r"(?:\d+:)?(\d+(?:\.\d+)*)(?:[+~].*?)?(?:-[^-]*)?", version)
    return bool(found) and found[1] == upstream  # type: ignore[index]


def folder_name(package: str, version: str) -> str:
    """Name of the folder of one download; without the epoch, whose colon make and PATH can't take."""
    return f"{package}_{version.split(':', 1)[-1]}"
