"""meson and ninja from PyPI; QEMU's configure script is a front door to meson and is used as such."""

from __future__ import annotations

from reconnect.project.config import Build
from reconnect.toolchain.recipes import Argv, BuildPaths, Recipe, options


def configure(build: Build, place: BuildPaths) -> Argv:
    """``meson setup``, or the script of the source that calls it."""
    if build.script:
        return [str(place.source / build.script), *options(build, place)]
    return [str(place.programs / "meson"), "setup", str(place.objects), str(place.source), *options(build, place)]


def compile_(build: Build, place: BuildPaths) -> Argv:
    """``ninja`` for the targets of stacks.toml, or for all."""
    return [str(place.programs / "ninja"), f"-j{place.jobs}", *build.targets]


def install(build: Build, place: BuildPaths) -> list[Argv]:
    """``meson install`` below the staging folder, of what has been compiled."""
    meson = str(place.programs / "meson")
    return [[meson, "install", "--no-rebuild", "--quiet", "--destdir", str(place.destdir), *build.install]]


RECIPE = Recipe(configure, compile_, install)
