"""git's command line, for all that writes: always with the same identity, dates and configuration.

The user's own git configuration (signing, hooks, autocrlf, apply.whitespace) must not change a commit id, so it is
left out of everything but downloads, which need the user's proxies and certificates.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from reconnect import command
from reconnect.command import Completed

IDENTITY = {"name": "reconnect", "email": "reconnect@localhost"}
"""Committer of all commits that the toolchain makes."""

DATE = "2016-12-15T12:00:00+00:00"
"""Committer date of all commits that the toolchain makes, so that the same inputs give the same commit id."""

HERMETIC = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_COMMITTER_NAME": IDENTITY["name"],
    "GIT_COMMITTER_EMAIL": IDENTITY["email"],
    "GIT_COMMITTER_DATE": DATE,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_EDITOR": "true",
    "LC_ALL": "C",
}

DOWNLOAD = {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
"""Environment of commands that talk to a server: never a prompt, messages that can be matched."""


def git(
    *words: str | Path,
    cwd: Path,
    env: Mapping[str, str] = HERMETIC,
    timeout: float = 900,
    check: bool = True,
    log: Path | None = None,
    stdin: bytes | None = None,
) -> Completed:
    """Run git in a repository.

    :raises reconnect.command.CommandError: it failed.
    """
    settings = ("safe.directory=*", "core.hooksPath=/dev/null", "gc.auto=0", "advice.detachedHead=false")
    argv = ["git", *(word for setting in settings for word in ("-c", setting)), *words]
    return command.run(argv, cwd=cwd, env=env, timeout=timeout, check=check, log=log, stdin=stdin)
