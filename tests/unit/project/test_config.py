"""stacks.toml: every way in which it can be wrong is refused before any work, with the place and the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconnect.kit.errors import ConfigError
from reconnect.project import config
from reconnect.project.workspace import ROOT

GOOD = """
[stack.small]
title = "a stack"
qemu = "q"
libvirt = "l"

[guest]
kernel = "linux"
busybox = "busybox"

[component.q]
program = "qemu"
version = "1.0"
licence = "GPL-2.0-or-later"
series = "quilt"

[component.q.git]
origins = ["https://example.invalid/q.git"]
commit = "0123456789012345678901234567890123456789"
tag = "v1"
tag_object = "9876543210987654321098765432109876543210"

[component.q.build]
recipe = "autotools"
configure = ["--ninja={ninja}"]
products = ["bin/q"]
disk_mib = 10

[component.q.sanitize]
configure = ["--asan"]
environment = ["ASAN_OPTIONS=a=1"]
slower = 3

[[component.q.upstream.suites]]
name = "unit"
harness = "glib"
lists = ["check-unit-y"]
tests = ["test-*"]
deadline = 10

[component.l]
program = "libvirt"
version = "1.0"
licence = "LGPL-2.1-or-later"
series = "quilt"
debian = { package = "l", upstream = "1.0" }

