"""A series onto its base: ``git am`` in a scratch work tree, then a checkout that rewrites only what differs.

The scratch tree is sparse (it holds just the files that the patches touch), so applying takes a moment; and as the
source tree moves from one finished commit to the next, a patch that doesn't apply leaves nothing half-applied, and
files that are the same in both keep their dates, so that the next build is incremental.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from reconnect.kit.command import CommandError
from reconnect.kit.console import step
from reconnect.kit.errors import ConfigError, HostError, PatchError
from reconnect.toolchain.base import resolve
from reconnect.toolchain.gitrepo import git
from reconnect.toolchain.series import CRLF_HINT, Patch, Series

APPLIED = "refs/reconnect/applied"
"""Below it, a ref for each variant of the series as it was last applied."""


@dataclass(frozen=True)
class Applied:
    """Commits of the variants in the source repository, and their trees' ids."""

    commits: dict[str, str]
    trees: dict[str, str]


def apply(series: Series, base: str, tree: Path) -> Applied:
    """Make the commits of all variants of a series, unless they are there.

    :param base: commit that the first patch applies to.
    :param tree: the repository with the base; its work tree isn't touched.
    :raises PatchError: a patch doesn't apply; says which, in which file, at which hunk.
    """
    prefix = applied_ref(series, base)
    commits = {v: resolve(tree, f"{prefix}/{v}") for v in series.variants}
    if not all(commits.values()):
        with step(f"patch {series.folder.name} ({len(series.patches)} patches)") as current:
            chain = [base, *_am(series, base, tree)]
            commits = {v: chain[len(series.upto(v))] for v in series.variants}
            for variant, commit in commits.items():
                git("update-ref", f"{prefix}/{variant}", commit, cwd=tree)
            current.done(", ".join(f"{v} = {c[:12]}" for v, c in commits.items()))
        _forget(tree, keep=prefix)
    trees = {v: git("rev-parse", f"{c}^{{tree}}", cwd=tree).output.strip() for v, c in commits.items()}
    return Applied(commits, trees)


def applied_ref(series: Series, base: str) -> str:
    """The ref below which the variants' commits of a series on this base are, once it has been applied."""
    return f"{APPLIED}/{base[:12]}-{series.digest()[:24]}"


def checkout(tree: Path, commit: str) -> bool:
    """Bring the source tree to a commit, rewriting only the files that differ.

    :returns: whether anything had to be done.
    :raises ConfigError: somebody edited the tree by hand; the edits are kept.
    """
    # A checkout that was killed half-way looks like edits by hand; this file tells the two apart.
    unfinished = tree / ".git/reconnect-checkout"
    head = resolve(tree, "HEAD")
    if not unfinished.exists() and head:
        if _status(tree):
            edits = git("diff", "--name-only", "HEAD", cwd=tree).output.split()
            raise ConfigError(
                f"{tree} has edits that are in no patch: {', '.join(edits[:5])}",
                why="the next step would overwrite them",
                hint=f"keep them: git -C {tree} diff HEAD > my.patch\n"
                f"then drop them: git -C {tree} checkout --force HEAD",
            )
        if head == commit:
            return False
    force = ["--force"] if unfinished.exists() or not head else []
    unfinished.touch()
    (tree / ".git/index.lock").unlink(missing_ok=True)
    try:
        git("checkout", "--quiet", *force, "--detach", commit, cwd=tree)
    except CommandError as error:
        files = [line.strip() for line in error.tail if line.startswith("\t")]
        if not any("would be overwritten" in line for line in error.tail):
            raise
        unfinished.unlink()  # git refused before it changed anything
        raise ConfigError(
            f"{tree} has files of yours where the patches make files of that name: {', '.join(files)}",
            why="the next step would overwrite them",
            hint="move them elsewhere, or remove them",
        ) from error
    unfinished.unlink()
    return True


