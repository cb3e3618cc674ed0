"""The programs that build and run images: podman, buildah and docker, whichever is there.

All three read the same Dockerfile and nearly the same words. An engine here knows its words, whether it can work on
this machine, and what stands in the way where it can't. Builders return argument lists; :mod:`reconnect.kit.command`
runs them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reconnect import __version__
from reconnect.kit import command
from reconnect.kit.command import CommandError
from reconnect.kit.errors import ConfigError, HostError
from reconnect.kit.suggest import unknown
from reconnect.ship.obstacles import diagnose, none_works

LABEL = f"reconnect={__version__}"
"""On each container and image of ours, so that whoever shares an engine can tell them from others' and remove them."""


@dataclass(frozen=True)
class ImageBuild:
    """What one build is made from.

    :param secrets: files that are mounted while a command runs, by id.
    :param args: values of the Dockerfile's ARGs.
    """

    context: Path
    dockerfile: Path
    args: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Path] = field(default_factory=dict)
    target: str = ""
    no_cache: bool = False

    def words(self, iidfile: Path) -> list[str]:
        """What all engines call the same."""
        words = ["--file", str(self.dockerfile), "--iidfile", str(iidfile), "--network", "host"]
        words += ["--label", LABEL]
        if self.target:
            words += ["--target", self.target]
        for name, value in self.args.items():
            words += ["--build-arg", f"{name}={value}"]
        for name, path in self.secrets.items():
            words += ["--secret", f"id={name},src={path}"]
        if self.no_cache:
            words.append("--no-cache")
        return [*words, str(self.context)]


@dataclass(frozen=True)
class Container:
    """A container to run once.

    :param volumes: folders or, where the engine has such, named volumes, by where they are mounted.
    :param user: UID:GID; nothing for the image's own.
    """

    image: str
    words: Sequence[str]
    volumes: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""


@dataclass(frozen=True)
class Layer:
    """A layer of an image: its size in bytes, unpacked, and what made it."""

    size: int
    made_by: str


class Engine(ABC):
    """One engine. The words below are those of docker, which podman shares."""

    name: str
    packages: str
    named_volumes = True

    @property
    def environment(self) -> dict[str, str]:
        """Variables that its commands need."""
        return {}

    @abstractmethod
    def probe(self) -> list[list[str]]:
        """Commands that fail at once where the engine has no storage, no namespace or no daemon."""

    def build(self, build: ImageBuild, iidfile: Path) -> list[str]:
        """Builds; the image's id is in ``iidfile`` and nothing is tagged."""
        return [self.name, "build", *build.words(iidfile)]

    def pull(self, reference: str) -> list[str]:
        """Fetches an image of a registry."""
        return [self.name, "pull", reference]

    def local_name(self, name: str) -> str:
        """A name that is never looked up in a registry."""
        return f"localhost/{name}"

    def tag(self, image: str, name: str) -> list[str]:
        """Names an image."""
        return [self.name, "tag", image, name]

    def run(self, container: Container, name: str) -> list[list[str]]:
        """Runs a container under a name of ours; the last command's exit code is the container's."""
        words = [self.name, "run", "--rm", "--name", name, "--label", LABEL, "--network", "host", *_mounts(container)]
        if container.user:
            words += ["--user", container.user]
        return [[*words, container.image, *container.words]]

    def end(self, name: str) -> list[str]:
        """Ends and removes the container that :meth:`run` named."""
        return [self.name, "rm", "--force", name]

    def layers(self, image: str) -> list[Layer]:
        """The layers of an image, lowest first; those without files are left out."""
        words = [self.name, "history", "--no-trunc", "--human=false", "--format", "{{.Size}}\t{{.CreatedBy}}", image]
        found = []
        for line in reversed(command.run(words, timeout=120).output.splitlines()):
            size, _, made_by = line.partition("\t")
            if size.strip().isdecimal() and int(size):
                found.append(Layer(int(size), made_by))
        return found

    def storage(self) -> Path | None:
        """The folder that images are kept in; None where that isn't this machine's to know."""
        return None

    def user(self) -> str:
        """UID:GID to run as, so that what a container writes to a folder of ours is ours; nothing: the image's own.

        Root gives the folders to the image's user instead.
        """
        return f"{os.geteuid()}:{os.getegid()}" if os.geteuid() else ""

    def driver(self) -> str:
        """How the storage keeps layers, for example ``overlay`` or ``vfs``; nothing where we can't know."""
        return ""

    def _layers(self) -> str:
        # vfs copies the whole file system for each step that is kept: there, one layer a stage.
        return f"--layers={str(self.driver() != 'vfs').lower()}"

    def exists(self, image: str) -> list[str]:
        """Succeeds where the engine has an image."""
        return [self.name, "image", "inspect", image]

    def containers(self) -> list[str]:
        """Prints the ids of a build's working containers; nothing for an engine that removes them itself."""
        return []


