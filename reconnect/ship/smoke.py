"""``./inv image --smoke``: the image does inside what the checkout does on a host.

``doctor``, then one cell per scheme of the stack debian-12 with testpmd, as an unprivileged user, under TCG. The
patched QEMU comes from the cache's volume, or is built there by the image itself. Results come out as on a host.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from reconnect.kit.command import CommandError, describe_exit
from reconnect.kit.console import step
from reconnect.kit.errors import HostError, ReconnectError, VerdictError
from reconnect.project.workspace import Workspace
from reconnect.ship import context, engines, host_apt, running
from reconnect.ship.engines import Container, Engine
from reconnect.ship.image import Image

STACK = "debian-12"
USER = 1000
"""The image's own user."""

SCHEMES = ("baseline", "server", "default", "explicit", "policy")

DOCTOR_SECONDS = 120.0
RUN_SECONDS = 7200.0
"""With QEMU's two builds and libvirt's, on a slow machine."""


@dataclass(frozen=True)
class _Volumes:
    """What is mounted, by where; ``results`` on this machine."""

    mounts: dict[str, str]
    env: dict[str, str]
    results: Path


def run(workspace: Workspace, image: Image, volume: str = "") -> Path:
    """Run both; their output is shown as it comes.

    :param volume: the cache's volume: a folder, or a name where the engine has named volumes.
    :returns: the run's ``results.json``.
    :raises VerdictError: a cell did not show what it had to, or not all cells ran.
    :raises ReconnectError: ``doctor`` or the run itself failed inside.
    """
    work = context.folder(workspace) / "smoke"
    shutil.rmtree(work / "results", ignore_errors=True)
    log = work / "smoke.log"
    log.unlink(missing_ok=True)
    try:
        volumes = _volumes(image.engine, work, volume)
        _inside(image, volumes, ["doctor"], log, DOCTOR_SECONDS)
        _inside(image, volumes, ["test-reconnect", "--stack", STACK, "--backend", "testpmd"], log, RUN_SECONDS)
    finally:
        host_apt.remove(work / "machine")
    return check(volumes.results / "latest" / "results.json")


def check(results: Path) -> Path:
    """Make sure that each scheme has a cell that passed.

    :raises VerdictError: it has not, or there are no results.
    """
    try:
        cells = json.loads(results.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError) as error:
        raise VerdictError(f"the run in the image left no results in {results}", why=str(error)) from error
    verdicts = {cell["scheme"]: cell["verdict"] for cell in cells}
    bad = {scheme: verdicts.get(scheme, "no cell") for scheme in SCHEMES}
    if bad := {scheme: verdict for scheme, verdict in bad.items() if verdict != "pass"}:
        raise VerdictError(
            "the run in the image did not show what it had to",
            why="\n".join(f"{scheme}: {verdict}" for scheme, verdict in bad.items()),
            hint=f"look beside {results}",
        )
    return results


def _volumes(engine: Engine, work: Path, volume: str) -> _Volumes:
    cache = engines.checked_volume(engine, volume) if volume else str(work / "cache")
    results = work / "results"
    for folder in (results, *([Path(cache)] if cache.startswith("/") else [])):
        folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0 and folder.stat().st_uid != USER:
            os.chown(folder, USER, USER)
    apt = host_apt.derive(work / "machine")
    sources = work / "machine" / "sources.list.d"
    sources.mkdir(mode=0o755)
    shutil.copyfile(apt.sources, sources / "machine.sources")
    mounts = {"/cache": cache, "/results": str(results), "/etc/apt/sources.list.d": f"{sources}"}
    with apt.conf.open("a", encoding="utf-8") as conf:
        for path, option in ((apt.auth, "Dir::Etc::netrc"), (apt.ca, "Acquire::https::CaInfo")):
            if path.is_file():
                mounts[f"/run/{path.name}"] = str(path)
                conf.write(f'{option} "/run/{path.name}";\n')
    mounts["/run/apt.conf"] = str(apt.conf)
    return _Volumes(mounts, {"APT_CONFIG": "/run/apt.conf"}, results)


def _inside(image: Image, volumes: _Volumes, words: list[str], log: Path, seconds: float) -> None:
    container = Container(image.name, words, volumes.mounts, volumes.env, image.engine.user())
    with step(f"{image.name} {' '.join(words)}") as current:
        try:
            ended = running.run(
                image.engine, container, log=log, timeout=seconds, on_line=lambda line: print(f"    {line}")
            )
        except CommandError as error:
            raise HostError(f"{' '.join(words)} in the image did not end", why=str(error)) from error
        if ended.returncode:
            raise _error(ended.returncode)(
                f"'{' '.join(words)}' in the image ended with {describe_exit(ended.returncode)}",
                why="\n".join(ended.output.splitlines()[-8:]),
                hint=f"read {log}",
            )
        current.done("ended with 0")


def _error(code: int) -> type[ReconnectError]:
    """The class of our errors that ends with this code: what failed inside fails the same way outside."""
    return next((kind for kind in ReconnectError.__subclasses__() if kind.exit_code == code), ReconnectError)
