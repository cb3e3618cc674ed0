"""git's command line, for all that writes: always with the same identity, dates and configuration.

The user's own git configuration (signing, hooks, autocrlf, apply.whitespace) must not change a commit id, so it is
left out of everything but downloads, which need the user's proxies and certificates.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import git as gitpython

from reconnect.kit import command
from reconnect.kit.command import Completed

IDENTITY = {"name": "reconnect", "email": "reconnect@localhost"}
"""Committer of all commits that the toolchain makes."""

DATE = "2016-12-15T12:00:00+00:00"
"""Committer date of all commits that the toolchain makes, so that the same inputs give the same commit id."""

HERMETIC = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_COUNT": "0",
    "GIT_CONFIG_PARAMETERS": "",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_DEFAULT_HASH": "sha1",
    "GIT_COMMITTER_NAME": IDENTITY["name"],
    "GIT_COMMITTER_EMAIL": IDENTITY["email"],
    "GIT_COMMITTER_DATE": DATE,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_EDITOR": "true",
    "LC_ALL": "C",
}

DOWNLOAD = {
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
    "GIT_HTTP_LOW_SPEED_LIMIT": "1000",
    "GIT_HTTP_LOW_SPEED_TIME": "60",
}
"""Environment of commands that talk to a server: never a prompt, messages that can be matched, and a server that
sends less than 1000 bytes a second for a minute is given up."""

# git sets these for its hooks and aliases; called from one, we would read and write that repository, not our own.
for _name in (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
):
    os.environ.pop(_name, None)


def open_repository(path: Path) -> gitpython.Repo:
    """A repository to read with GitPython, whoever it belongs to (a container works on folders of the host's user).

    :raises git.GitError: there is none, or it is broken.
    """
    repo = gitpython.Repo(path)
    repo.git.update_environment(
        GIT_CONFIG_COUNT="1", GIT_CONFIG_KEY_0="safe.directory", GIT_CONFIG_VALUE_0="*", LC_ALL="C"
    )
    return repo


def clear_locks(repository: Path) -> None:
    """Remove the lock files of git commands that were killed, which would stop all later ones.

    To be called only while nobody else works on the repository.
    """
    dot = repository / ".git"
    for left in [*dot.glob("*.lock"), *(dot / "refs").rglob("*.lock")]:
        left.unlink(missing_ok=True)


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

    :raises reconnect.kit.command.CommandError: it failed.
    """
    settings = ("safe.directory=*", "core.hooksPath=/dev/null", "gc.auto=0", "advice.detachedHead=false")
    argv = ["git", *(word for setting in settings for word in ("-c", setting)), *words]
    return command.run(argv, cwd=cwd, env=env, timeout=timeout, check=check, log=log, stdin=stdin)
