"""The build from end to end, with an engine of our own making: what is tagged when, and what is said."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from reconnect.kit.errors import BuildError, HostError, SourceError, VerdictError
from reconnect.project import config
from reconnect.project.config import Config
from reconnect.project.workspace import ROOT, Workspace
from reconnect.ship import context, image, smoke
from reconnect.ship.engines import Layer
from reconnect.ship.image import Request
from tests.ship.conftest import Host

Install = Callable[[str], None]


@pytest.fixture
def facts(monkeypatch: pytest.MonkeyPatch) -> Config:
    """The project's own configuration; what a build fetches on the host is taken as fetched."""
    monkeypatch.setattr(context, "prepare", lambda *_: None)
    return config.load(ROOT / "stacks.toml", ROOT / "patches")


def tags(host: Host) -> list[str]:
    return [call for call in host.calls if call.startswith("buildah tag")]


def building(script: str) -> str:
    return f'if [ "$1" = build ]; then {script}; fi'


def test_the_tag_comes_last_and_nothing_is_done_twice(
    host: Host, buildah: Install, workspace: Workspace, facts: Config
) -> None:
    buildah("")
    made = image.build(workspace, facts, Request())
    assert made.name == f"localhost/{image.NAME}"
    assert [layer.size for layer in made.layers] == [1000000, 2000000]
    assert tags(host) == [f"buildah tag sha256:0123456789abcdef {made.name}"]
    assert not (workspace.build / "image/machine").exists()

    image.build(workspace, facts, Request())
    assert len(tags(host)) == 1
    image.build(workspace, facts, Request(no_cache=True))
    assert len(tags(host)) == 2


def test_no_cache_reaches_a_base_by_mmdebstrap(
    host: Host, buildah: Install, workspace: Workspace, facts: Config
) -> None:
    buildah("")
    host.engine("mmdebstrap", 'for word in "$@"; do archive=$before before=$word; done; echo archive >"$archive"')
    for no_cache in (False, False, True):
        image.build(workspace, facts, Request(base="mmdebstrap", no_cache=no_cache))
    assert sum(call.startswith("mmdebstrap") for call in host.calls) == 2


