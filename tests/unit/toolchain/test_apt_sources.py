"""The private sources list, derived from the machine's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconnect.kit.errors import SourceError
from reconnect.toolchain.apt import Apt, write_sources


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "etc/sources.list.d").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    return tmp_path / "etc"


def one_line(etc: Path) -> list[str]:
    write_sources(etc, etc.parent / "out")
    return (etc.parent / "out/machine.list").read_text().splitlines()


def deb822(etc: Path) -> str:
    write_sources(etc, etc.parent / "out")
    return (etc.parent / "out/machine.sources").read_text()


@pytest.mark.parametrize(
    ("line", "rest"),
    [
        ("deb http://mirror.invalid/debian bookworm main", "http://mirror.invalid/debian bookworm main"),
        ("deb-src http://m/debian bookworm main # why", "http://m/debian bookworm main"),
        ("  deb\thttp://m/debian  bookworm main contrib  ", "http://m/debian  bookworm main contrib"),
        ("deb [arch=amd64 signed-by=/k.gpg] http://m x y", "[arch=amd64 signed-by=/k.gpg] http://m x y"),
        ("deb [ trusted=yes arch=amd64 ] http://m x y", "[arch=amd64] http://m x y"),
        ("deb [Trusted=yes] http://m x y", "http://m x y"),
        ("deb [allow-insecure=yes allow-weak=yes allow-downgrade-to-insecure=yes] http://m x y", "http://m x y"),
        ("deb http://m/flat ./", "http://m/flat ./"),
    ],
)
def test_one_line_entries_are_written_with_both_types(etc: Path, line: str, rest: str) -> None:
    (etc / "sources.list").write_text(f"{line}\n")
    assert one_line(etc) == [f"deb {rest}", f"deb-src {rest}"]


def test_what_is_disabled_or_no_mirror_stays_out(etc: Path) -> None:
    (etc / "sources.list").write_text(
        "# deb http://off x y\n\n#deb http://off x y\n"
        "deb cdrom:[Debian GNU/Linux 12]/ bookworm main\ndeb http://on x y\n"
    )
    (etc / "sources.list.d/a.list").write_text("deb http://a x y\n")
    (etc / "sources.list.d/b.list.disabled").write_text("deb http://b x y\n")
    assert [line.split()[1] for line in one_line(etc)] == ["http://on", "http://on", "http://a", "http://a"]


def test_deb822_paragraphs_are_written_with_both_types(etc: Path) -> None:
    (etc / "sources.list.d/debian.sources").write_text(
        "# comment\nTypes: deb\n# another\nURIs: http://mirror.invalid/debian\nSuites: bookworm bookworm-updates\n"
        "Components: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQ==\nTrusted: yes\n"
        "Allow-Insecure: yes\nAllow-Weak: yes\nAllow-Downgrade-To-Insecure: yes\n"
        "\nTypes: deb\nURIs: http://off\nSuites: x\nEnabled: no\n"
        "\nTypes: deb\nURIs: cdrom:[x]/\nSuites: x\n"
        "\nTypes: deb-src\nURIs: http://on\nSuites: bookworm\nComponents: main\nEnabled: yes\n"
    )
    text = deb822(etc)
    assert text.count("Types: deb deb-src\n") == 2
    assert "URIs: http://mirror.invalid/debian\n" in text
    assert "-----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQ==\n" in text
    assert "URIs: http://on\n" in text
    for word in ("off", "cdrom", "Trusted", "Allow-"):
        assert word not in text


@pytest.mark.parametrize("value", ["no", "No", "false", "0", "off", "without", "disable"])
def test_every_word_by_which_apt_disables_an_entry(etc: Path, value: str) -> None:
    (etc / "sources.list.d/x.sources").write_text(f"Types: deb\nURIs: http://off\nSuites: x\nEnabled: {value}\n")
    with pytest.raises(SourceError):
        deb822(etc)


@pytest.mark.parametrize("text", [None, "", "# deb http://off x y\n", "deb cdrom:[x]/ y z\n"])
def test_no_mirror_at_all_is_an_error(etc: Path, text: str | None) -> None:
    if text is not None:
        (etc / "sources.list").write_text(text)
    with pytest.raises(SourceError, match="names no Debian mirror") as caught:
        write_sources(etc, etc.parent / "out")
    assert "Debian 12 mirror" in caught.value.hint


def test_verification_is_left_on() -> None:
    options = Apt(Path("/s")).options()
    for name in (
        "Acquire::AllowInsecureRepositories",
        "Acquire::AllowWeakRepositories",
        "Acquire::AllowDowngradeToInsecureRepositories",
        "APT::Get::AllowUnauthenticated",
    ):
        assert f"-o{name}=false" in options


def test_sources_of_others_stay_out_where_debians_are_there(tmp_path: Path) -> None:
    """One of them that is down would end each fetch."""
    etc, out = tmp_path / "etc", tmp_path / "out"
    (etc / "sources.list.d").mkdir(parents=True)
    out.mkdir()
    (etc / "sources.list").write_text(
        "deb [arch=amd64] http://mirror.invalid/debian bookworm main contrib\n"
        "deb http://third.invalid/apt bookworm stable\n"
        "deb http://pg.invalid/apt bookworm-pgdg main\n"
    )
    (etc / "sources.list.d/all.sources").write_text(
        "Types: deb\nURIs: http://two.invalid/debian\nSuites: bookworm-updates trixie\nComponents: main\n\n"
        "Types: deb\nURIs: http://node.invalid\nSuites: nodistro\nComponents: main\n"
    )
    write_sources(etc, out)
    assert (out / "machine.list").read_text().splitlines() == [
        "deb [arch=amd64] http://mirror.invalid/debian bookworm main contrib",
        "deb-src [arch=amd64] http://mirror.invalid/debian bookworm main contrib",
    ]
    text = (out / "machine.sources").read_text()
    assert "Suites: bookworm-updates\n" in text
    assert "node.invalid" not in text


def test_a_list_that_is_not_utf_8_is_read(tmp_path: Path) -> None:
    etc, out = tmp_path / "etc", tmp_path / "out"
    (etc / "sources.list.d").mkdir(parents=True)
    out.mkdir()
    (etc / "sources.list").write_bytes(b"# f\xfcr uns\ndeb http://mirror.invalid/debian bookworm main\n")
    (etc / "sources.list.d/x.sources").write_bytes(
        b"# f\xfcr uns\nTypes: deb\nURIs: http://two.invalid/debian\nSuites: bookworm\nComponents: main\n"
    )
    write_sources(etc, out)
    assert "mirror.invalid" in (out / "machine.list").read_text()
    assert "two.invalid" in (out / "machine.sources").read_text()
