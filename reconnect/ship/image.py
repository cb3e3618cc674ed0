"""``./inv image``: docker/Dockerfile built by whichever engine works here, tagged with the project's version.

The tag moves last, to an image that is whole: what interrupts a build leaves the old one tagged, or none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reconnect import __version__
from reconnect.kit import command, disk, jsonfile, stamp
from reconnect.kit.command import CommandError
from reconnect.kit.console import say, step
from reconnect.kit.errors import BuildError, HostError
from reconnect.kit.lock import exclusive
from reconnect.project.config import Config
from reconnect.project.workspace import Workspace
from reconnect.ship import base as base_images
from reconnect.ship import context, engines, host_apt, leftovers, running
from reconnect.ship.base import Base
from reconnect.ship.engines import Engine, ImageBuild, Layer
from reconnect.ship.obstacles import none_works

NAME = f"reconnect:{__version__}"
"""What the image is tagged as."""

STAMP = "image.json"
"""What the last image was made from, and the engine that has it."""

DISK_MIB = {"vfs": 12000, "": 4000}
"""Room for a build: the storage driver vfs keeps a whole copy for each step."""

BUILD_SECONDS = 3600.0


@dataclass(frozen=True)
class Request:
    """The words of the command line; empty ones leave the choice to us.

    :param base: an image's reference, or ``mmdebstrap``.
    :param no_cache: build each step again, a base by mmdebstrap included.
    """

    engine: str = ""
    base: str = ""
    no_cache: bool = False


@dataclass(frozen=True)
class Image:
    """A finished image: the engine that has it, and its name there."""

    engine: Engine
    name: str
    layers: tuple[Layer, ...]


def build(workspace: Workspace, config: Config, request: Request) -> Image:
    """ImageBuild the image, tag it, and print the size of its layers.

    :raises HostError: no engine, no usable storage or namespace, no disk.
    :raises SourceError: the base, a package or a wheel is unavailable.
    :raises BuildError: a step of the Dockerfile failed.
    """
    work = context.folder(workspace)
    candidates = engines.present(request.engine)
    with exclusive(work, "image"):
        context.prepare(workspace, config)
        inputs = {**context.inputs(workspace), "base": request.base, "version": __version__}
        engine, name, reason = _up_to_date(work, candidates, inputs)
        if request.no_cache or reason:
            say(f"build the image: {reason or 'by --no-cache'}")
            engine, name = _make(workspace, candidates, request)
            jsonfile.write(work / STAMP, {"inputs": inputs, "engine": engine.name})
        else:
            say(f"{name}: up to date")
        layers = tuple(engine.layers(name))
        show(name, layers)
        return Image(engine, name, layers)


def require_disk(engine: Engine) -> None:
    """Make sure that the engine's storage has room.

    :raises HostError: it has not.
    """
    if storage := engine.storage():
        disk.require(storage, DISK_MIB.get(engine.driver(), DISK_MIB[""]), f"an image in the storage of {engine.name}")


def show(name: str, layers: Sequence[Layer]) -> None:
    """Print the size of each layer and of all."""
    say(f"{name}: {sum(layer.size for layer in layers) / 1e6:.0f} MB in {len(layers)} layers")
    for layer in layers:
        say(f"  {layer.size / 1e6:8.1f} MB  {summary(layer.made_by)}")


def summary(made_by: str) -> str:
    """The instruction that made a layer, in a line, without the words that the engine puts around it."""
    text = re.sub(r"^/bin/sh -c (#\(nop\) )?|^RUN /bin/sh -c ", "", made_by)
    text = re.sub(r"--mount=\S+\s*|# buildkit|^\|\d+ (\S+=\S* )*", "", text)
    return " ".join(text.split())[:110]


def _up_to_date(work: Path, candidates: Sequence[Engine], inputs: stamp.Inputs) -> tuple[Engine, str, str]:
    """The image of the last build and the engine that has it; why it must be built anew, or nothing."""
    made_by = jsonfile.read(work / STAMP).get("engine")
    engine = next((engine for engine in candidates if engine.name == made_by), candidates[0])
    name = engine.local_name(NAME)
    reason = stamp.why_redo(work / STAMP, inputs, {})
    if not reason:
        found = command.run(engine.exists(name), env=engine.environment, timeout=60, check=False)
        reason = f"{engine.name} has no {name}" if found.returncode or engine.name != made_by else ""
    return engine, name, reason


def _make(workspace: Workspace, candidates: Sequence[Engine], request: Request) -> tuple[Engine, str]:
    work = context.folder(workspace)
    for engine in candidates:
        require_disk(engine)
    # A build that fails leaves the old image tagged, but not its stamp.
    (work / STAMP).unlink(missing_ok=True)
    apt = host_apt.derive(work / "machine")
    try:
        engine, base = _base(candidates, request, workspace, apt)
        return engine, _build(engine, base, workspace, apt, request.no_cache)
    finally:
        host_apt.remove(work / "machine")


def _base(
    candidates: Sequence[Engine], request: Request, workspace: Workspace, apt: host_apt.HostApt
) -> tuple[Engine, Base]:
    """The first engine that runs a container of its base, and that base."""
    work = context.folder(workspace)
    obstacles: list[HostError] = []
    for engine in candidates:
        base = base_images.provide(engine, request.base, dockerfile(workspace), apt, work, no_cache=request.no_cache)
        obstacle = running.obstacle(engine, base.reference, work / "engine.log")
        if not obstacle:
            say(f"engine {engine.name}; base {base.reference}: {base.why}")
            return engine, base
        say(f"    {obstacle.what}")
        obstacles.append(obstacle)
    raise none_works(obstacles)


def _build(engine: Engine, base: Base, workspace: Workspace, apt: host_apt.HostApt, no_cache: bool) -> str:
    work = context.folder(workspace)
    revision, source = origin(workspace.root)
    asked = ImageBuild(
        context=workspace.root,
        dockerfile=dockerfile(workspace),
        args={"BASE": base.reference, "VERSION": __version__, "REVISION": revision, "SOURCE": source},
        secrets=apt.secrets(),
        target="run",
        no_cache=no_cache,
    )
    iidfile, log = work / "image.id", work / "image.log"
    iidfile.unlink(missing_ok=True)
    log.unlink(missing_ok=True)
    name = engine.local_name(NAME)
    with step(f"build {name}") as current, leftovers.removed(engine, log):
        try:
            command.run(
                engine.build(asked, iidfile),
                cwd=workspace.root,
                env=engine.environment,
                log=log,
                timeout=BUILD_SECONDS,
                on_line=current.progress,
            )
        except CommandError as error:
            raise _failure(engine, error, log) from error
        image = iidfile.read_text(encoding="utf-8").strip()
        command.run(engine.tag(image, name), env=engine.environment, log=log, timeout=60)
        current.done(f"{name} is {image.removeprefix('sha256:')[:12]}")
    return name


def dockerfile(workspace: Workspace) -> Path:
    """The one Dockerfile."""
    return workspace.root / "docker" / "Dockerfile"


def origin(root: Path) -> tuple[str, str]:
    """The commit of a checkout (``-dirty`` where files differ) and the address that it came from, without credentials.

    ``unknown`` where there is none, or where the address is a path or is not for everybody (ssh).
    """

    def git(*words: str) -> str:
        try:
            return command.run(["git", *words], cwd=root, timeout=60).output.strip()
        except CommandError:
            return ""

    revision = git("rev-parse", "HEAD") or "unknown"
    if revision != "unknown" and git("status", "--porcelain"):
        revision += "-dirty"
    address = re.fullmatch(r"(https?://)(?:[^@/]*@)?(\S+)", git("config", "remote.origin.url"))
    return revision, address[1] + address[2] if address else "unknown"


def _failure(engine: Engine, error: CommandError, log: Path) -> BuildError | HostError:
    said = "\n".join(error.tail)
    if re.search(r"no space left on device", said, re.IGNORECASE):
        return HostError(
            f"no disk is left for the image in the storage of {engine.name}",
            why=str(error),
            hint=f"make room: {engine.name} rmi --prune\nnothing half-built is tagged",
        )
    instruction = re.findall(
        r"(?:STEP \d+/\d+|\[\S+ \d+/\d+\]):? (.*)", log.read_text(encoding="utf-8", errors="replace")
    )
    what = f" at: {summary(instruction[-1])}" if instruction else ""
    return BuildError(
        f"the image could not be built{what}",
        why=str(error),
        hint=f"read {log}\nthe steps before are kept: the same command goes on from here; nothing half-built is tagged",
    )