def _forget(tree: Path, keep: str) -> None:
    """Drop the commits of what the series was before: an edit of a patch makes a chain of them, and nothing needs it.

    What is checked out stays until the source tree has moved on: it goes with the next edit.
    """
    old = git("for-each-ref", "--format=%(refname)", APPLIED, cwd=tree).output.split()
    lines = "".join(f"delete {ref}\n" for ref in old if not ref.startswith(f"{keep}/"))
    if not lines:
        return
    git("update-ref", "--stdin", cwd=tree, stdin=lines.encode())
    git("reflog", "expire", "--expire=now", "--expire-unreachable=now", "--all", cwd=tree)
    # git am and the checkouts write loose objects only, which is what this removes.
    git("prune", "--expire=now", cwd=tree)


def _status(tree: Path) -> str:
    try:
        return git("status", "--porcelain", "--untracked-files=no", cwd=tree).output.strip()
    except CommandError as error:
        raise HostError(
            f"git can't read the source tree {tree}",
            why=str(error),
            hint=f"remove it, it is made anew: rm -r {tree}",
        ) from error


def _am(series: Series, base: str, tree: Path) -> list[str]:
    if not series.patches:
        return []
    if converted := [p.name for p in series.patches if p.has_crlf]:
        raise PatchError(
            f"{len(converted)} patches of {series.folder.name} have lines that end with CRLF: {converted[0]}",
            hint=CRLF_HINT,
        )
    for left in tree.parent.glob(".am-*"):  # of a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    git("worktree", "prune", cwd=tree)
    scratch = Path(tempfile.mkdtemp(prefix=".am-", dir=tree.parent))
    try:
        git("worktree", "add", "--quiet", "--no-checkout", "--detach", scratch, base, cwd=tree)
        touched = "".join(f"/{name}\n" for p in series.patches for name in sorted(p.touched))
        git("sparse-checkout", "set", "--no-cone", "--stdin", cwd=scratch, stdin=touched.encode())
        git("read-tree", "-m", "-u", "HEAD", cwd=scratch)
        mails = [p.path for p in series.patches]
        try:
            git("am", "--quiet", "--keep-non-patch", "--keep-cr", "--no-3way", "--no-gpg-sign", *mails, cwd=scratch)
        except CommandError as error:
            raise _refusal(series, scratch, error) from error
        listed = git("rev-list", "--reverse", f"{base}..HEAD", cwd=scratch).output.split()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        git("worktree", "prune", cwd=tree, check=False)
    if len(listed) != len(series.patches):
        raise PatchError(
            f"{len(series.patches)} patches of {series.folder.name} gave {len(listed)} commits",
            why="a mail holds no or several patches",
        )
    return listed


def _refusal(series: Series, scratch: Path, error: CommandError) -> PatchError:
    """Which patch, file and hunk: git says the number of the patch in its state, and a line number in its message."""
    state = Path(git("rev-parse", "--git-path", "rebase-apply/next", cwd=scratch).output.strip())
    state = state if state.is_absolute() else scratch / state
    try:
        patch = series.patches[int(state.read_text()) - 1]
    except (OSError, ValueError, IndexError):
        return PatchError(f"the series {series.folder.name} does not apply", why=str(error))
    # git's advice on how to go on belongs to a work tree that is gone by then.
    output = "\n".join([line for line in error.tail if line.startswith("error:")] or error.tail)
    places = re.findall(r"error: patch failed: (\S+):(\d+)", output)
    places_text = ", ".join(f"{file} {_hunk(patch, file, int(line))}" for file, line in places)
    missing = re.findall(r"error: (\S+): (?:does not exist in index|No such file or directory)", output)
    places_text = places_text or ", ".join(f"{file} (the source has no such file)" for file in missing)
    there = re.findall(r"error: (\S+): already exists in", output)
    places_text = places_text or ", ".join(f"{file} (already exists in the source)" for file in there)
    return PatchError(
        f"{series.folder.name}/{patch.name} does not apply: {places_text or 'git am refused it'}",
        why=output,
        hint="nothing was changed; the source may have moved under the patch (a new Debian revision?):\n"
        f"rebase {patch.path} on it",
    )


def _hunk(patch: Patch, file: str, line: int) -> str:
    for touched in patch.files:
        if file in (touched.path, (touched.source_file or "").removeprefix("a/")):
            for number, hunk in enumerate(touched, 1):
                if hunk.source_start == line:
                    return f"hunk {number} of {len(touched)} (at line {line})"
    return f"at line {line}"
