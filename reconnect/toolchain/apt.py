"""Debian packages and source packages without a change to the system, as any user.

apt is given a sources list, lists, a cache and a package status of its own. The sources list is derived from the
machine's (one-line and deb822 formats), with ``deb-src`` added; apt's proxies, credentials and keys stay those of
the machine. Its signature verification stays on: marks of trust that would turn it off are dropped.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from debian.deb822 import Deb822, Sources
from debian.debian_support import Version

from reconnect.kit import command
from reconnect.kit.command import CommandError
from reconnect.kit.errors import HostError, SourceError
from reconnect.kit.lock import exclusive
from reconnect.project.workspace import Workspace

ETC = Path("/etc/apt")
_TRUST = re.compile(r"trusted|allow-insecure|allow-weak|allow-downgrade-to-insecure", re.IGNORECASE)
"""Options of an entry that turn the verification of its signatures off or down."""

SUITE = "bookworm"
"""Debian 12."""

SUITES = (SUITE, f"{SUITE}-updates", f"{SUITE}-security")
"""The suites of Debian 12 itself: what else the machine installs from is neither needed here nor in the image."""

_NO = ("no", "false", "without", "off", "disable", "0")
"""The words that apt takes for "no"."""

MANIFEST = "manifest.json"
"""Names the files of a finished download with their sizes and SHA-256, as the signed index gave them."""

METAPACKAGE = 100_000
"""Bytes: what is smaller and depends on something is a metapackage."""


@dataclass
class Apt:
    """A private apt.

    :param state: folder for its lists, cache and configuration.
    :param etc: the machine's apt configuration.
    """

    state: Path
    etc: Path = ETC
    _updated: bool = field(default=False, repr=False)

    @classmethod
    def private(cls, workspace: Workspace) -> Apt:
        """The one whose lists are kept in the workspace's cache: one object a run, so that they are fetched once."""
        state = workspace.cache_dir("apt")
        return _private.setdefault(state, cls(state))

    def options(self) -> list[str]:
        """The options that turn any apt program into this private one."""
        state = self.state
        return [
            f"-oDir::State={state}/state",
            f"-oDir::State::Lists={state}/lists",
            "-oDir::State::status=/dev/null",
            f"-oDir::Cache={state}/cache",
            "-oDir::Etc::sourcelist=/dev/null",
            f"-oDir::Etc::sourceparts={state}/sources.list.d",
            "-oAcquire::AllowInsecureRepositories=false",
            "-oAcquire::AllowWeakRepositories=false",
            "-oAcquire::AllowDowngradeToInsecureRepositories=false",
            "-oAPT::Get::AllowUnauthenticated=false",
            # The _apt user can't reach a cache in somebody's home; downloads are verified either way.
            "-oAPT::Sandbox::User=root",
            "-oAcquire::Retries=3",
        ]

    def update(self) -> None:
        """Fetch the signed indexes, once in the life of this object.

        :raises SourceError: no usable source is configured, or none answers.
        """
        if self._updated:
            return
        # apt itself refuses to wait for the lock of its lists.
        with exclusive(self.state, "apt-get update"):
            self._update()
        self._updated = True

    def _update(self) -> None:
        for sub in ("state/lists/partial", "lists/partial", "cache/archives/partial", "sources.list.d"):
            (self.state / sub).mkdir(parents=True, exist_ok=True)
        write_sources(self.etc, self.state / "sources.list.d")
        self._run(["apt-get", *self.options(), "-q", "update", "--error-on=any"], "apt could not read its indexes")

    def source_versions(self, package: str) -> list[Sources]:
        """All versions of a source package that the machine's Debian mirror serves, newest last."""
        self.update()
        argv = ["apt-cache", *self.options(), "showsrc", "--only-source", package]
        found = command.run(argv, check=False, timeout=120)
        records = Sources.iter_paragraphs(found.output.encode(), use_apt_pkg=False)
        return sorted((r for r in records if r.get("Package") == package), key=lambda r: Version(r["Version"]))

    def download_source(self, record: Sources, into: Path) -> None:
        """Download the files of a source package and check each against the signed index.

        :param into: folder that appears only when it is whole.
        """
        package, version = record["Package"], record["Version"]
        partial = _fresh(into)
        argv = ["apt-get", *self.options(), "-q", "source", "--download-only", "--only-source", f"{package}={version}"]
        self._run(argv, f"source package {package} {version} could not be downloaded", cwd=partial)
        expected = {f["name"]: f["sha256"] for f in record["Checksums-Sha256"]}
        _publish(partial, into, expected, {"package": package, "version": version})

    def newest_binary(self, package: str) -> Deb822:
        """The index record of a binary package. A metapackage is followed to the package it stands for.

        :raises SourceError: the mirror has no such package.
        """
        self.update()
        argv = ["apt-cache", *self.options(), "show", "--no-all-versions", package]
        found = command.run(argv, check=False, timeout=120)
        records = list(Deb822.iter_paragraphs(found.output.encode(), use_apt_pkg=False))
        if not records or records[0].get("Package") != package:
            raise SourceError(
                f"the Debian mirror has no package {package}",
                why="it is looked for in the sources of this machine's own apt configuration",
                hint=f"check with: apt-cache policy {package}",
            )
        record: Deb822 = records[0]
        real = re.match(r"[a-z0-9.+-]+", record.get("Depends", ""))
        if real and int(record.get("Size", "0")) < METAPACKAGE:
            return self.newest_binary(real[0])
        return record

    def download_binary(self, record: Deb822, into: Path) -> None:
        """Download one .deb and check it against the signed index; it isn't installed."""
        package, version = record["Package"], record["Version"]
        partial = _fresh(into)
        argv = ["apt-get", *self.options(), "-q", "download", f"{package}={version}"]
        self._run(argv, f"package {package} {version} could not be downloaded", cwd=partial)
        (deb,) = partial.glob("*.deb")
        _publish(partial, into, {deb.name: record["SHA256"]}, {"package": package, "version": version})

    def _run(self, argv: Sequence[str], what: str, cwd: Path | None = None) -> None:
        try:
            command.run(argv, cwd=cwd, timeout=900, log=self.state / "apt.log")
        except CommandError as error:
            if "No such file" in error.ending:
                raise HostError(
                    f"{argv[0]} is not on this machine", hint="Debian's sources need a Debian or Ubuntu host"
                ) from error
            raise SourceError(
                what,
                why=str(error),
                hint="check the machine's own apt first: apt-get update\n"
                "without a network: RECONNECT_OFFLINE=1 with a filled RECONNECT_CACHE",
            ) from error