[component.l.build]
recipe = "meson"
configure = []
products = ["bin/l"]
disk_mib = 10
"""


def load(folder: Path, text: str | bytes) -> config.Config:
    (folder / "patches/quilt").mkdir(parents=True, exist_ok=True)
    (folder / "patches/quilt/series").touch()
    path = folder / "stacks.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return config.load(path, folder / "patches")


def test_a_good_file(tmp_path: Path) -> None:
    found = load(tmp_path, GOOD)
    assert found.component("q").source == found.component("q").git
    assert found.component("l").source == found.component("l").debian
    assert found.stack("small").components == ("q", "l")
    with pytest.raises(TypeError):
        found.components["new"] = found.component("q")  # type: ignore[index]


def test_the_checkouts_own_file() -> None:
    found = config.load(ROOT / "stacks.toml", ROOT / "patches")
    assert set(found.components) >= {"qemu-2.7", "libvirt-3.0", "qemu-7.2", "libvirt-9.0"}
    assert found.stack("qemu-2.7").components == ("qemu-2.7", "libvirt-3.0")
    assert found.stack("debian-12").components == ("qemu-7.2", "libvirt-9.0")


@pytest.mark.parametrize(
    ("old", "new", "what", "hint"),
    [
        ("[guest]", "[guest", "stacks.toml is not valid TOML: ", "mend "),
        ('kernel = "linux"\n', "", "stacks.toml guest has no 'kernel'", "add kernel = ..."),
        ("kernel =", "kernal =", "unknown key 'kernal' in stacks.toml guest", "did you mean 'kernel'?"),
        ("[guest]", "[gest]", "unknown key 'gest' in stacks.toml", "did you mean 'guest'?"),
        ("[stack.small]", "[stacks.small]", "stacks.toml has no [stack.NAME] table", ""),
        ("[stack.small]", "[stack.auto]", "[stack.auto]: a stack can't be called auto", "auto chooses"),
        ('qemu = "q"', 'qemu = "qq"', "unknown component 'qq' in stacks.toml [stack.small] qemu", "did you mean 'q'?"),
        ('qemu = "q"', 'qemu = "l"', "[stack.small]: l is a libvirt, not a qemu", ""),
        ('libvirt = "l"\n', "", "stacks.toml [stack.small] has no 'libvirt'", ""),
        ('libvirt = "l"', "libvirt = 1", "stacks.toml [stack.small] libvirt must be a string, not a whole number", ""),
        ('program = "qemu"', 'program = "quemu"', "unknown program 'quemu' in stacks.toml [component.q]", "'qemu'"),
        ('recipe = "meson"', 'recipe = "mesno"', "unknown recipe 'mesno' in stacks.toml [component.l]", "'meson'"),
        ('series = "quilt"', 'series = "quild"', "unknown series 'quild' in stacks.toml [component.q]", "'quilt'"),
        ('version = "1.0"\n', "", "stacks.toml [component.q] has no 'version'", ""),
        ("disk_mib = 10", 'disk_mib = "10"', "[component.q] build disk_mib must be a whole number, not a string", ""),
        ("disk_mib = 10", "disk_mb = 10", "unknown key 'disk_mb' in stacks.toml [component.q] build", "'disk_mib'"),
        ('products = ["bin/q"]', "products = []", "[component.q]: build.products is empty", "the program"),
        ('products = ["bin/q"]', 'products = "bin/q"', "build products must be an array, not a string", ""),
        ("{ninja}", "{ninjas}", "unknown placeholder 'ninjas' in stacks.toml [component.q] build.configure", "'ninja'"),
        ("{ninja}", "{", "[component.q] build.configure: '--ninja={'", ""),
        ("{ninja}", "{}", "unknown placeholder '' in stacks.toml [component.q] build.configure", ""),
        ("commit = \"0123", 'commit = "x123', "is not a commit id of 40 hexadecimal digits", ""),
        ("commit = \"0123", 'commit = "', "is not a commit id of 40 hexadecimal digits", ""),
        ("tag_object = \"9876", 'tag_object = "987G', "is not the id of a tag object", ""),
        ('tag = "v1"\n', "", "stacks.toml [component.q]: tag_object without tag", ""),
        ('origins = ["https://example.invalid/q.git"]', "origins = []", "[component.q]: origins is empty", "one URL"),
        ('debian = { package = "l", upstream = "1.0" }\n', "", "[component.l] must have exactly one of", ""),
        ("debian = {", 'git = { origins = ["x"], commit = "0" }\ndebian = {', "[component.l] must have exactly", ""),
        ('upstream = "1.0"', 'upsteam = "1.0"', "unknown key 'upsteam' in stacks.toml [component.l]", "'upstream'"),
        ('harness = "glib"', 'harness = "glibc"', "unknown harness 'glibc' in stacks.toml [component.q]", "'glib'"),
        ('harness = "glib"', 'harness = "meson"', "suite 'unit': lists does not fit the harness meson", "variables"),
        ('lists = ["check-unit-y"]\n', "", "suite 'unit': lists does not fit the harness glib", "make variables"),
        ('tests = ["test-*"]', "tests = []", "suite 'unit': tests is empty", "for all"),
        ("deadline = 10", "deadline = 0", "suite 'unit': deadline must be a second at least", ""),
        ("deadline = 10", 'deadline = 10\nenvironment = ["A"]', "suite 'unit': environment has 'A'", "NAME=value"),
        ('name = "unit"', 'name = "a b"', "suite 'a b': that is not a name, or two suites have it", ""),
        ('name = "unit"', 'nme = "unit"', "unknown key 'nme' in stacks.toml [component.q] upstream", "'name'"),
        ('configure = ["--asan"]', "configure = []", "[component.q] sanitize: configure is empty", "the sanitizer"),
        ("slower = 3", "slower = 0", "[component.q] sanitize: slower must be 1 at least", ""),
        ('["ASAN_OPTIONS=a=1"]', '["=1"]', "[component.q] sanitize: environment has '=1'", "NAME=value"),
        ("[component.l]", '[component."l l"]', "'l l' is not a name", "letters"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, what: str, hint: str) -> None:
    text = GOOD.replace(old, new, 1)
    assert text != GOOD
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert what in caught.value.what
    assert hint in caught.value.hint


@pytest.mark.parametrize("text", [b"", b"\xff\xfe", b"component = 3", b"[component]\n[stack]"])
def test_files_that_are_no_stacks_at_all(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(ConfigError, match=r"stacks\.toml"):
        load(tmp_path, text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory"):
        config.load(tmp_path / "stacks.toml", tmp_path)


def test_unknown_names_come_with_the_nearest(tmp_path: Path) -> None:
    found = load(tmp_path, GOOD)
    with pytest.raises(ConfigError, match="unknown component 'qx'") as caught:
        found.component("qx")
    assert "did you mean 'q'?" in caught.value.hint
    with pytest.raises(ConfigError, match="unknown stack 'smal'") as caught:
        found.stack("smal")
    assert caught.value.hint == "did you mean 'small'? known: auto, small"
