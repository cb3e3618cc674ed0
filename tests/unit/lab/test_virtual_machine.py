"""QEMU's life, with a program of our own in its place."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconnect.kit.deadline import Deadline
from reconnect.lab.binaries import Qemu
from reconnect.lab.guest.image import Guest
from reconnect.lab.process.failure import CellError, CellFailed
from reconnect.lab.process.waiter import Waiter
from reconnect.lab.qemu import virtual_machine
from reconnect.lab.qemu.arguments import QemuArguments
from reconnect.lab.qemu.vm import Vm

PROGRAM = r"""
import json, os, re, socket, sys, time
words = " ".join(sys.argv)
def connect(name):
    end = socket.socket(socket.AF_UNIX)
    end.connect(re.search("id=" + name + r",path=(\S+)", words)[1])
    return end
def say(text):
    print(text, flush=True)
def run(monitor):
    version = {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": ""}
    monitor.sendall(json.dumps({"QMP": {"version": version, "capabilities": []}}).encode() + b"\r\n")
    while said := monitor.recv(65536):
        command = json.loads(said)
        answer = {"return": {}}
        if "id" in command:
            answer["id"] = command["id"]
        monitor.sendall(json.dumps(answer).encode() + b"\r\n")
        if command["execute"] == "quit":
            return
"""
CONNECTS = 'monitor, probe = connect("qmp"), connect("probe")\nrun(monitor)\n'
CRASHES = "os.kill(os.getpid(), 11)"


@pytest.fixture
def folder() -> Iterator[Path]:
    """With room for sockets' names."""
    with tempfile.TemporaryDirectory(prefix="t-") as name:
        yield Path(name)


def _vm(folder: Path, body: str, start: float = 20) -> Vm:
    program = folder / "qemu"
    program.write_text(f"#!{sys.executable} -S\n{PROGRAM}{body}\n", encoding="utf-8")
    program.chmod(0o755)
    qemu, guest = Qemu("qemu", "1", program, (), "c", (), "t"), Guest(folder, folder, "6")
    vhost, qmp, probe = (folder / f"{name}.sock" for name in ("vhost", "qmp", "probe"))
    arguments = QemuArguments(qemu, guest, vhost, qmp, probe, folder / "console.log")
    return Vm(arguments, folder, Waiter(), Deadline(start))


def test_a_good_one_quits(folder: Path) -> None:
    """Verify: no objection; without it the other tests here would show nothing."""
    with _vm(folder, CONNECTS) as vm:
        vm.connect_monitor()
        vm.execute("query-status", Deadline(10))
        vm.check()
        vm.quit()


@pytest.mark.guards("qemu/virtual_machine.py VirtualMachine.check: QEMU ended by itself with")
@pytest.mark.parametrize("ending", ["sys.exit(3)", CRASHES])
def test_one_that_ends_by_itself_is_an_error(folder: Path, ending: str) -> None:
    """Verify: at once, with how it ended and its last words."""
    with pytest.raises(CellError, match=r"QEMU ended by itself with .*(code 3|SIGSEGV), having said: no such device"):
        _vm(folder, f"say('no such device')\n{ending}").__enter__()


@pytest.mark.guards("qemu/virtual_machine.py VirtualMachine.check: the guest panicked:")
def test_a_guest_that_panics_is_an_error(folder: Path) -> None:
    """Verify: QEMU has ended well, and the console says why."""
    (folder / "console.log").write_text("[ 1.0] Kernel panic - not syncing: no init found\n", encoding="utf-8")
    with pytest.raises(CellError, match="the guest panicked: no init found"):
        _vm(folder, "sys.exit(0)").__enter__()


@pytest.mark.guards(
    "qemu/virtual_machine.py VirtualMachine._accept: QEMU did not start within",
    "qemu/virtual_machine.py VirtualMachine.check_soon waits for QEMU's end",
)
def test_one_that_never_connects_is_an_error(folder: Path) -> None:
    """Verify: at its deadline, after a look whether it has ended."""
    with pytest.raises(CellError, match="QEMU did not start within 0 s"):
        _vm(folder, "time.sleep(600)", start=0.3).__enter__()


@pytest.mark.guards("qemu/virtual_machine.py VirtualMachine.quit: QEMU ended with")
def test_one_that_crashes_at_its_end_has_failed(folder: Path) -> None:
    """Verify: wrong, not just broken."""
    with _vm(folder, f"{CONNECTS}{CRASHES}") as vm:
        vm.connect_monitor()
        with pytest.raises(CellFailed, match="QEMU ended with signal SIGSEGV when it was told to quit"):
            vm.quit()


@pytest.mark.guards("qemu/virtual_machine.py VirtualMachine.quit waits for QEMU's end after it was told to quit")
def test_one_that_does_not_end_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify: its deadline; and leaving ends it all the same."""
    monkeypatch.setattr(virtual_machine, "QUIT_SECONDS", 0.5)
    with _vm(folder, f"{CONNECTS}time.sleep(600)") as vm:
        vm.connect_monitor()
        with pytest.raises(CellError, match="for QEMU's end after it was told to quit"):
            vm.quit()
    assert vm.ending
