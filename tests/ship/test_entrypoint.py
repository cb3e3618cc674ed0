"""The image's entry point: volumes, the guest's packages, words and exit codes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconnect.project.workspace import ROOT

SETPRIV = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]


@dataclass
class Image:
    """A folder laid out as /opt/reconnect in the image, and volumes beside it."""

    root: Path

    @property
    def home(self) -> Path:
        return self.root / "opt"

    def volume(self, name: str) -> Path:
        return self.root / name

    def start(self, *words: str, prefix: tuple[str, ...] = (), cwd: Path | None = None) -> subprocess.Popen[str]:
        env = {**os.environ, "RECONNECT_CACHE": str(self.volume("cache"))}
        return subprocess.Popen(
            [*prefix, str(self.home / "docker/entrypoint"), *words],
            cwd=cwd or self.home,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self, *words: str, prefix: tuple[str, ...] = (), cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        process = self.start(*words, prefix=prefix, cwd=cwd)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(words, process.returncode, out, err)


@pytest.fixture
def image() -> Iterator[Image]:
    """The program inside is a shell: ``-m reconnect.program sh 'exit 7'`` ends with 7."""
    # Not pytest's folder: another user must get in.
    with tempfile.TemporaryDirectory(prefix="image-") as folder:
        Path(folder).chmod(0o755)
        yield laid_out(Path(folder))


def laid_out(root: Path) -> Image:
    """The folders of an image and its volumes, with the real entry point."""
    made = Image(root)
    for folder in ("cache", "results", "opt/docker", "opt/.venv/bin", "opt/guest/busybox-static/busybox_1"):
        (root / folder).mkdir(parents=True)
    (root / "opt/guest/busybox-static/busybox_1/busybox.deb").write_text("deb")
    script = (ROOT / "docker/entrypoint").read_text()
    script = re.sub(r"(?<= )/(?=cache|results)", f"{root}/", script)
    (made.home / "docker/entrypoint").write_text(script)
    (made.home / "docker/entrypoint").chmod(0o755)
    program = made.home / ".venv/bin/python"
    program.write_text('#!/bin/sh\nshift 2\necho "in $(pwd): $*"\n[ "$1" != sh ] || { shift; eval "$*"; }\n')
    program.chmod(0o755)
    return made


def test_words_and_exit_codes_pass_through(image: Image) -> None:
    assert image.run("doctor", "--x").stdout == f"in {image.home}: doctor --x\n"
    assert image.run().stdout == f"in {image.home}: --list\n"
    assert image.run("sh", "exit 7").returncode == 7


def test_a_signal_reaches_the_program_itself(image: Image) -> None:
    process = image.start("sh", "trap 'exit 130' TERM; echo ready; while :; do sleep 0.05; done")
    assert process.stdout is not None
    while process.stdout.readline() != "ready\n":
        pass
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 130


def test_the_guest_s_packages_are_linked_and_old_links_dropped(image: Image) -> None:
    guest = image.volume("cache") / "guest/busybox-static"
    guest.mkdir(parents=True)
    (guest / "busybox_0").symlink_to("/nowhere/busybox_0")
    (guest / "busybox_2").mkdir()
    for _ in range(2):
        assert image.run("doctor").returncode == 0
    assert sorted(p.name for p in guest.iterdir()) == ["busybox_1", "busybox_2"]
    assert (guest / "busybox_1/busybox.deb").read_text() == "deb"


def test_what_is_generated_lies_in_the_cache_and_results_in_their_volume(image: Image) -> None:
    image.run("doctor")
    results = image.volume("cache") / "build/results"
    assert results.resolve() == image.volume("results")


@pytest.mark.parametrize("volume", ["cache", "results"])
def test_a_volume_that_the_user_can_not_write_is_named(image: Image, volume: str) -> None:
    for name in ("cache", "results"):
        image.volume(name).chmod(0o555 if name == volume else 0o777)
    prefix = tuple(SETPRIV) if os.geteuid() == 0 else ()
    done = image.run("doctor", prefix=prefix)
    assert done.returncode == 6
    assert f"error: {image.volume(volume)} can't be written" in done.stderr
    assert "give --user" in done.stderr
    assert "doctor" not in done.stdout


def test_in_a_checkout_it_is_the_checkout_that_runs(image: Image, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    (checkout / "reconnect").mkdir(parents=True)
    (checkout / "reconnect/program.py").touch()
    (checkout / "stacks.toml").touch()
    image.volume("results").rmdir()
    assert image.run("doctor", cwd=checkout).stdout == f"in {checkout}: doctor\n"
    assert (image.volume("cache") / "guest/busybox-static/busybox_1").exists()