def test_an_input_that_changed_is_built_anew(
    host: Host, buildah: Install, workspace: Workspace, facts: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    buildah("")
    image.build(workspace, facts, Request())
    (workspace.root / "requirements.txt").write_text("invoke==3.0.3\n")
    image.build(workspace, facts, Request())
    assert "changed: requirements.txt" in capsys.readouterr().out
    assert len(tags(host)) == 2


def test_a_failed_step_is_named_and_nothing_is_tagged(
    host: Host, buildah: Install, workspace: Workspace, facts: Config
) -> None:
    buildah(building("echo '[4/4] STEP 2/9: RUN install lab'; echo 'E: Unable to locate package x'; exit 100"))
    with pytest.raises(BuildError, match="at: RUN install lab") as caught:
        image.build(workspace, facts, Request())
    assert "Unable to locate package x" in caught.value.why
    assert not tags(host)
    assert not (workspace.build / "image/machine").exists()


def test_a_full_disk_is_said_to_be_one(host: Host, buildah: Install, workspace: Workspace, facts: Config) -> None:
    buildah(building("echo 'Error: writing blob: write /x: no space left on device'; exit 125"))
    with pytest.raises(HostError, match="no disk is left"):
        image.build(workspace, facts, Request())
    assert not tags(host)


def test_too_little_disk_is_said_before_the_build(
    host: Host, buildah: Install, workspace: Workspace, facts: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    buildah("")
    monkeypatch.setattr(image, "DISK_MIB", {"": 10**9})
    with pytest.raises(HostError, match=r"needs 1000000000 MiB of disk in .*store"):
        image.build(workspace, facts, Request())
    assert not [call for call in host.calls if call.startswith("buildah build")]


def test_an_interrupted_build_tags_nothing_and_removes_its_containers(
    host: Host, buildah: Install, workspace: Workspace, facts: Config, tmp_path: Path
) -> None:
    """Steps: build until the engine has a working container, interrupt. Verify: it is gone, the older one is not."""
    begun = tmp_path / "begun"
    os.mkfifo(begun)
    buildah(
        f'if [ "$1" = containers ]; then echo older; [ ! -e {tmp_path}/made ] || echo newer; fi\n'
        + building(f"touch {tmp_path}/made; echo >{begun}; sleep 60")
    )

    def interrupt() -> None:
        begun.read_text()
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        image.build(workspace, facts, Request())
    assert not tags(host)
    assert [call for call in host.calls if call == "buildah rm newer"]
    assert not [call for call in host.calls if call == "buildah rm older"]
    assert not (workspace.build / "image/image.json").exists()


def test_an_engine_that_runs_nothing_leaves_its_place_to_the_next(
    host: Host, buildah: Install, workspace: Workspace, facts: Config, tmp_path: Path
) -> None:
    info = f'[ "$1" != info ] || echo {tmp_path}'
    host.engine("podman", f"""{info}; if [ "$1" = run ]; then echo 'Error: crun: setrlimit: denied'; exit 126; fi""")
    buildah("")
    assert image.build(workspace, facts, Request()).engine.name == "buildah"
    with pytest.raises(HostError, match="podman can't work here: it gets no namespace"):
        image.build(workspace, facts, Request(engine="podman"))


def test_a_base_that_does_not_match_ends_the_build(
    host: Host, buildah: Install, workspace: Workspace, facts: Config
) -> None:
    buildah('if [ "$1" = pull ]; then echo "Error: manifest digest sha256:9 does not match sha256:8"; exit 125; fi')
    with pytest.raises(SourceError, match="not with the base image"):
        image.build(workspace, facts, Request())
    assert not tags(host)


@pytest.mark.parametrize(
    ("made_by", "shown"),
    [
        ("/bin/sh -c #(nop) COPY dir:12 in /opt", "COPY dir:12 in /opt"),
        ("/bin/sh -c --mount=type=secret,id=a,target=/b   install tools", "install tools"),
        ("RUN /bin/sh -c install lab # buildkit", "install lab"),
        ("|2 A=b C=d /bin/sh -c install", "/bin/sh -c install"),
    ],
)
def test_a_layer_s_maker_is_one_short_line(made_by: str, shown: str) -> None:
    assert image.summary(made_by) == shown


def test_sizes_are_shown_by_layer(capsys: pytest.CaptureFixture[str]) -> None:
    image.show("x", [Layer(1_500_000, "ADD base"), Layer(2_000_000, "RUN apt")])
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["x:", "4", "MB", "in", "2", "layers"],
        ["1.5", "MB", "ADD", "base"],
        ["2.0", "MB", "RUN", "apt"],
    ]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://me:secret@git.invalid/reconnect.git", "https://git.invalid/reconnect.git"),
        ("https://git.invalid/reconnect.git", "https://git.invalid/reconnect.git"),
        ("/srv/git/reconnect", "unknown"),
        ("git@git.invalid:reconnect", "unknown"),
    ],
)
def test_the_source_label_holds_no_credentials_and_no_path(
    tmp_path: Path, host: Host, address: str, shown: str
) -> None:
    host.engine("git", f'case "$1" in rev-parse) echo 123abc ;; config) echo {address} ;; esac')
    assert image.origin(tmp_path) == ("123abc", shown)


@pytest.mark.parametrize(
    ("verdicts", "why"),
    [
        ({"baseline": "pass", "server": "pass", "default": "fail", "explicit": "pass"}, "default: fail"),
        ({"baseline": "pass", "server": "pass", "default": "pass"}, "explicit: no cell"),
        ({}, "baseline: no cell"),
    ],
)
def test_a_smoke_test_needs_a_pass_of_each_scheme(tmp_path: Path, verdicts: dict[str, str], why: str) -> None:
    results = tmp_path / "results.json"
    cells = [{"scheme": scheme, "verdict": verdict} for scheme, verdict in verdicts.items()]
    results.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    with pytest.raises(VerdictError) as caught:
        smoke.check(results)
    assert why in caught.value.why


def test_a_smoke_test_without_results_fails(tmp_path: Path) -> None:
    with pytest.raises(VerdictError, match="left no results"):
        smoke.check(tmp_path / "results.json")
