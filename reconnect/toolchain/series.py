"""A series: ``patches/NAME/series`` in quilt's order, one ``git format-patch`` mail per patch.

The first line ``# fixes`` or ``# feature`` parts the series: the patches before it are what the component needs to
compile and run here at all (the variant *baseline*, the control that must be found dead), those after it are what the
project is for. Fixes are what is right without any new behaviour; nothing but a reader tells them from features. All of
them together are the variant *patched*.
"""

from __future__ import annotations

import email
import email.policy
import hashlib
import re
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from pathlib import Path

from unidiff.errors import UnidiffParseError
from unidiff.patch import PatchedFile, PatchSet

from reconnect.kit.errors import PatchError

PARTS = ("# fixes", "# feature")
"""The lines that begin a part of a series file; the first of them ends the baseline part."""

CRLF_HINT = "git converted it (core.autocrlf); git config core.autocrlf false, remove it, git checkout it again"

BASELINE = "baseline"
PATCHED = "patched"


@dataclass(frozen=True)
class Patch:
    """One mail of a series.

    :raises PatchError: from :attr:`files`, when the diff in it can't be parsed.
    """

    path: Path

    @property
    def name(self) -> str:
        """Its file name, as the series lists it."""
        return self.path.name

    @property
    def has_crlf(self) -> bool:
        """Whether its own lines end with CRLF: a checkout has converted it. (A line that it patches may well.)"""
        return self.path.read_bytes().partition(b"\n")[0].endswith(b"\r")

    @property
    def mail(self) -> EmailMessage:
        """The parsed mail."""
        message = email.message_from_bytes(self.path.read_bytes(), policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        return message

    @property
    def files(self) -> list[PatchedFile]:
        """The files that it changes, with their hunks."""
        try:
            files = list(PatchSet(self.path.read_text(encoding="utf-8", errors="surrogateescape")))
        except UnidiffParseError as error:
            raise PatchError(f"can't be parsed: {error}", hint="export it again with git format-patch") from error
        return files

    @property
    def touched(self) -> set[str]:
        """Paths in the source tree that it reads or writes, old names of renamed files included."""
        names = {n for f in self.files for n in (f.path, f.source_file, f.target_file) if n and n != "/dev/null"}
        return {re.sub(r"^[ab]/", "", n) for n in names}


@dataclass(frozen=True)
class Series:
    """The patches of a component, in order.

    :param baseline: those before the first line of :data:`PARTS`.
    :param feature: those after it.
    """

    folder: Path
    baseline: tuple[Patch, ...]
    feature: tuple[Patch, ...]

    @property
    def patches(self) -> tuple[Patch, ...]:
        """All of them, in order."""
        return self.baseline + self.feature

    @property
    def variants(self) -> tuple[str, ...]:
        """What one can build: the baseline is of interest only where a feature comes on top of it."""
        return (BASELINE, PATCHED) if self.feature else (PATCHED,)

    def upto(self, variant: str) -> tuple[Patch, ...]:
        """The patches of a variant."""
        return self.baseline if variant == BASELINE else self.patches

    def digest(self) -> str:
        """Changes exactly when the order, the division or a byte of a patch does."""
        digest = hashlib.sha256()
        for patch in self.patches:
            digest.update(f"{patch.name} {patch in self.baseline}\n".encode())
            digest.update(patch.path.read_bytes())
        return digest.hexdigest()


def read(folder: Path) -> Series:
    """Read a series file; the patches themselves are read when they are needed.

    :raises PatchError: it can't be read, or lists a file that doesn't exist, or one twice.
    """
    problems = []
    names = _names(folder)
    for name in dict.fromkeys(n for part in names for n in part):
        if not _is_file(folder / name):
            problems.append(f"{folder.name}/series lists {name}, which does not exist")
        if sum(part.count(name) for part in names) > 1:
            problems.append(f"{folder.name}/series lists {name} twice")
    if problems:
        raise PatchError(
            f"the series {folder.name} is malformed", why="\n".join(problems), hint=f"mend {folder / 'series'}"
        )
    baseline, feature = (tuple(Patch(folder / name) for name in part) for part in names)
    return Series(folder, baseline, feature)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that no file system takes
        return False


def lint(folder: Path) -> list[str]:
    """All that is wrong with a series, without its source; an empty list where nothing is."""
    try:
        series = read(folder)
    except PatchError as error:
        return error.why.splitlines() or [error.what]
    problems = []
    listed = {p.name for p in series.patches}
    problems += [
        f"{folder.name}/{path.name} is not listed in series"
        for path in sorted(folder.iterdir())
        if path.name != "series" and path.name not in listed
    ]
    for patch in series.patches:
        problems += [f"{folder.name}/{patch.name}: {problem}" for problem in _lint_patch(patch)]
    return problems


def _lint_patch(patch: Patch) -> list[str]:
    problems = []
    if patch.has_crlf:
        problems.append(f"has lines that end with CRLF: {CRLF_HINT}")
    mail = patch.mail
    if not str(mail["Subject"] or "").replace("[PATCH]", "").strip():
        problems.append("has no Subject")
    if "@" not in str(mail["From"] or ""):
        problems.append("has no From with an address")
    if not _has_date(mail):
        problems.append("has no Date: its commit id would change with the time of the day")
    body = patch.path.read_text(encoding="utf-8", errors="replace")
    message, _, _ = body.partition("\n---\n")
    if not re.search(r"^Signed-off-by: .+ <.+@.+>$", message, re.MULTILINE):
        problems.append("has no Signed-off-by in its message")
    if not re.match(r"From 0{40} ", body):
        problems.append("does not start with a zero commit: export it with git format-patch --zero-commit")
    try:
        if not patch.files:
            problems.append("changes no file")
    except PatchError as error:
        problems.append(error.what)
    return problems


def _has_date(mail: EmailMessage) -> bool:
    try:
        return parsedate_to_datetime(str(mail["Date"])) is not None
    except ValueError:
        return False


def _names(folder: Path) -> tuple[list[str], list[str]]:
    try:
        lines = (folder / "series").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise PatchError(f"can't read {folder / 'series'}: {reason}") from error
    parts: tuple[list[str], list[str]] = ([], [])
    current = parts[0]
    for line in lines:
        if line.strip() in PARTS:
            current = parts[1]
        elif name := line.partition("#")[0].strip():
            current.append(name)
    # Without the line, the whole series is what the project is for.
    return parts if any(line.strip() in PARTS for line in lines) else ([], parts[0])
