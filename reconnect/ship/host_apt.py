"""The machine's own apt configuration, handed to a build and left in no image.

The base and the image take their packages from the mirror, through the proxy and with the certificates that this
machine uses. A build reads them as secrets (files that the engine mounts while a command runs), never as a layer.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from debian.deb822 import Deb822

from reconnect.kit import command
from reconnect.kit.command import CommandError
from reconnect.kit.errors import HostError, SourceError
from reconnect.toolchain.apt import ETC, SUITES, debian_suites, write_sources

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
"""Debian's keys, in each Debian system (package debian-archive-keyring, on which apt depends)."""

_ONE_LINE = re.compile(r"deb\s+(?:\[(?P<options>.*?)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)")
_PASSED_ON = re.compile(r"Acquire::(http|https|Proxy|Check|ForceIPv|Languages|Retries)", re.IGNORECASE)


@dataclass(frozen=True)
class HostApt:
    """The configuration, as files below one folder.

    :param sources: one deb822 list with the entries for Debian 12.
    :param conf: proxies and the like; ``auth`` what the machine's ``auth.conf`` says; ``ca`` its certificates.
    """

    sources: Path
    conf: Path
    auth: Path
    ca: Path

    def secrets(self) -> dict[str, Path]:
        """The build secrets that docker/Dockerfile mounts, by id; those that the machine doesn't need are left out."""
        files = {"apt-sources": self.sources, "apt-conf": self.conf, "apt-auth": self.auth, "apt-ca": self.ca}
        return {name: path for name, path in files.items() if path.is_file() and path.stat().st_size}


def derive(into: Path, etc: Path = ETC, environ: Mapping[str, str] = os.environ) -> HostApt:
    """Write the machine's configuration into a folder that only its owner can read.

    :param etc: the machine's apt configuration.
    :raises SourceError: it names no mirror of Debian 12.
    """
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True, mode=0o700)
    files = HostApt(into / "apt.sources", into / "apt.conf", into / "apt.auth", into / "ca.crt")
    write_sources(etc, into)
    entries = list(_debian_entries(into))
    for derived in ("machine.list", "machine.sources"):
        (into / derived).unlink()
    if not entries:
        raise SourceError(
            f"{etc} names no mirror of Debian 12",
            why=f"no entry has one of the suites {', '.join(SUITES)}, by these names",
            hint="give the machine's apt a Debian 12 mirror, or a base image of your own: --base REFERENCE",
        )
    files.sources.write_text("\n".join(entry.dump() for entry in entries), encoding="utf-8")
    files.conf.write_text("".join(f"{line}\n" for line in _conf_lines()), encoding="utf-8")
    logins = [etc / "auth.conf", *sorted((etc / "auth.conf.d").glob("*.conf"))]
    if auth := "\n".join(p.read_text(encoding="utf-8") for p in logins if p.is_file()):
        files.auth.write_text(auth, encoding="utf-8")
    if certificates := _certificates(environ):
        shutil.copyfile(certificates, files.ca)
    return files


def remove(folder: Path) -> None:
    """Remove what :func:`derive` wrote: it may hold credentials."""
    shutil.rmtree(folder, ignore_errors=True)


def _debian_entries(folder: Path) -> Iterator[Deb822]:
    """The entries for Debian 12 of both formats, as deb822 paragraphs."""
    for line in (folder / "machine.list").read_text(encoding="utf-8").splitlines():
        if entry := _ONE_LINE.fullmatch(line):
            yield from _narrowed(_paragraph(entry))
    text = (folder / "machine.sources").read_text(encoding="utf-8")
    for paragraph in Deb822.iter_paragraphs(text.encode(), use_apt_pkg=False):
        yield from _narrowed(paragraph)


def _narrowed(entry: Deb822) -> Iterator[Deb822]:
    suites = debian_suites(entry.get("Suites", ""), entry.get("Components", ""))
    if not suites:
        return
    made = Deb822()
    made["Types"] = "deb"
    made["URIs"] = entry["URIs"]
    made["Suites"] = " ".join(suites)
    made["Components"] = "main"
    signed = entry.get("Signed-By", "").strip()
    # A key of the machine's own is written into the entry: the file with it isn't in the image.
    made["Signed-By"] = _embedded(Path(signed)) if signed.startswith("/") and signed != KEYRING else signed or KEYRING
    yield made


def _paragraph(entry: re.Match[str]) -> Deb822:
    made = Deb822()
    made["URIs"], made["Suites"], made["Components"] = entry["uri"], entry["suite"], entry["components"]
    for option in (entry["options"] or "").split():
        name, _, value = option.partition("=")
        if name.lower() == "signed-by":
            made["Signed-By"] = value
    return made


def _embedded(key: Path) -> str:
    """A key file as the value of Signed-By: ASCII armour, each line indented, empty ones as a dot."""
    try:
        data = key.read_bytes()
    except OSError as error:
        raise SourceError(f"{key}, which apt's sources list names, can't be read: {error.strerror}") from error
    if data.startswith(b"-----BEGIN"):
        lines = data.decode("ascii", "replace").splitlines()
    else:
        body = base64.b64encode(data).decode()
        wrapped = [body[i : i + 64] for i in range(0, len(body), 64)]
        lines = ["-----BEGIN PGP PUBLIC KEY BLOCK-----", "", *wrapped, "-----END PGP PUBLIC KEY BLOCK-----"]
    return "\n" + "\n".join(f" {line}" if line.strip() else " ." for line in lines)


def _conf_lines() -> Iterable[str]:
    """What of the machine's configuration says how to reach a mirror; nothing that weakens the verification."""
    try:
        dump = command.run(["apt-config", "dump"], timeout=60).output
    except CommandError as error:
        raise HostError(
            "apt is not on this machine", why=str(error), hint="the image is built on a Debian or Ubuntu host"
        ) from error
    return [line for line in dump.splitlines() if _PASSED_ON.match(line) and "CaInfo" not in line]


def _certificates(environ: Mapping[str, str]) -> Path | None:
    places = (environ.get("SSL_CERT_FILE"), "/etc/ssl/certs/ca-certificates.crt")
    return next((Path(place) for place in places if place and Path(place).is_file()), None)
