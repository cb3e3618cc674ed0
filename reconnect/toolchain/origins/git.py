"""Git origins: several servers tried in order, one pinned commit, and the commit id as the only proof of identity.

A fetched repository is bare, holds just the pinned commit where the server lets one ask for it, and appears in the
cache only after the check. git names every object by its hash, so a tree with the right commit id is the right tree,
whatever served it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import git as gitpython

from reconnect.kit.command import CommandError
from reconnect.kit.errors import SourceError
from reconnect.project.settings import Premirror
from reconnect.toolchain.gitrepo import DOWNLOAD, git, open_repository

MANIFEST = "reconnect.json"
"""File in a cached repository: where it came from, and the sizes of its packs at the time of the check."""

CONNECT_SECONDS = 20.0
"""How long an origin has to answer the question whether it is there."""


@dataclass(frozen=True)
class Pin:
    """What must come out of a fetch: a commit, and where one is known the signed tag object that names it."""

    commit: str
    tag: str | None = None
    tag_object: str | None = None


class _NotThePin(Exception):
    """An origin serves something else than the pin, or not the pin."""


def candidates(origins: Sequence[str], premirrors: Sequence[Premirror]) -> list[str]:
    """URLs in the order in which they are tried: all mirrors first, then the origins themselves."""
    mirrors = [new for url in origins for m in premirrors if (new := m.rewrite(url))]
    return list(dict.fromkeys([*mirrors, *origins]))


def reachable(url: str) -> str:
    """Ask an origin whether it is there.

    :returns: nothing where it answered, else the reason in one line.
    """
    try:
        # A mirror's HEAD may name a branch that it doesn't have; then any ref will do.
        for words in (["HEAD"], []):
            argv = ("ls-remote", "--quiet", url, *words)
            if git(*argv, cwd=Path("/"), env=DOWNLOAD, timeout=CONNECT_SECONDS).output.strip():
                return ""
    except CommandError as error:
        return _reason(error)
    return "it has no branch and no tag"


def fetch(pin: Pin, urls: Sequence[str], into: Path, progress: Callable[[str], None]) -> str:
    """Fetch the pinned commit into a bare repository.

    :param into: the repository; it appears only after the check.
    :returns: the URL that served it.
    :raises SourceError: no origin served the pinned commit; names each with its reason.
    """
    reasons: list[str] = []
    for url in urls:
        partial = into.with_name(f".{into.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            progress(url)
            git("init", "--quiet", "--bare", partial, cwd=into.parent)
            _fetch_pinned(pin, url, partial, progress)
        except _NotThePin as refused:
            reasons.append(f"{url}: {refused}")
            continue
        except CommandError as error:
            reasons.append(f"{url}: {_reason(error)}")
            continue
        else:
            _seal(partial, url)
            shutil.rmtree(into, ignore_errors=True)
            partial.rename(into)
            return url
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    wanted = f"commit {pin.commit}" + (f" ({pin.tag})" if pin.tag else "")
    raise SourceError(f"no origin served {wanted}", why="\n".join(reasons), hint=WAYS_OUT)


WAYS_OUT = (
    "a mirror of yours: RECONNECT_PREMIRRORS='REGEX REPLACEMENT', for example 'https://.* file:///srv/qemu.git'\n"
    "a cache filled elsewhere: RECONNECT_CACHE=DIR\n"
    "the other stack, from Debian's source packages: --stack debian-12"
)


def check(pin: Pin, repository: Path) -> None:
    """A quick look whether a cached repository is whole: pack sizes and the pinned commit.

    :raises SourceError: it is missing, cut short, or holds something else.
    """
    if not repository.exists():
        raise SourceError(f"commit {pin.commit} is not in the cache")
    try:
        sizes = json.loads((repository / MANIFEST).read_text(encoding="utf-8"))["sizes"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{repository} is not a finished download") from error
    if sizes != _sizes(repository):
        raise SourceError(f"the cached repository {repository} is cut short or was changed")
    try:
        _verify(pin, repository)
    except _NotThePin as refused:
        raise SourceError(f"the cached repository {repository} does not hold the pinned commit: {refused}") from refused


def check_deep(pin: Pin, repository: Path) -> None:
    """:func:`check`, then the hash of every object.

    :raises SourceError: an object is damaged.
    """
    check(pin, repository)
    try:
        git("fsck", "--full", "--no-dangling", "--no-progress", cwd=repository)
    except CommandError as error:
        # Without its manifest it is no finished download: the next fetch replaces it.
        (repository / MANIFEST).unlink(missing_ok=True)
        raise SourceError(
            f"the cached repository {repository} is damaged",
            why=str(error),
            hint="run the same command again: it will be fetched anew",
        ) from error


def _fetch_pinned(pin: Pin, url: str, repository: Path, progress: Callable[[str], None]) -> None:
    """One commit where the server allows it, everything where it doesn't."""
    failure: CommandError | None = None
    for words in _attempts(pin, url):
        try:
            progress(f"{url}: {'one commit' if '--depth=1' in words else 'whole history'}")
            # As one pack, however small, so that its size tells whether it is whole.
            pack = ("-c", "fetch.unpackLimit=1")
            git(*pack, "fetch", "--quiet", "--no-tags", *words, cwd=repository, env=DOWNLOAD, timeout=3600)
        except CommandError as error:
            failure = error
            if _unreachable(error):
                break
            continue
        _verify(pin, repository)
        return
    assert failure
    raise failure


