"""The runtime directory: gone after a run, swept after a killed one, never anybody else's."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconnect.kit.errors import HostError
from reconnect.kit.sockets import checked
from reconnect.lab.libvirt import shared_memory
from reconnect.lab.process.rundir import MARK, OWNER, PREFIX, runtime_dir, sweep

HOLDER = """
import sys
from reconnect.lab.process.rundir import runtime_dir
with runtime_dir() as folder:
    (folder / "vhost.sock").touch()
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


@pytest.fixture
def holder(base: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a runtime directory."""
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdin=-1, stdout=-1, text=True) as process:
        yield process
        process.kill()


def test_it_is_gone_afterwards_whatever_happens(base: Path) -> None:
    """Verify: after success and after an error nothing is left, sockets in it included."""
    with runtime_dir() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s"))
        assert folder.parent == base
    assert not list(base.iterdir())
    with pytest.raises(KeyboardInterrupt), runtime_dir():
        raise KeyboardInterrupt
    assert not list(base.iterdir())


def test_a_living_owner_keeps_its_directory_and_a_killed_one_loses_it(
    base: Path, holder: subprocess.Popen[str]
) -> None:
    """Steps: another process makes a runtime directory; sweep; kill that process; start a run of our own.

    Verify: the first sweep leaves it alone; our own start removes it, with the socket in it.
    """
    assert holder.stdout
    left = Path(holder.stdout.readline().strip())
    assert left.is_dir()
    assert sweep(base) == []
    assert left.is_dir()

    holder.send_signal(signal.SIGKILL)
    holder.wait(10)
    assert (left / "vhost.sock").exists()
    with runtime_dir() as ours:
        assert not left.exists()
        assert ours.is_dir()


def test_what_is_not_ours_stays(base: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Steps: a folder without a mark, one whose mark is another program's, a link to a marked one elsewhere.

    Verify: a sweep removes none of them.
    """
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / OWNER).write_text(f"{MARK}1\n", encoding="utf-8")
    (base / f"{PREFIX}bare").mkdir()
    (base / f"{PREFIX}other").mkdir()
    (base / f"{PREFIX}other" / OWNER).write_text("somebody\n", encoding="utf-8")
    (base / f"{PREFIX}link").symlink_to(elsewhere)
    (base / f"{PREFIX}file").write_text("x", encoding="utf-8")
    before = sorted(base.iterdir())
    assert sweep(base) == []
    assert sorted(base.iterdir()) == before
    assert (elsewhere / OWNER).exists()


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    """Verify: the error names the length, the limit and the way out; a path at the limit can be bound."""
    limit = tmp_path / ("x" * (107 - len(os.fsencode(tmp_path)) - 1))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(checked(limit)))
    with pytest.raises(HostError, match="too long") as caught:
        checked(limit.with_name(limit.name + "x"))
    assert "108" in caught.value.why
    assert "TMPDIR" in caught.value.hint


HUGEPAGES = """
import sys
from pathlib import Path
from reconnect.lab.libvirt import shared_memory as module
module.hugepages_lack, module._mount = lambda mib: "", lambda: Path(sys.argv[1])
with module.shared_memory(16, "9.0.0") as memory:
    print(memory.settings["hugetlbfs_mount"], flush=True)
    sys.stdin.read()
"""


def test_hugepages_of_a_killed_run_are_swept(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps: another run has a folder for hugepages; start one of our own, before and after the other is killed.

    Verify: while it lives its folder stays; then it is gone, with what libvirt made in it; others' folders stay.
    """
    monkeypatch.setattr(shared_memory, "hugepages_lack", lambda mib: "")
    monkeypatch.setattr(shared_memory, "_mount", lambda: base)
    (base / "others").mkdir()
    (base / f"{PREFIX}link").symlink_to(base / "others")
    argv = [sys.executable, "-c", HUGEPAGES, str(base)]
    with subprocess.Popen(argv, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout is not None
        theirs = Path(process.stdout.readline().strip())
        (theirs / "libvirt/qemu").mkdir(parents=True)
        with shared_memory.shared_memory(16, "9.0.0"):
            assert theirs.is_dir()
        process.kill()
    assert theirs.is_dir()
    with shared_memory.shared_memory(16, "9.0.0"):
        assert not theirs.exists()
    assert sorted(path.name for path in base.iterdir()) == ["others", f"{PREFIX}link"]
