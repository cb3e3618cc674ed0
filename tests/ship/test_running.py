"""Containers and their names."""

from __future__ import annotations

from pathlib import Path

from reconnect.ship import running
from reconnect.ship.engines import Container, Docker
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
