"""The base image: Debian 12 slim by digest, or one that mmdebstrap makes from the machine's Debian mirror.

The digest in docker/Dockerfile is asked for first. Where no image registry is *reached*, the base is made here; where
one is reached and serves something else than the digest names, that is an error and nothing takes its place.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reconnect.kit import command, disk, stamp
from reconnect.kit.command import CommandError
from reconnect.kit.console import say, step
from reconnect.kit.errors import ConfigError, HostError, SourceError
from reconnect.ship.engines import Engine, ImageBuild
from reconnect.ship.host_apt import HostApt
from reconnect.ship.obstacles import diagnose
from reconnect.toolchain.apt import SUITE

MMDEBSTRAP = "mmdebstrap"
"""What ``--base`` takes to leave registries alone."""

PULL_SECONDS = 300.0
BOOTSTRAP_SECONDS = 1200.0

SERVED_WRONG = re.compile(
    r"does not match|manifest unknown|: not found|unauthorized|denied|toomanyrequests|status(?: code)?:? 40[134]",
    re.IGNORECASE,
)
"""What an engine says when a registry has answered, and not with the image."""

UNREACHED = re.compile(
    r"no such host|i/o timeout|deadline exceeded|connection refused|network is unreachable|no route to host"
    r"|server misbehaving|name resolution|proxyconnect|connection reset|\bEOF\b|no end after|x509",
    re.IGNORECASE,
)
"""What it says when none has."""

# Like Debian's own slim image; apt's examples stay, for the base's sources list.
_DPKG_OPTIONS = (
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-include=/usr/share/doc/apt/examples/sources.list",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/lintian/*",
)

# The machine's mirror, proxy and names stay out of the image: its sources list is the one that apt ships as Debian's.
_HOOK = (
    'rm -rf "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/* "$1"/etc/apt/apt.conf.d/99mmdebstrap '
    '"$1"/etc/resolv.conf "$1"/etc/hostname "$1"/var/log/apt "$1"/var/log/*.log && '
    'sed "/^#/d; /^$/d; s/ contrib.*//" "$1"/usr/share/doc/apt/examples/sources.list '
    '> "$1"/etc/apt/sources.list.d/debian.list && test -s "$1"/etc/apt/sources.list.d/debian.list'
)


@dataclass(frozen=True)
class Base:
    """A base image that the engine has.

    :param reference: its name, as the engine takes it; ``why`` how it came to be this one.
    """

    reference: str
    why: str


def pinned(dockerfile: Path) -> str:
    """The default base of the Dockerfile.

    :raises ConfigError: it is not pinned by a digest.
    """
    found = re.search(r"^ARG BASE=(\S+)$", dockerfile.read_text(encoding="utf-8"), re.MULTILINE)
    if not found or not re.search(r"@sha256:[0-9a-f]{64}$", found[1]):
        raise ConfigError(
            f"{dockerfile}: the line 'ARG BASE=' names no image by its digest",
            hint="write it as docker.io/library/debian:bookworm-slim@sha256: and 64 hexadecimal digits",
        )
    return found[1]


def provide(
    engine: Engine, request: str, dockerfile: Path, apt: HostApt, work: Path, *, no_cache: bool = False
) -> Base:
    """Give the engine a base.

    :param request: an image's reference, ``mmdebstrap``, or nothing: the pinned one where a registry is reached.
    :param work: folder for what is made on the way.
    :param no_cache: a base that mmdebstrap makes is made again, with the packages that the mirror has now.
    :raises SourceError: a registry answered with something else, or the mirror did not serve Debian 12.
    """
    if request == MMDEBSTRAP:
        return bootstrap(engine, apt, work, "by --base mmdebstrap", no_cache=no_cache)
    reference = request or pinned(dockerfile)
    unreached = pull(engine, reference)
    if not unreached:
        return Base(reference, "from its registry")
    if request:
        raise SourceError(
            f"the base image {reference} is unavailable", why=unreached, hint="check the name, or --base mmdebstrap"
        )
    say("no image registry is reached: the base is made by mmdebstrap from this machine's Debian mirror")
    return bootstrap(engine, apt, work, "no image registry is reached", no_cache=no_cache)


def pull(engine: Engine, reference: str) -> str:
    """Fetch an image.

    :returns: nothing where the engine has it now; else why no registry was reached, in a line.
    :raises SourceError: a registry was reached, and what it served is not the image that is named.
    """
    with step(f"base image {reference}") as current:
        try:
            command.run(engine.pull(reference), env=engine.environment, timeout=PULL_SECONDS)
        except CommandError as error:
            unreached = _unreached(engine, reference, error)
            current.done(f"not reached: {unreached}")
            return unreached
        current.done("pulled")
    return ""


def _unreached(engine: Engine, reference: str, error: CommandError) -> str:
    lines = [*error.tail, error.ending]
    if any(SERVED_WRONG.search(line) for line in lines):
        raise SourceError(
            f"a registry answered, but not with the base image {reference}",
            why=str(error),
            hint="a digest that doesn't match means another image: look who serves it (mirror, proxy)\n"
            "a newer digest goes into the line ARG BASE= of docker/Dockerfile\n"
            "without a registry: --base mmdebstrap",
        ) from error
    said = next((line for line in reversed(lines) if UNREACHED.search(line)), "")
    if not said:
        raise diagnose(engine.name, error) from error
    return said.rsplit(": ", 1)[-1]


def bootstrap(engine: Engine, apt: HostApt, work: Path, why: str, *, no_cache: bool = False) -> Base:
    """Make a Debian 12 base with mmdebstrap and give it to the engine; the archive is kept for the next call.

    :param no_cache: make it again, whatever is kept.
    :raises HostError: mmdebstrap is missing or not allowed to work.
    :raises SourceError: the mirror does not serve what it needs.
    """
    if not shutil.which(MMDEBSTRAP):
        raise HostError(
            "mmdebstrap, which makes the base image where no registry is reached, is not on this machine",
            hint="apt-get install mmdebstrap\nor give a base image: --base REFERENCE",
        )
    context = work / "base"
    archive = context / "base.tar"
    argv = bootstrap_argv(apt, context / "partial.tar")
    inputs = {"apt sources": apt.sources.read_text(encoding="utf-8"), "options": stamp.digest(*_DPKG_OPTIONS, _HOOK)}
    if no_cache or stamp.why_redo(context / "stamp.json", inputs, {"base.tar": archive}):
        shutil.rmtree(context, ignore_errors=True)
        context.mkdir(parents=True)
        disk.require(context, 1000, "the base image")
        with step(f"mmdebstrap {SUITE}") as current:
            try:
                command.run(
                    argv,
                    env={"TMPDIR": str(context)},
                    log=work / "mmdebstrap.log",
                    timeout=BOOTSTRAP_SECONDS,
                    on_line=current.progress,
                )
            except CommandError as error:
                raise _bootstrap_failure(error) from error
            finally:
                for left in context.glob("mmdebstrap.*"):
                    shutil.rmtree(left, ignore_errors=True)
            (context / "partial.tar").rename(archive)
            current.done(f"{archive.stat().st_size // 2**20} MiB")
        (context / "Dockerfile").write_text("FROM scratch\nADD base.tar /\n", encoding="utf-8")
        (context / ".dockerignore").write_text("*\n!base.tar\n", encoding="utf-8")
        stamp.write(context / "stamp.json", inputs)
    iidfile = work / "base.id"
    build = ImageBuild(context, context / "Dockerfile", no_cache=no_cache)
    try:
        command.run(engine.build(build, iidfile), env=engine.environment, log=work / "base.log", timeout=600)
    except CommandError as error:
        raise diagnose(engine.name, error) from error
    name = engine.local_name(f"reconnect-base:{SUITE}")
    command.run(engine.tag(iidfile.read_text(encoding="utf-8").strip(), name), env=engine.environment, timeout=60)
    return Base(name, why)


def bootstrap_argv(apt: HostApt, archive: Path) -> list[str]:
    """mmdebstrap's words: as root, or in a user namespace where one can be had."""
    words: Sequence[str] = [f"--dpkgopt={option}" for option in _DPKG_OPTIONS]
    if apt.ca.is_file():
        words = [*words, f"--aptopt=Acquire::https::CaInfo {apt.ca}"]
    if apt.auth.is_file():
        words = [*words, f"--aptopt=Dir::Etc::netrc {apt.auth}"]
    mode = "root" if os.geteuid() == 0 else "unshare"
    return [
        *(MMDEBSTRAP, "--variant=minbase", f"--mode={mode}", f"--aptopt={apt.conf}", *words),
        *(f"--customize-hook={_HOOK}", SUITE, str(archive), str(apt.sources)),
    ]


def _bootstrap_failure(error: CommandError) -> HostError | SourceError:
    said = "\n".join(error.tail)
    if re.search(r"No space left", said):
        return HostError("no disk is left for the base image", why=str(error), hint="make room below build/")
    if re.search(r"unshare|user namespace|newuidmap|subuid|must be root|Operation not permitted", said):
        return HostError(
            "mmdebstrap gets no user namespace to make the base image in",
            why=str(error),
            hint="call it as root, or: apt-get install uidmap; usermod --add-subuids 100000-165535 "
            "--add-subgids 100000-165535 $USER",
        )
    return SourceError(
        "mmdebstrap could not make the base image",
        why=str(error),
        hint="check the machine's own apt first: apt-get update\nor give a base image: --base REFERENCE",
    )
