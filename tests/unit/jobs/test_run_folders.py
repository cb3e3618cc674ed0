"""The folders of runs: their ids, and ``latest``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconnect.jobs import handover
from reconnect.lab.run import new_run_id
from reconnect.project import settings
from reconnect.project.workspace import Workspace


def test_a_run_s_id_is_the_time_of_its_begin_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    before = datetime.now(UTC) - timedelta(seconds=1)
    made = datetime.strptime(new_run_id(), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert before <= made <= datetime.now(UTC)


def test_runs_that_begin_in_one_second_have_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verify: another folder each time; ``latest`` is the newest; nothing else is left."""
    monkeypatch.setattr(handover, "new_run_id", lambda: "20261122T120000Z")
    workspace = Workspace(tmp_path, settings.load({"RECONNECT_CACHE": str(tmp_path / "cache")}))
    for name in ("20261122T120000Z", "20261122T120000Z-2", "20261122T120000Z-3"):
        assert handover.results_folder(workspace).name == name
        assert (workspace.results / "latest").resolve() == workspace.results / name
    names = [path.name for path in workspace.results.iterdir() if path.name != "latest"]
    assert len(names) == 3
    assert all(re.fullmatch(r"\d{8}T\d{6}Z(-\d)?", name) for name in names)
