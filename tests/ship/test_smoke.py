"""``--smoke`` from end to end, with an engine of our own making: what is run inside, and how each end is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reconnect.kit.errors import BuildError, HostError, ReconnectError, VerdictError
from reconnect.project.workspace import Workspace
from reconnect.ship import smoke
from reconnect.ship.engines import Docker
from reconnect.ship.image import Image
from tests.ship.conftest import Host

IMAGE = Image(Docker(), "reconnect:1", ())


def engine(host: Host, tmp_path: Path, *, doctor: str = "", run: str = "", writes: bool = True) -> None:
    """Install a docker whose run leaves results with a cell of each scheme, unless it is told otherwise."""
    cells = [{"scheme": scheme, "verdict": "pass"} for scheme in smoke.SCHEMES]
    (tmp_path / "cells").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    results = f'mkdir -p "$results/latest"; cp {tmp_path}/cells "$results/latest/results.json"' if writes else ":"
    host.engine(
        "docker",
        f"""
for word in "$@"; do case "$word" in *:/results) results=${{word%:/results}} ;; esac; done
case "$*" in
run*doctor) {doctor or ":"} ;;
run*testpmd) {results}; {run or ":"} ;;
esac""",
    )


def inside(host: Host) -> list[str]:
    """The words after the image's name, of each container."""
    return [call.partition(f" {IMAGE.name} ")[2] for call in host.calls if call.startswith("docker run")]


def test_doctor_and_a_cell_of_each_scheme_are_run(host: Host, workspace: Workspace, tmp_path: Path) -> None:
    """Verify: both containers, with the volumes; they are removed, and so is what the machine's apt lent them."""
    engine(host, tmp_path)
    volume = tmp_path / "volume"
    volume.mkdir()
    results = smoke.run(workspace, IMAGE, str(volume))
    assert len(json.loads(results.read_text())["cells"]) == len(smoke.SCHEMES)
    assert inside(host) == ["doctor", "test-reconnect --stack debian-12 --backend testpmd"]
    for call in (call for call in host.calls if call.startswith("docker run")):
        assert f"--volume {volume}:/cache" in call
        assert f":/results --volume {workspace.build}" in call
    assert sum(call.startswith("docker rm") for call in host.calls) == 2
    assert not (workspace.build / "image/smoke/machine").exists()


def test_where_doctor_finds_something_missing_nothing_else_is_run(
    host: Host, workspace: Workspace, tmp_path: Path
) -> None:
    engine(host, tmp_path, doctor="echo 'missing: memory'; exit 6")
    with pytest.raises(HostError, match="'doctor' in the image ended with") as caught:
        smoke.run(workspace, IMAGE)
    assert "missing: memory" in caught.value.why
    assert inside(host) == ["doctor"]
    assert not (workspace.build / "image/smoke/machine").exists()


@pytest.mark.parametrize(("code", "kind"), [(5, BuildError), (6, HostError), (7, VerdictError), (99, ReconnectError)])
def test_a_run_that_fails_inside_fails_alike_outside(
    host: Host, workspace: Workspace, tmp_path: Path, code: int, kind: type[ReconnectError]
) -> None:
    """Though it has left results that are all well."""
    engine(host, tmp_path, run=f"exit {code}")
    with pytest.raises(ReconnectError, match=r"test-reconnect .* in the image ended with") as caught:
        smoke.run(workspace, IMAGE)
    assert type(caught.value) is kind
    assert "smoke.log" in caught.value.hint


def test_results_of_an_earlier_run_are_not_taken_for_this_one_s(
    host: Host, workspace: Workspace, tmp_path: Path
) -> None:
    """Steps: a good run, then one that ends with 0 and leaves nothing."""
    engine(host, tmp_path)
    smoke.run(workspace, IMAGE)
    engine(host, tmp_path, writes=False)
    with pytest.raises(VerdictError, match="left no results"):
        smoke.run(workspace, IMAGE)
