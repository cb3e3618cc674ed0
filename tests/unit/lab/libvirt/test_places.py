"""Where root's libvirtd keeps its state: a link, whatever lies in its place."""

from __future__ import annotations

import pytest

from reconnect.kit.deadline import Deadline
from reconnect.lab.libvirt import places as room
from reconnect.lab.libvirt.places import SYSTEM, places


@pytest.mark.parametrize("left", ["nothing", "link", "folder"])
def test_what_others_left_gives_way(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    """A killed run leaves its link behind, and libvirt's own tests (virhostdevtest) make the folder."""
    monkeypatch.setattr(room, "driver", lambda: SYSTEM)
    monkeypatch.setattr(room, "require_short", lambda *_: None)
    folder = tmp_path_factory.mktemp("p")
    state, runtime = folder / "run", folder / "r"
    if left == "link":
        state.symlink_to(folder / "gone")
    elif left == "folder":
        (state / "run/libvirt/hostdevmgr").mkdir(parents=True)
    with places(runtime, state, Deadline(5)):
        assert state.readlink() == runtime / room.HOME
    assert not state.is_symlink()
    assert not state.exists()