class Podman(Engine):
    """podman: no daemon; rootless where user namespaces allow it."""

    name = "podman"
    packages = "podman uidmap"

    def probe(self) -> list[list[str]]:
        """See :meth:`Engine.probe`."""
        return [["podman", "info"], *([["podman", "unshare", "true"]] if os.geteuid() else [])]

    def build(self, build: ImageBuild, iidfile: Path) -> list[str]:
        """See :meth:`Engine.build`."""
        return ["podman", "build", self._layers(), *build.words(iidfile)]

    def run(self, container: Container, name: str) -> list[list[str]]:
        """See :meth:`Engine.run`; rootless, our own uid is the same inside and outside."""
        ((program, verb, *words),) = super().run(container, name)
        keep = ["--userns", "keep-id"] if os.geteuid() and container.user else []
        return [[program, verb, *keep, *words]]

    def storage(self) -> Path | None:
        """See :meth:`Engine.storage`."""
        return Path(self._store("GraphRoot"))

    def driver(self) -> str:
        """See :meth:`Engine.driver`."""
        return self._store("GraphDriverName")

    @staticmethod
    def _store(field: str) -> str:
        found = command.run(["podman", "info", "--format", f"{{{{.Store.{field}}}}}"], timeout=60).output
        return found.splitlines()[-1].strip()


class Buildah(Engine):
    """buildah, with the isolation ``chroot``: as root it needs neither a daemon nor namespaces nor cgroups."""

    name = "buildah"
    packages = "buildah"
    named_volumes = False

    @property
    def isolation(self) -> str:
        """BUILDAH_ISOLATION, which buildah itself reads, or ``chroot``."""
        return os.environ.get("BUILDAH_ISOLATION") or "chroot"

    def probe(self) -> list[list[str]]:
        """See :meth:`Engine.probe`."""
        return [["buildah", "info"], *([["buildah", "unshare", "true"]] if os.geteuid() else [])]

    def build(self, build: ImageBuild, iidfile: Path) -> list[str]:
        """See :meth:`Engine.build`."""
        return ["buildah", "build", "--isolation", self.isolation, self._layers(), *build.words(iidfile)]

    def run(self, container: Container, name: str) -> list[list[str]]:
        """A working container: buildah ignores the entry point, so its path is read from the image first."""
        entry = _oci(container.image)["config"].get("Entrypoint", [])
        words = ["buildah", "run", "--isolation", self.isolation, *_mounts(container)]
        if container.user:
            words += ["--user", container.user]
        return [
            ["buildah", "from", "--pull-never", "--name", name, container.image],
            ["buildah", "config", "--label", LABEL, name],
            [*words, name, "--", *entry, *container.words],
        ]

    def end(self, name: str) -> list[str]:
        """See :meth:`Engine.end`."""
        return ["buildah", "rm", name]

    def layers(self, image: str) -> list[Layer]:
        """See :meth:`Engine.layers`. buildah has no history command: the sizes are read from its storage."""
        oci = _oci(image)
        store = _buildah_store()
        index = Path(store["GraphRoot"], f"{store['GraphDriverName']}-layers", "layers.json")
        sizes = {layer.get("diff-digest"): layer.get("diff-size", 0) for layer in json.loads(index.read_text("utf-8"))}
        layers = zip(oci["rootfs"]["diff_ids"], _makers(oci["history"]), strict=False)
        return [Layer(sizes.get(digest, 0), made_by) for digest, made_by in layers]

    def exists(self, image: str) -> list[str]:
        """See :meth:`Engine.exists`."""
        return ["buildah", "inspect", "--type", "image", image]

    def storage(self) -> Path | None:
        """See :meth:`Engine.storage`."""
        return Path(_buildah_store()["GraphRoot"])

    def driver(self) -> str:
        """See :meth:`Engine.driver`."""
        return _buildah_store()["GraphDriverName"]

    def user(self) -> str:
        """See :meth:`Engine.user`: in the user namespace of a rootless buildah we are root."""
        return "0:0" if os.geteuid() else ""

    def containers(self) -> list[str]:
        """See :meth:`Engine.containers`."""
        return ["buildah", "containers", "--quiet"]


