"""The base tree: a component's pristine source as one commit of a repository below ``build/work``.

A git origin without submodules gives its pinned commit itself. Everything else (a Debian source package with
Debian's patches applied, a tree with a submodule's files put in their place) becomes a commit with a fixed author,
committer and date, so that the same source has the same commit id everywhere.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Literal

import git as gitpython

from reconnect.kit import command
from reconnect.kit.command import CommandError
from reconnect.kit.console import step
from reconnect.kit.errors import HostError, SourceError
from reconnect.toolchain.fetching import Fetched
from reconnect.toolchain.gitrepo import DATE, HERMETIC, IDENTITY, git, open_repository
from reconnect.toolchain.origins.git import Pin, check_deep

BASE = "refs/reconnect/base"
"""The base commit; the last thing written, so that an interrupted import is done again."""

_AUTHOR = {
    "GIT_AUTHOR_NAME": IDENTITY["name"],
    "GIT_AUTHOR_EMAIL": IDENTITY["email"],
    "GIT_AUTHOR_DATE": DATE,
}


def import_base(fetched: Fetched, tree: Path) -> str:
    """Put the base commit into the repository ``tree``, unless it is there.

    :param tree: the source tree; made where it doesn't exist, never checked out here.
    :returns: the base commit's id.
    :raises SourceError: the cached source is damaged, or its tree isn't the pinned one.
    """
    imported = marker(fetched)
    if (tree / ".git").is_dir() and (known := resolve(tree, imported)):
        if resolve(tree, BASE) != known:
            git("update-ref", BASE, known, cwd=tree)
        return known
    with step(f"unpack {fetched.component.name} {fetched.version}") as current:
        tree.mkdir(parents=True, exist_ok=True)
        git("init", "--quiet", "--initial-branch=upstream", ".", cwd=tree)
        try:
            commit = _from_git(fetched, tree) if fetched.component.git else _from_debian(fetched, tree)
        except CommandError as error:
            raise SourceError(
                f"the source of {fetched.component.name} can't be unpacked",
                why=str(error),
                hint=f"remove {fetched.paths[0]} and fetch again",
            ) from error
        git("update-ref", imported, commit, cwd=tree)
        git("update-ref", BASE, commit, cwd=tree)
        current.done(f"base commit {commit[:12]}")
    return commit


def marker(fetched: Fetched) -> str:
    """The ref that says that a source has been imported; it points to its base commit."""
    return f"refs/reconnect/imported/{fetched.component.name}/{_ref_word(fetched.identity)}"


def resolve(tree: Path, name: str, kind: Literal["commit", "tree"] = "commit") -> str:
    """The id of the commit that a name stands for in a repository, or of its tree; or nothing."""
    try:
        with open_repository(tree) as repo:
            commit = repo.commit(name)
            return str(commit.hexsha if kind == "commit" else commit.tree.hexsha)
    except (ValueError, IndexError, gitpython.BadName, gitpython.GitError):
        return ""


def _from_git(fetched: Fetched, tree: Path) -> str:
    source = fetched.component.git
    assert source
    commits = [source.commit, *(s.commit for s in source.submodules)]
    for commit, repository in zip(commits, fetched.paths, strict=True):
        check_deep(Pin(commit), repository)
        # By way of a ref: a repository on disk may refuse to serve a commit by its id alone.
        git("update-ref", "refs/heads/pinned", commit, cwd=repository)
        url = repository.resolve().as_uri()
        git("fetch", "--quiet", "--no-tags", "--depth=1", url, f"+refs/heads/pinned:refs/pins/{commit}", cwd=tree)
    if not source.submodules:
        return source.commit
    index = {**HERMETIC, **_AUTHOR, "GIT_INDEX_FILE": str(tree / ".git/index.base")}
    git("read-tree", source.commit, cwd=tree, env=index)
    for module in source.submodules:
        link = git("ls-tree", source.commit, module.path, cwd=tree).output.split()
        if link[1:3] != ["commit", module.commit]:
            raise SourceError(
                f"the submodule {module.path} of {fetched.component.name} is not the one that its commit names",
                why=f"commit {source.commit} links {' '.join(link[1:3]) or 'nothing'} there, "
                f"stacks.toml pins {module.commit}",
            )
        git("rm", "--quiet", "--cached", module.path, cwd=tree, env=index)
        git("read-tree", f"--prefix={module.path}/", module.commit, cwd=tree, env=index)
    return _commit(fetched, tree, index)


def _from_debian(fetched: Fetched, tree: Path) -> str:
    (folder,) = fetched.paths
    (dsc,) = folder.glob("*.dsc")
    # Beside the tree, on the same disk: half a gigabyte would be much for a /tmp in memory.
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=tree.parent) as scratch:
        unpacked = Path(scratch) / "source"
        try:
            # dpkg-source checks the sizes and hashes that the .dsc names; apt's signed index vouched for the .dsc.
            command.run(["dpkg-source", "--extract", dsc, unpacked], timeout=600)
        except CommandError as error:
            if "No such file" in error.ending:
                raise HostError("dpkg-source is missing", hint="apt-get install dpkg-dev") from error
            raise
        # quilt's own copies of the files that Debian's patches changed
        shutil.rmtree(unpacked / ".pc", ignore_errors=True)
        env = {
            **HERMETIC,
            **_AUTHOR,
            "GIT_DIR": str(tree / ".git"),
            "GIT_WORK_TREE": str(unpacked),
            "GIT_INDEX_FILE": str(tree / ".git/index.base"),
        }
        Path(env["GIT_INDEX_FILE"]).unlink(missing_ok=True)
        git("add", "--all", "--force", ".", cwd=unpacked, env=env)
        return _commit(fetched, tree, env)


def _commit(fetched: Fetched, tree: Path, env: dict[str, str]) -> str:
    written = git("write-tree", cwd=tree, env=env).output.strip()
    message = f"{fetched.component.name}: {fetched.identity}\n".encode()
    commit = git("commit-tree", written, cwd=tree, env=env, stdin=message).output.strip()
    Path(env["GIT_INDEX_FILE"]).unlink(missing_ok=True)
    return commit


def _ref_word(text: str) -> str:
    return "".join(c if c.isalnum() or c in ".-" else "-" for c in text)
