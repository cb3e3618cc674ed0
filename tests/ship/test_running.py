"""Containers and their names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reconnect.ship import running
from reconnect.ship.engines import ENGINES, LABEL, Container, Docker, Engine, ImageBuild
from tests.ship.conftest import Host


def test_two_runs_of_one_process_id_do_not_remove_each_other_s_container(host: Host, tmp_path: Path) -> None:
    """Steps: run two containers from the same process. Verify: each has a name of its own and removes just that."""
    host.engine("docker", "")
    for _ in range(2):
        running.run(Docker(), Container("image", ["true"]), log=tmp_path / "log", timeout=60)
    words = [call.split() for call in host.calls]
    started = [call[call.index("--name") + 1] for call in words if call[1] == "run"]
    removed = [call[-1] for call in words if call[1] == "rm"]
    assert started == removed
    assert len(set(started)) == 2


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_containers_and_images_are_labelled(
    host: Host, buildah: Callable[[str], None], tmp_path: Path, engine: Engine
) -> None:
    """By each engine's own words: ``buildah from`` takes no label."""
    host.engine(engine.name, "")
    buildah("")
    running.run(engine, Container("image", ["true"]), log=tmp_path / "log", timeout=60)
    labelled = [call.split() for call in host.calls if f"--label {LABEL}" in call]
    ((program, verb, *_),) = labelled
    assert (program, verb) == (engine.name, "config" if engine.name == "buildah" else "run")
    assert LABEL in ImageBuild(tmp_path, tmp_path / "Dockerfile").words(tmp_path / "id")
