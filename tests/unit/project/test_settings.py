from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconnect.kit.errors import ConfigError
from reconnect.project import settings
from reconnect.toolchain.origins.git import candidates


def test_defaults() -> None:
    found = settings.load({"HOME": "/home/x"})
    assert found == settings.Settings(Path("/home/x/.cache/reconnect"), False, os.cpu_count() or 1, ())


@pytest.mark.parametrize(
    ("environ", "cache"),
    [
        ({"HOME": "/h", "XDG_CACHE_HOME": "/xdg"}, "/xdg/reconnect"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "relative"}, "/h/.cache/reconnect"),  # as its specification demands
        ({"HOME": "/h", "XDG_CACHE_HOME": "/xdg", "RECONNECT_CACHE": "/mine"}, "/mine"),
    ],
)
def test_the_caches_folder(environ: dict[str, str], cache: str) -> None:
    assert settings.load(environ).cache == Path(cache)


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": "relative"}, {"XDG_CACHE_HOME": "relative"}])
def test_without_a_home_no_folder_is_taken_that_anybody_may_have_made(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="HOME is not set") as caught:
        settings.load(environ)
    assert "RECONNECT_CACHE=DIR" in caught.value.hint
    assert settings.load({**environ, "RECONNECT_CACHE": "/mine"}).cache == Path("/mine")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("RECONNECT_CACHE", "relative/x", "RECONNECT_CACHE=relative/x is not an absolute path"),
        ("RECONNECT_OFFLINE", "maybe", "RECONNECT_OFFLINE=maybe is neither 1 nor 0"),
        ("RECONNECT_JOBS", "0", "RECONNECT_JOBS=0 is not a whole number above 0"),
        ("RECONNECT_JOBS", "-1", "RECONNECT_JOBS=-1 is not"),
        ("RECONNECT_JOBS", "two", "RECONNECT_JOBS=two is not"),
        ("RECONNECT_JOBS", "1.5", "RECONNECT_JOBS=1.5 is not"),
        ("RECONNECT_JOBS", "²", "RECONNECT_JOBS=² is not"),
        ("RECONNECT_PREMIRRORS", "just-one-word", "has a line that is not two words: 'just-one-word'"),
        ("RECONNECT_PREMIRRORS", "a b\none two three", "has a line that is not two words: 'one two three'"),
        ("RECONNECT_PREMIRRORS", "https://( file:///x", "'https://( file:///x': missing )"),
        ("RECONNECT_PREMIRRORS", r"https://(.*) file:///\2", "invalid group reference 2"),
        ("RECONNECT_PREMIRRORS", r"https://(.*) file:///\g<name>", "name"),
        ("RECONNECT_PREMIRRORS", r"https://(.*) file:///\q", "bad escape"),
    ],
)
def test_bad_values_are_refused(name: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings.load({"HOME": "/home/x", name: value})
    assert name in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("value", "offline"), [("1", True), ("yes", True), ("TRUE", True), ("0", False), ("No", False)]
)
def test_offline(value: str, offline: bool) -> None:
    assert settings.load({"HOME": "/home/x", "RECONNECT_OFFLINE": value}).offline is offline


def test_all_mirrors_come_before_all_origins() -> None:
    mirrors = settings.load(
        {
            "HOME": "/home/x",
            "RECONNECT_PREMIRRORS": "\n"
            r"https://(?:gitlab|github)\.com/(.*) file:///srv/\1"
            "\n  https://git.* http://mirror/all.git  \n"
            r"hub file:///never"
            "\n\n",
        }
    ).premirrors
    urls = ["https://gitlab.com/q/qemu.git", "https://github.com/q/qemu.git", "https://other.org/qemu.git"]
    assert candidates(urls, mirrors) == ["file:///srv/q/qemu.git", "http://mirror/all.git", *urls]


@pytest.mark.filterwarnings("ignore:Possible nested set:FutureWarning")
@given(st.text(), st.text(alphabet="\\gq<>(1)[ax"))
def test_a_premirror_that_was_taken_never_fails_later(pattern: str, replacement: str) -> None:
    try:
        mirrors = settings.load({"HOME": "/home/x", "RECONNECT_PREMIRRORS": f"{pattern} {replacement}"}).premirrors
    except ConfigError:
        return
    candidates(["https://gitlab.com/qemu-project/qemu.git", "a1ax"], mirrors)
