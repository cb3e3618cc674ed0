"""How components are configured and compiled: argument lists only, nothing is run here.

``autotools``: an optional bootstrap in the source tree, ``configure`` out of tree, ``make``.
``meson``: ``meson setup`` (or the source's own script around it), ``ninja``; both programs from PyPI.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from reconnect.project.config import Build

Argv = list[str]


@dataclass(frozen=True)
class BuildPaths:
    """The folders of one build.

    :param prefix: what configure is told; the install itself goes below ``destdir`` first.
    :param programs: folder with meson and ninja.
    :param state: what the finished program keeps at run time, where it can't be told then.
    """

    source: Path
    objects: Path
    prefix: Path
    destdir: Path
    programs: Path
    state: Path
    jobs: int


@dataclass(frozen=True)
class Recipe:
    """Builders of argument lists; each command runs in ``BuildPaths.objects``, the configure step too."""

    configure: Callable[[Build, BuildPaths], Argv]
    compile: Callable[[Build, BuildPaths], Argv]
    install: Callable[[Build, BuildPaths], list[Argv]]


def find(name: str) -> Recipe:
    """The recipe that stacks.toml names; :func:`reconnect.project.config.load` has checked the name."""
    from reconnect.toolchain.recipes import autotools, meson

    return {"autotools": autotools.RECIPE, "meson": meson.RECIPE}[name]


def options(build: Build, place: BuildPaths) -> Argv:
    """The configure options of stacks.toml, with the prefix before them and the placeholders filled in."""
    known = {
        "meson": place.programs / "meson",
        "ninja": place.programs / "ninja",
        "prefix": place.prefix,
        "state": place.state,
    }
    return [f"--prefix={place.prefix}", *(o.format(**known) for o in build.configure)]
