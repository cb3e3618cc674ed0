"""Words and files that are wrong: 2, a message that helps, and no work begun."""

from __future__ import annotations

import pytest

from tests.toolchain.world import Checkout


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        ("build --stack debian12", ["unknown stack 'debian12'", "did you mean 'debian-12'? known: auto,"]),
        ("fetch --component qemu-7.3", ["unknown component 'qemu-7.3'", "did you mean 'qemu-7.2'?"]),
        ("patch --component qemu-7.2,qemu27", ["unknown component 'qemu27'", "did you mean 'qemu-2.7'?"]),
        ("build --component qemu-7.2 --stack debian-12", ["--component and --stack exclude each other"]),
        ("patch --check --component qemu-7.2 --stack all", ["--component and --stack exclude each other"]),
        ("biuld", ["No idea what 'biuld' is!", "./inv --list"]),
        ("build --no-such-flag", ["No idea what '--no-such-flag' is!", "./inv --help TASK"]),
        ("--no-such-flag", ["No idea what '--no-such-flag' is!"]),
        ("build --stack", ["needed value and was not given one"]),
        ("--help biuld", ["No idea what 'biuld' is!"]),
        ("build --component libvirt-9.0 --sanitize", ["does not say how libvirt-9.0 is built with a sanitizer"]),
        ("test-reconnect --sanitize --launcher libvirt", ["--sanitize works without libvirt only"]),
        ("test-upstream --component qemu-7.2 --stack all", ["--component and --stack exclude each other"]),
        ("test-reconnect --repeat many", ["'many'", "./inv --help TASK"]),
    ],
)  # fmt: skip
def test_unknown_words(checkout: Checkout, words: str, texts: list[str]) -> None:
    done = checkout.run(*words.split()).expect(2, *texts)
    assert "==>" not in done.output
    assert not checkout.cache.exists()


@pytest.mark.parametrize(
    ("old", "new", "texts"),
    [
        ("[guest]", "[guest", ["stacks.toml is not valid TOML: ", "mend "]),
        ("disk_mib", "disk_mb", ["unknown key 'disk_mb' in stacks.toml [component.qemu-2.7] build", "'disk_mib'?"]),
        ('series = "qemu-7.2"', 'series = "qemu-7.1"', ["unknown series 'qemu-7.1'", "did you mean 'qemu-7.2'?"]),
    ],
)
def test_a_malformed_stacks_file(checkout: Checkout, old: str, new: str, texts: list[str]) -> None:
    path = checkout.root / "stacks.toml"
    path.write_text(path.read_text().replace(old, new, 1))
    checkout.run("build", "--stack", "debian-12").expect(2, *texts)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("RECONNECT_OFFLINE", "maybe", "RECONNECT_OFFLINE=maybe is neither 1 nor 0"),
        ("RECONNECT_CACHE", "here", "RECONNECT_CACHE=here is not an absolute path"),
        ("RECONNECT_PREMIRRORS", "one", "RECONNECT_PREMIRRORS has a line that is not two words"),
    ],
)
def test_bad_variables(checkout: Checkout, name: str, value: str, text: str) -> None:
    checkout.run("status", **{name: value}).expect(2, text)


def test_help_and_list_of_tasks(checkout: Checkout) -> None:
    done = checkout.run("--list").expect(0)
    for task in ("doctor", "status", "fetch", "patch", "build", "test-reconnect", "test-upstream", "test", "clean"):
        assert f"  {task} " in done.output
    checkout.run("--help", "build").expect(0, "--stack", "--component")


def test_the_lint_of_our_own_series(checkout: Checkout) -> None:
    """Steps: lint; spoil two series; lint. Verify: clean; then 4 and all that is wrong, without any source."""
    checkout.run("patch", "--check").expect(0, "qemu-7.2: ", "patches, clean")
    (checkout.patches / "qemu-7.2/0000-unlisted.patch").touch()
    with (checkout.patches / "libvirt-9.0/series").open("a") as series:
        series.write("gone.patch\n")
    checkout.run("patch", "--check").expect(
        4,
        "2 problems in the series",
        "qemu-7.2/0000-unlisted.patch is not listed in series",
        "libvirt-9.0/series lists gone.patch, which does not exist",
    )
    checkout.run("patch", "--check", "--component", "qemu-2.7").expect(0)
