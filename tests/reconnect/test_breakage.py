"""Cells that break: each is told apart from a verdict, says why, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconnect.lab.binaries import Binaries
from reconnect.lab.cell import Cell
from reconnect.lab.guest.image import Guest
from reconnect.lab.options import Options
from reconnect.lab.process.rundir import PREFIX, runtime_dir
from reconnect.lab.scenario import run_cell
from reconnect.report.results import CellResult, load
from tests.reconnect.leftovers import processes_of, until

DRIVER = Path(__file__).with_name("driver.py")


def _run(scheme: str, binaries: Binaries, guest: Guest, folder: Path, options: Options) -> CellResult:
    cell = Cell(scheme, "testpmd", "crash")
    return run_cell(cell, binaries, guest, folder / cell.name, options)


@pytest.mark.parametrize(
    ("append", "panic"),
    [("rdinit=/nonexistent", "VFS"), ("reconnect.interval=5", "Attempted to kill init")],
    ids=["no init", "init fails"],
)
def test_a_guest_that_panics_ends_the_cell_at_once(
    binaries: Binaries, guest: Guest, tmp_path: Path, short_tmp: Path, append: str, panic: str
) -> None:
    """Steps: boot a guest whose init does not exist, or ends.

    Verify: an error, not a timeout; it quotes the panic, and the console's last lines are kept.
    """
    result = _run("default", binaries, guest, tmp_path, Options(append=append))
    assert result.verdict == "error"
    assert result.why.startswith("the guest panicked: ")
    assert panic in result.why
    assert "Kernel panic" in (tmp_path / "default-testpmd-crash-1/failure.txt").read_text(encoding="utf-8")
    assert not list(short_tmp.iterdir())
    assert not processes_of(short_tmp)


@pytest.mark.parametrize(
    ("sig", "why"),
    [(signal.SIGSEGV, "QEMU ended by itself with signal SIGSEGV"), (signal.SIGSTOP, "it hangs")],
    ids=["crash", "hang"],
)
def test_a_dead_qemu_is_not_a_dead_network(
    binaries: Binaries, guest: Guest, tmp_path: Path, short_tmp: Path, sig: signal.Signals, why: str
) -> None:
    """Steps: in a baseline's cell, crash or stop QEMU by a signal while its network is watched to be dead.

    Verify: an error that says what happened: nothing answered, and yet it is no pass. Nothing is left.
    """
    folder = tmp_path / "baseline-testpmd-crash-1"

    def strike() -> None:
        until((folder / "testpmd-2.log").exists, 120, "the backend's second start")
        for process in processes_of(short_tmp):
            if any("virtio-net-pci" in word for word in process.cmdline()):
                process.send_signal(sig)

    thread = threading.Thread(target=strike, daemon=True)
    thread.start()
    result = _run("baseline", binaries, guest, tmp_path, Options(dead=4))
    thread.join(10)
    assert result.verdict == "error"
    assert why in result.why
    assert not list(short_tmp.iterdir())
    assert not processes_of(short_tmp)


def test_a_qemu_that_does_not_start_is_quoted(
    binaries: Binaries, guest: Guest, tmp_path: Path, short_tmp: Path
) -> None:
    """Steps: ask QEMU for a machine that it doesn't know.

    Verify: an error at once, with what QEMU said.
    """
    started = time.monotonic()
    result = _run("default", binaries, guest, tmp_path, Options(machine_type="abacus"))
    assert result.verdict == "error"
    assert "exit code 1" in result.why
    assert "nsupported machine type" in (tmp_path / "default-testpmd-crash-1/failure.txt").read_text(encoding="utf-8")
    assert time.monotonic() - started < 60


@pytest.fixture
def driver(binaries: Binaries, guest: Guest, tmp_path: Path, short_tmp: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that runs a cell, at the moment when its guest's probes are answered."""
    (tmp_path / "given").write_bytes(pickle.dumps((binaries, guest)))
    out = tmp_path / "run"
    argv = [sys.executable, str(DRIVER), str(tmp_path / "given"), str(out), '{"schemes": "default"}']
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        try:
            log = out / "default-testpmd-crash-1" / "probe.log"
            until(lambda: log.exists() and " a " in log.read_text(encoding="utf-8"), 120, "an answered probe")
            assert len(processes_of(short_tmp)) == 2
            yield process
        finally:
            process.kill()


def test_ctrl_c_leaves_nothing(driver: subprocess.Popen[bytes], tmp_path: Path, short_tmp: Path) -> None:
    """Steps: SIGINT to a process that runs a cell.

    Verify: it ends with 130; no process, socket, temporary folder or memory file is left; the results are written.
    """
    driver.send_signal(signal.SIGINT)
    assert driver.wait(30) == 130
    assert not processes_of(short_tmp)
    assert not list(short_tmp.iterdir())
    assert not [name for name in os.listdir("/dev/shm") if name.startswith("qemu_back")]  # noqa: PTH208  # names, not paths
    (cell,) = load(tmp_path / "run").cells
    assert (cell.verdict, cell.why) == ("error", "interrupted")
    assert (tmp_path / "run" / "junit.xml").is_file()


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_matrix_tells_of_the_entry_under_way(
    binaries: Binaries, guest: Guest, tmp_path: Path, short_tmp: Path, sig: signal.Signals
) -> None:
    """Steps: Ctrl-C, and a service manager's SIGTERM, to a process in the middle of an entry of the matrix.

    Verify: it ends with 130; the entry is in results.json as an error with its reason; nothing is left.
    """
    (tmp_path / "given").write_bytes(pickle.dumps((binaries, guest)))
    out = tmp_path / "run"
    words = {"schemes": "default", "backends": "stub", "faults": "many:1000@reconnect"}
    argv = [sys.executable, str(DRIVER), str(tmp_path / "given"), str(out), json.dumps(words)]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        try:
            log = out / "matrix-01-default-reconnect" / "stub-1.log"
            until(lambda: log.exists() and '"connection":3' in log.read_text(encoding="utf-8"), 120, "restarts")
            process.send_signal(sig)
            assert process.wait(30) == 130
        finally:
            process.kill()
    assert not processes_of(short_tmp)
    (cell,) = load(out).cells
    assert (cell.fault, cell.verdict, cell.why) == ("many:1000@reconnect", "error", "interrupted")


def test_a_killed_run_is_swept_by_the_next(driver: subprocess.Popen[bytes], short_tmp: Path) -> None:
    """Steps: SIGKILL to a process that runs a cell; start another run.

    Verify: its QEMU and its backend die with it; the folder that it could not remove is gone with the next start.
    """
    driver.kill()
    driver.wait(10)
    until(lambda: not processes_of(short_tmp), 10, "QEMU and testpmd to die")
    (left,) = short_tmp.glob(f"{PREFIX}*")
    assert any(path.is_socket() for path in left.iterdir())
    with runtime_dir():
        assert not left.exists()
    assert not list(short_tmp.iterdir())