class Docker(Engine):
    """docker, with BuildKit (docker 23 and later use it by themselves; build secrets need it)."""

    name = "docker"
    packages = "docker.io docker-buildx"

    @property
    def environment(self) -> dict[str, str]:
        """See :attr:`Engine.environment`."""
        return {"DOCKER_BUILDKIT": "1"}

    def probe(self) -> list[list[str]]:
        """See :meth:`Engine.probe`."""
        return [["docker", "version"]]

    def local_name(self, name: str) -> str:
        """See :meth:`Engine.local_name`: docker's own images have no host."""
        return name


ENGINES: tuple[Engine, ...] = (Podman(), Buildah(), Docker())
"""In the order in which they are tried."""


def present(name: str = "") -> list[Engine]:
    """The engines that are installed and whose storage answers; just the one that is named, where one is.

    :raises HostError: there is none; says which packages bring one, or what stands in the way of those there are.
    :raises ConfigError: the name is no engine's.
    """
    by_name = {engine.name: engine for engine in ENGINES}
    if name and name not in by_name:
        raise unknown("engine", name, by_name, "--engine")
    wanted = [by_name[name]] if name else list(ENGINES)
    installed = [engine for engine in wanted if shutil.which(engine.name)]
    if not installed:
        raise HostError(
            f"{name or 'an engine that builds images'} is not on this machine",
            why=f"looked for: {', '.join(engine.name for engine in wanted)}",
            hint="\nor ".join(f"apt-get install {engine.packages}" for engine in wanted),
        )
    obstacles = {engine: stands_in_the_way(engine, engine.probe()) for engine in installed}
    usable = [engine for engine, obstacle in obstacles.items() if obstacle is None]
    if not usable:
        raise none_works([obstacle for obstacle in obstacles.values() if obstacle])
    return usable


def stands_in_the_way(engine: Engine, commands: Sequence[Sequence[str]]) -> HostError | None:
    """Why an engine can't do something on this machine; None where it can."""
    for argv in commands:
        try:
            command.run(argv, env=engine.environment, timeout=60)
        except CommandError as error:
            return diagnose(engine.name, error)
    return None


def checked_volume(engine: Engine, given: str) -> str:
    """A volume as the engine takes it: an absolute folder, or a name where the engine has named volumes.

    :raises ConfigError: a name for an engine without such.
    """
    if "/" in given or Path(given).is_dir():
        return str(Path(given).absolute())
    if not engine.named_volumes:
        raise ConfigError(
            f"--volume {given} is the name of a volume, and {engine.name} has no named volumes",
            hint=f"give a folder: --volume ./{given}, or another engine: --engine podman",
        )
    return given


def _makers(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """What made each layer. Where a whole stage is one layer, its last words change no file: then its first RUN."""
    makers: list[str] = []
    steps: list[str] = []
    for step in history:
        steps.append(step.get("created_by", ""))
        if not step.get("empty_layer"):
            files = re.search(r"#\(nop\) +(ADD|COPY)", steps[-1]) or "#(nop)" not in steps[-1]
            makers.append(steps[-1] if files else next((s for s in steps if "#(nop)" not in s), steps[-1]))
            steps = []
    return makers


def _mounts(container: Container) -> list[str]:
    words = []
    for target, source in container.volumes.items():
        words += ["--volume", f"{source}:{target}"]
    for name, value in container.env.items():
        words += ["--env", f"{name}={value}"]
    return words


def _oci(image: str) -> dict[str, Any]:
    found = command.run(["buildah", "inspect", "--type", "image", image], timeout=120).output
    described: dict[str, Any] = json.loads(found[found.index("{") :])["OCIv1"]
    return described


def _buildah_store() -> dict[str, str]:
    found = command.run(["buildah", "info"], timeout=60).output
    # Warnings come first, on the same stream.
    store: dict[str, str] = json.loads(found[found.index("{") :])["store"]
    return store