def _attempts(pin: Pin, url: str) -> Iterator[list[str]]:
    if pin.tag:
        yield ["--depth=1", url, f"+refs/tags/{pin.tag}:refs/tags/{pin.tag}"]
    if not pin.tag_object:
        yield ["--depth=1", url, f"+{pin.commit}:refs/heads/pinned"]
    yield [url, "+refs/*:refs/origin/*", *([f"+refs/tags/{pin.tag}:refs/tags/{pin.tag}"] if pin.tag_object else [])]


def _verify(pin: Pin, repository: Path) -> None:
    try:
        with open_repository(repository) as repo:
            if pin.tag and f"refs/tags/{pin.tag}" in {r.path for r in repo.tags}:
                served = repo.git.rev_parse(f"refs/tags/{pin.tag}^{{commit}}")
                if served != pin.commit:
                    raise _NotThePin(f"serves commit {served} under the tag {pin.tag}, not the pinned {pin.commit}")
                tag = repo.git.rev_parse(f"refs/tags/{pin.tag}")
                if pin.tag_object and tag != pin.tag_object:
                    raise _NotThePin(
                        f"serves tag object {tag} as {pin.tag}, not the pinned signed one {pin.tag_object}"
                    )
            elif pin.tag_object:
                raise _NotThePin(f"has no tag {pin.tag}")
            repo.git.cat_file("-e", f"{pin.commit}^{{tree}}")
    except gitpython.GitError as error:
        raise _NotThePin(f"has no commit {pin.commit}") from error


def _seal(repository: Path, url: str) -> None:
    facts = {"origin": url, "sizes": _sizes(repository)}
    (repository / MANIFEST).write_text(json.dumps(facts, indent=1), encoding="utf-8")


def _sizes(repository: Path) -> dict[str, int]:
    return {p.name: p.stat().st_size for p in sorted((repository / "objects/pack").glob("*")) if p.suffix != ".rev"}


def _unreachable(error: CommandError) -> bool:
    return any(
        sign in str(error)
        for sign in ("Could not resolve", "unable to access", "does not appear to be a git", "Connection", "timed out")
    )


def _reason(error: CommandError) -> str:
    for line, following in pairwise([*error.tail, ""]):
        if line.startswith(("fatal:", "error:")):
            said = line.removeprefix("fatal: ").removeprefix("error: ")
            return f"{said} {following}" if said.endswith(":") else said
    return error.tail[-1] if error.tail else error.ending
