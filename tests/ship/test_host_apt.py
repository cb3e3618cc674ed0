"""The machine's apt configuration, as a build is given it."""

from __future__ import annotations

from pathlib import Path

import pytest
from debian.deb822 import Deb822

from reconnect.kit.errors import SourceError
from reconnect.ship import host_apt
from reconnect.ship.host_apt import KEYRING


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    folder = tmp_path / "etc"
    for sub in ("sources.list.d", "auth.conf.d"):
        (folder / sub).mkdir(parents=True)
    return folder


def entries(path: Path) -> list[Deb822]:
    return [e for e in Deb822.iter_paragraphs(path.read_bytes(), use_apt_pkg=False) if e]


def test_only_the_entries_for_debian_12_are_kept(etc: Path, tmp_path: Path) -> None:
    (etc / "sources.list").write_text(
        "deb [arch=amd64 trusted=yes] http://mirror.invalid/debian bookworm main contrib\n"
        "# deb http://off.invalid/debian bookworm main\n"
        "deb http://third.invalid/apt bookworm-pgdg main\n"
        "deb http://old.invalid/debian bullseye main\n"
    )
    (etc / "sources.list.d/debian.sources").write_text(
        "Types: deb\nURIs: http://two.invalid/debian\nSuites: bookworm bookworm-updates trixie\nComponents: main\n"
        f"Signed-By: {KEYRING}\n\n"
        "Types: deb\nURIs: http://tools.invalid/\nSuites: stable\nComponents: main\n"
    )
    files = host_apt.derive(tmp_path / "out", etc, {})
    found = entries(files.sources)
    assert [(e["URIs"], e["Suites"], e["Components"]) for e in found] == [
        ("http://mirror.invalid/debian", "bookworm", "main"),
        ("http://two.invalid/debian", "bookworm bookworm-updates", "main"),
    ]
    assert {e["Types"] for e in found} == {"deb"}
    assert "rusted" not in files.sources.read_text()


def test_a_key_of_the_machine_s_own_goes_along(etc: Path, tmp_path: Path) -> None:
    key = tmp_path / "own.gpg"
    key.write_bytes(bytes(range(200)))
    (etc / "sources.list").write_text(f"deb [signed-by={key}] http://mirror.invalid/debian bookworm main\n")
    files = host_apt.derive(tmp_path / "out", etc, {})
    (entry,) = entries(files.sources)
    assert "BEGIN PGP PUBLIC KEY BLOCK" in entry["Signed-By"]
    assert str(key) not in files.sources.read_text()


def test_a_key_that_is_not_there_is_named(etc: Path, tmp_path: Path) -> None:
    (etc / "sources.list").write_text("deb [signed-by=/nowhere/key.gpg] http://mirror.invalid/debian bookworm main\n")
    with pytest.raises(SourceError, match=r"/nowhere/key\.gpg"):
        host_apt.derive(tmp_path / "out", etc, {})


def test_a_machine_without_debian_12_is_told_the_ways_out(etc: Path, tmp_path: Path) -> None:
    (etc / "sources.list").write_text("deb http://mirror.invalid/debian trixie main\n")
    with pytest.raises(SourceError, match="no mirror of Debian 12") as caught:
        host_apt.derive(tmp_path / "out", etc, {})
    assert "--base REFERENCE" in caught.value.hint


def test_credentials_are_for_the_owner_alone_and_are_removed(etc: Path, tmp_path: Path) -> None:
    (etc / "sources.list").write_text("deb http://mirror.invalid/debian bookworm main\n")
    (etc / "auth.conf.d/mirror.conf").write_text("machine mirror.invalid login me password secret\n")
    certificates = tmp_path / "ca.crt"
    certificates.write_text("certificates")
    files = host_apt.derive(tmp_path / "out", etc, {"SSL_CERT_FILE": str(certificates)})
    assert (tmp_path / "out").stat().st_mode & 0o077 == 0
    assert "secret" in files.secrets()["apt-auth"].read_text()
    assert files.secrets()["apt-ca"].read_text() == "certificates"
    host_apt.remove(tmp_path / "out")
    assert not (tmp_path / "out").exists()
