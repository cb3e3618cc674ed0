"""The list of Debian packages that the host needs, with the reason for each. ``./inv`` installs what is missing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reconnect.kit import command
from reconnect.kit.errors import ConfigError

IMAGE = "image"
"""The section that only the container image needs."""

CHECKS = "checks"
"""The section that only the project's own checks need; the image goes without."""


@dataclass(frozen=True)
class Package:
    """A Debian package: the section of the list that it stands in, and what it is for."""

    name: str
    section: str
    why: str


def read(path: Path) -> list[Package]:
    """Read the list.

    :raises ConfigError: a line that is neither ``[section]`` nor ``package  # why``.
    """
    packages, section = [], ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words, _, why = line.partition("#")
        words = words.strip()
        if words.startswith("[") and words.endswith("]"):
            section = words[1:-1]
        elif words:
            if len(words.split()) != 1 or not section or not why.strip():
                raise ConfigError(f"{path.name}:{number} is not 'package  # why' below a [section]: {line!r}")
            packages.append(Package(words, section, why.strip()))
    return packages


def missing(packages: list[Package]) -> list[Package]:
    """Those that are not installed."""
    argv = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *(p.name for p in packages)]
    installed = set()
    for line in command.run(argv, check=False, timeout=60).output.splitlines():
        name, _, status = line.partition(" ")
        if status == "installed":
            installed.add(name)
    return [p for p in packages if p.name not in installed]
