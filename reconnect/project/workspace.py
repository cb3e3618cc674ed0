"""Where things are: the checkout, what is generated below ``build/``, and the cache outside of it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from reconnect.project.settings import CACHEDIR_TAG, Settings

ROOT = Path(__file__).resolve().parents[2]
"""The checkout that this package was loaded from."""

RESULTS = "results"
"""See :meth:`Workspace.use`."""


@dataclass(frozen=True)
class Workspace:
    """The folders of one checkout. Nothing here creates anything but :meth:`cache_dir`."""

    root: Path
    settings: Settings

    @property
    def stacks(self) -> Path:
        """The file with all facts about components and stacks."""
        return self.root / "stacks.toml"

    @property
    def patches(self) -> Path:
        """The folder of the series."""
        return self.root / "patches"

    @property
    def packages(self) -> Path:
        """The list of Debian packages that the host needs."""
        return self.root / "debian-packages.txt"

    @property
    def build(self) -> Path:
        """All that is generated."""
        return self.root / "build"

    def work(self, component: str) -> Path:
        """The component's source tree, objects, stamps and logs."""
        return self.build / "work" / component

    def install(self, component: str, variant: str) -> Path:
        """What a finished build of a variant consists of."""
        return self.build / "install" / component / variant

    def use(self, name: str) -> Path:
        """The folder whose lock those share who run what is below ``build/install/NAME`` (or ``results``, ``guest``).

        Its name begins with a dot: a clean, which waits for that lock, leaves it where it is.
        """
        return self.build / ".use" / name

    @property
    def state(self) -> Path:
        """Where root's libvirtd keeps sockets, state and configuration: compiled into it.

        Its monitor sockets lie 45 bytes below, and the path of a socket has 107 at most: hence the short name.
        """
        return self.build / "run"

    @property
    def guest(self) -> Path:
        """Guest images, each in a folder named by the hash of its inputs."""
        return self.build / "guest"

    @property
    def programs(self) -> Path:
        """The folder of meson, ninja and the like: by the checkout's ``.venv`` where that is the environment we run in.

        What is configured with a path keeps it then, though ``.venv`` is a link that changes with the requirements.
        """
        ours, named = Path(sys.executable).parent, self.root / ".venv/bin"
        return named if named.resolve() == ours.resolve() else ours

    @property
    def switch(self) -> Path:
        """Switches, unpacked from their packages, each in a folder named by the hash of these."""
        return self.build / "switch"

    @property
    def results(self) -> Path:
        """One folder a run."""
        return self.build / "results"

    def cache_dir(self, *parts: str) -> Path:
        """A folder of the cache, made where needed, with the tag that marks the cache as one."""
        tag = self.settings.cache / "CACHEDIR.TAG"
        folder = self.settings.cache.joinpath(*parts)
        folder.mkdir(parents=True, exist_ok=True)
        if not tag.exists():
            tag.write_text(CACHEDIR_TAG, encoding="utf-8")
        return folder
