"""The environment variables that steer a run, read once and checked."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reconnect.kit.errors import ConfigError

CACHEDIR_TAG = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# This file marks a cache directory of reconnect. See https://bford.info/cachedir/\n"
)


@dataclass(frozen=True)
class Premirror:
    """One line of RECONNECT_PREMIRRORS: a pattern over origin URLs and what to try in their place first."""

    pattern: re.Pattern[str]
    replacement: str

    def rewrite(self, url: str) -> str | None:
        """The mirror's URL, or None where the pattern doesn't match at the start of ``url``."""
        return self.pattern.sub(self.replacement, url, count=1) if self.pattern.match(url) else None


@dataclass(frozen=True)
class Settings:
    """What the environment asks for.

    :param cache: downloads and compiler cache, kept between checkouts.
    :param offline: no network: whatever is missing is listed.
    :param jobs: compile jobs at a time.
    """

    cache: Path
    offline: bool
    jobs: int
    premirrors: tuple[Premirror, ...]


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the environment.

    :raises ConfigError: a variable's value has not the form that docs/commands.md gives.
    """
    return Settings(
        cache=_cache(environ),
        offline=_flag("RECONNECT_OFFLINE", environ.get("RECONNECT_OFFLINE", "")),
        jobs=_jobs(environ.get("RECONNECT_JOBS", "")),
        premirrors=_premirrors(environ.get("RECONNECT_PREMIRRORS", "")),
    )


def _cache(environ: Mapping[str, str]) -> Path:
    given = environ.get("RECONNECT_CACHE", "")
    if given and not Path(given).is_absolute():
        raise ConfigError(
            f"RECONNECT_CACHE={given} is not an absolute path", hint=f"RECONNECT_CACHE={Path(given).absolute()}"
        )
    base = Path(environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():  # its specification: such a path is to be ignored
        base = Path(environ.get("HOME", "")) / ".cache"
    if not given and not base.is_absolute():
        # Never below /tmp: there anybody may have made the folder, and what is in it would be compiled and run.
        raise ConfigError(
            "there is no place for the cache: HOME is not set",
            hint="HOME=DIR, or RECONNECT_CACHE=DIR with a folder that only you can write to",
        )
    return Path(given) if given else base / "reconnect"


def _flag(name: str, value: str) -> bool:
    if value.lower() in ("", "0", "no", "false"):
        return False
    if value.lower() in ("1", "yes", "true"):
        return True
    raise ConfigError(f"{name}={value} is neither 1 nor 0", hint=f"{name}=1 for work without a network")


def _jobs(value: str) -> int:
    if not value:
        return os.cpu_count() or 1
    if not value.isdecimal() or int(value) < 1:
        raise ConfigError(f"RECONNECT_JOBS={value} is not a whole number above 0")
    return int(value)


def _premirrors(text: str) -> tuple[Premirror, ...]:
    mirrors = []
    for line in filter(None, map(str.strip, text.splitlines())):
        words = line.split()
        if len(words) != 2:  # noqa: PLR2004  # as the error says
            raise ConfigError(
                f"RECONNECT_PREMIRRORS has a line that is not two words: {line!r}",
                hint="each line is REGEX REPLACEMENT, for example: https://gitlab.com/(.*) file:///srv/mirror/\\1",
            )
        try:
            pattern = re.compile(words[0])
            # A replacement that names a group which the pattern lacks fails only when it is used: use it now,
            # with a pattern of the same groups that matches.
            re.compile(f"{words[0]}|").sub(words[1], "", count=1)
        except (re.error, IndexError) as error:
            raise ConfigError(f"RECONNECT_PREMIRRORS: {line!r}: {error}") from error
        mirrors.append(Premirror(pattern, words[1]))
    return tuple(mirrors)