_private: dict[Path, Apt] = {}


def verified(folder: Path) -> dict[str, str]:
    """The facts of a finished download after its files were checked again.

    :returns: ``package`` and ``version``.
    :raises SourceError: a file is missing, cut short or changed since.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        for name, digest in manifest["files"].items():
            if _sha256(folder / name) != digest:
                raise SourceError(f"{folder / name} is not what was downloaded: it is cut short or was changed")
        return {"package": manifest["package"], "version": manifest["version"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"the download in {folder} is not whole: {error}") from error


def write_sources(etc: Path, into: Path) -> None:
    """Derive a private sources list from the machine's own.

    Each entry of type ``deb`` or ``deb-src`` is written with both types. Disabled entries and CD-ROMs stay out;
    options that turn verification off are dropped. Where there are entries for Debian 12, all others stay out: a
    mirror of somebody else's that is down is no matter of ours.

    :raises SourceError: no entry is left.
    """
    lines: list[str] = []
    for file in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*.list"))]:
        if file.is_file():
            lines.extend(_one_line_entries(_text(file)))
    paragraphs: list[str] = []
    for file in sorted((etc / "sources.list.d").glob("*.sources")):
        paragraphs.extend(_deb822_entries(_text(file)))
    if not lines and not paragraphs:
        raise SourceError(
            f"{etc} names no Debian mirror",
            why="neither sources.list nor sources.list.d has an enabled deb entry",
            hint="give the machine's apt a Debian 12 mirror",
        )
    debian_lines = [line for line in lines if _line_is_debians(line)]
    debian_paragraphs = [text for paragraph in paragraphs for text in _narrowed(paragraph)]
    if debian_lines or debian_paragraphs:
        lines, paragraphs = debian_lines, debian_paragraphs
    (into / "machine.list").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    (into / "machine.sources").write_text("\n".join(paragraphs), encoding="utf-8")


def debian_suites(suites: str, components: str) -> list[str]:
    """Those suites of an entry that are Debian 12's own; none where its components aren't Debian's.

    :param suites: as the entry has them, and so ``components``: words with spaces between.
    """
    return [suite for suite in suites.split() if suite in SUITES] if "main" in components.split() else []


def _line_is_debians(line: str) -> bool:
    match re.sub(r"\[.*?\]", "", line).split():
        case [_, _, suites, *components]:
            return bool(debian_suites(suites, " ".join(components)))
    return False


def _narrowed(paragraph: str) -> Iterable[str]:
    entry = Deb822(paragraph)
    if suites := debian_suites(entry.get("Suites", ""), entry.get("Components", "")):
        entry["Suites"] = " ".join(suites)
        yield entry.dump()


def _text(file: Path) -> str:
    """A sources list, in whatever encoding its comments are: what counts in it is ASCII."""
    return file.read_text(encoding="utf-8", errors="replace")


def _one_line_entries(text: str) -> Iterable[str]:
    for line in text.splitlines():
        entry = re.fullmatch(r"\s*deb(?:-src)?\s+(?:\[(.*?)\]\s+)?([^#]+?)\s*(?:#.*)?", line)
        if entry and not entry[2].startswith("cdrom:"):
            kept = " ".join(o for o in (entry[1] or "").split() if not _TRUST.match(o))
            options = f"[{kept}] " if kept else ""
            for kind in ("deb", "deb-src"):
                yield f"{kind} {options}{entry[2]}"


def _deb822_entries(text: str) -> Iterable[str]:
    for paragraph in Deb822.iter_paragraphs(text.encode(), use_apt_pkg=False):
        if not paragraph or paragraph.get("Enabled", "yes").strip().lower() in _NO:
            continue
        if paragraph.get("URIs", "").startswith("cdrom:"):
            continue
        paragraph["Types"] = "deb deb-src"
        for option in [name for name in paragraph if _TRUST.match(name)]:
            del paragraph[option]
        yield paragraph.dump()


def _fresh(into: Path) -> Path:
    partial = into.with_name(f".{into.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


def _publish(partial: Path, into: Path, files: dict[str, str], facts: dict[str, str]) -> None:
    for name, digest in files.items():
        if _sha256(partial / name) != digest:
            raise SourceError(
                f"{name} is not the file that the signed index names",
                why=f"its SHA-256 is not {digest}",
                hint="the mirror or a proxy between serves a damaged file: try again, then another mirror",
            )
    (partial / MANIFEST).write_text(json.dumps({**facts, "files": files}, indent=1), encoding="utf-8")
    shutil.rmtree(into, ignore_errors=True)
    partial.rename(into)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
