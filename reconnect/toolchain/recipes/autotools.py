"""configure and make, out of tree."""

from __future__ import annotations

from reconnect.project.config import Build
from reconnect.toolchain.recipes import Argv, BuildPaths, Recipe, options


def configure(build: Build, place: BuildPaths) -> Argv:
    """``configure`` of the source, with the options of stacks.toml."""
    return [str(place.source / "configure"), *options(build, place)]


def compile_(build: Build, place: BuildPaths) -> Argv:
    """``make`` for the targets of stacks.toml, or for all."""
    return ["make", f"-j{place.jobs}", *build.targets]


def install(build: Build, place: BuildPaths) -> list[Argv]:
    """``make install`` below the staging folder, and what stacks.toml names besides."""
    make = ["make", f"DESTDIR={place.destdir}"]
    return [[*make, "install", *build.install], *([*make, *words] for words in build.install_also)]


RECIPE = Recipe(configure, compile_, install)
