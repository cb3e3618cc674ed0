"""Open vSwitch with DPDK, the switch that this is about: really started, with and without a guest."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconnect.jobs import handover
from reconnect.kit.deadline import Deadline
from reconnect.kit.errors import HostError, SourceError
from reconnect.lab.backends import Endpoint
from reconnect.lab.backends.known import BackendSpec
from reconnect.lab.backends.ovs import Ovs
from reconnect.lab.binaries import Binaries, OpenVswitch
from reconnect.lab.cell import Cell
from reconnect.lab.faults import FAULTS
from reconnect.lab.guest.image import Guest
from reconnect.lab.options import Options
from reconnect.lab.process import procunix
from reconnect.lab.process.failure import CellError
from reconnect.lab.process.rundir import runtime_dir
from reconnect.lab.process.waiter import Waiter
from reconnect.lab.scenario import run_cell
from reconnect.project.config import Config
from reconnect.project.workspace import ROOT, Workspace
from reconnect.toolchain import switchpackages


@pytest.fixture(scope="module")
def ovs_binaries(binaries: Binaries, workspace: Workspace, configuration: Config) -> Binaries:
    """QEMU's builds of the stack debian-12, and Open vSwitch."""
    return replace(binaries, ovs=handover.open_vswitch(workspace, [configuration.switch("ovs")]))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Endpoint]:
    """A listening switch's."""
    with runtime_dir() as runtime:
        yield Endpoint(runtime / "vhost.sock", True, runtime, tmp_path)


def made(binaries: Binaries, place: Endpoint, waiter: Waiter, words: str = "ovs") -> Ovs:
    """The backend, not started."""
    backend = BackendSpec.parse(words).create(binaries, place, waiter, 1)
    assert isinstance(backend, Ovs)
    return backend


@pytest.mark.parametrize("scheme", ["server", "default", "explicit"])
def test_the_network_comes_back(ovs_binaries: Binaries, guest: Guest, tmp_path: Path, scheme: str) -> None:
    """The seed of the project: OVS-DPDK crashes under a guest, and comes back.

    Steps: boot a guest on Open vSwitch; SIGKILL to ovs-vswitchd; start it again.
    Verify: a pass, with figures and one connection; the host has no interface that it had not before.
    """
    interfaces = sorted(Path("/sys/class/net").iterdir())
    cell = Cell(scheme, "ovs:per-port-memory=on", "crash")
    result = run_cell(cell, ovs_binaries, guest, tmp_path / cell.name, Options())
    assert (result.verdict, result.why) == ("pass", "")
    assert result.recovery_ms is not None
    assert result.connections == 1
    assert {Path(log).name for log in result.logs} >= {"ovs-vswitchd-1.log", "ovs-vswitchd-2.log", "ovsdb-server.log"}
    assert sorted(Path("/sys/class/net").iterdir()) == interfaces


def test_without_the_feature_the_network_stays_dead(ovs_binaries: Binaries, guest: Guest, tmp_path: Path) -> None:
    """Steps: the same with a QEMU that lacks the feature. Verify: dead, and QEMU has not connected again."""
    cell = Cell("baseline", "ovs", "crash")
    result = run_cell(cell, ovs_binaries, guest, tmp_path / cell.name, Options())
    assert (result.verdict, result.why, result.connections) == ("pass", "", 0)


def test_it_comes_back_after_a_crash_and_ends_whole(ovs_binaries: Binaries, place: Endpoint) -> None:
    """Steps: start it; SIGKILL; start it again; leave.

    Verify: it listens both times and takes its flows; nothing of it runs or listens afterwards.
    """
    with made(ovs_binaries, place, Waiter()) as backend:
        backend.start(Deadline(60))
        assert procunix.listens(place.socket)
        backend.inject(FAULTS["crash"], Deadline(15))
        assert not procunix.listens(place.socket)
        assert procunix.listens(place.scratch / "db.sock")
        backend.start(Deadline(60))
        assert procunix.listens(place.socket)
    assert not procunix.listens(place.socket)
    assert not procunix.listens(place.scratch / "db.sock")


def test_one_that_does_not_come_up_says_why(ovs_binaries: Binaries, place: Endpoint) -> None:
    """Steps: something else listens where the port's socket is to be. Verify: an error that names the socket."""
    with socket.socket(socket.AF_UNIX) as other, made(ovs_binaries, place, Waiter()) as backend:
        other.bind(str(place.socket))
        other.listen()
        with pytest.raises(CellError, match="something else listens at"):
            backend.start(Deadline(30))


def test_one_that_ends_by_itself_is_noticed(ovs_binaries: Binaries, place: Endpoint) -> None:
    """Steps: end it, and then its database, behind its back. Verify: a wait for something else ends at once."""
    waiter = Waiter()
    with made(ovs_binaries, place, waiter) as backend:
        backend.start(Deadline(60))
        backend.now.child.send(signal.SIGKILL)
        with waiter.guard(backend.check), pytest.raises(CellError, match="ovs ended by itself with signal SIGKILL"):
            waiter.wait(lambda: None, Deadline(30), "something else")
        backend.start(Deadline(60))
        assert backend.database is not None
        backend.database.child.send(signal.SIGKILL)
        with waiter.guard(backend.check), pytest.raises(CellError, match="ovsdb-server ended by itself"):
            waiter.wait(lambda: None, Deadline(30), "something else")


def test_flows_that_are_not_taken_end_the_cell(
    ovs_binaries: Binaries, place: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps: a file of flows that is none. Verify: an error with what ovs-ofctl said."""
    (tmp_path / "flows").write_text("table=0,actions=sideways\n")
    monkeypatch.setattr("reconnect.lab.backends.ovsdb.FLOWS", tmp_path / "flows")
    with made(ovs_binaries, place, Waiter()) as backend, pytest.raises(CellError, match="its flows") as caught:
        backend.start(Deadline(30))
    assert "sideways" in caught.value.details[0]


def test_a_tool_that_fails_ends_the_cell(ovs_binaries: Binaries, place: Endpoint, tmp_path: Path) -> None:
    """Steps: a database schema that is none. Verify: an error that names the tool, with its words."""
    assert ovs_binaries.ovs is not None
    shutil.copytree(ovs_binaries.ovs.root, tmp_path / "root", symlinks=True)
    broken = OpenVswitch("0", tmp_path / "root")
    broken.schema.write_text("{}")
    with (
        made(replace(ovs_binaries, ovs=broken), place, Waiter()) as backend,
        pytest.raises(CellError, match="ovsdb-tool: exit code 1"),
    ):
        backend.start(Deadline(30))


def test_packages_that_can_not_be_had(workspace: Workspace, configuration: Config) -> None:
    """Verify: the mirror's word names the package."""
    switch = replace(configuration.switch("ovs"), packages=("openvswitch-of-another-world",))
    with pytest.raises(SourceError, match="openvswitch-of-another-world"):
        switchpackages.unpack(workspace, switch)


def test_packages_without_the_program(workspace: Workspace, configuration: Config) -> None:
    """Verify: the path of stacks.toml is named."""
    switch = replace(configuration.switch("ovs"), program="usr/bin/ovs-nothing")
    with pytest.raises(SourceError, match="bring no ovs-nothing"):
        switchpackages.unpack(workspace, switch)


@pytest.mark.compiler
def test_a_library_that_the_host_lacks(workspace: Workspace, configuration: Config, tmp_path: Path) -> None:
    """Steps: a program that needs a library which is nowhere. Verify: exit code 6, and what to install."""
    source = tmp_path / "lib.c"
    source.write_text("int answer(void) { return 42; }")
    subprocess.run(["gcc", "-shared", "-o", tmp_path / "libgone.so", source], check=True, timeout=60)
    source.write_text("int answer(void); int main(void) { return answer(); }")
    switch = configuration.switch("ovs")
    unpacked = switchpackages.unpack(workspace, switch)
    program = unpacked.root / "usr/bin/needs-a-library"
    try:
        subprocess.run(["gcc", "-o", program, source, f"-L{tmp_path}", "-lgone"], check=True, timeout=60)
        with pytest.raises(HostError, match=r"ovs lacks libgone\.so") as caught:
            switchpackages.unpack(workspace, replace(switch, program="usr/bin/needs-a-library"))
    finally:
        program.unlink(missing_ok=True)
    assert "libunbound8" in caught.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user runs all of it as an ordinary user")
def test_an_ordinary_user_can_run_it(ovs_binaries: Binaries) -> None:
    """Steps: start it and its bridge as nobody, in a process of its own. Verify: it listens and takes its flows."""
    assert ovs_binaries.ovs is not None
    script = (
        "import sys; from pathlib import Path\n"
        "from dataclasses import replace\n"
        "from reconnect.kit.deadline import Deadline\n"
        "from reconnect.lab.backends import Endpoint\n"
        "from reconnect.lab.backends.known import BackendSpec\n"
        "from reconnect.lab.binaries import Binaries, OpenVswitch\n"
        "from reconnect.lab.process.waiter import Waiter\n"
        "folder = Path(sys.argv[2])\n"
        "binaries = Binaries(None, None, ovs=OpenVswitch('1', Path(sys.argv[1])))\n"
        "place = Endpoint(folder / 'vhost.sock', True, folder, folder)\n"
        "with BackendSpec.parse('ovs').create(binaries, place, Waiter(), 1) as backend:\n"
        "    backend.start(Deadline(60))\n"
        "    print('listens')\n"
    )
    with runtime_dir() as runtime:
        # nobody may not read a checkout of root's: the code and the programs are copied.
        shutil.copytree(ROOT / "reconnect", runtime / "reconnect")
        shutil.copytree(ovs_binaries.ovs.root, runtime / "root", symlinks=True)
        folder = runtime / "run"
        folder.mkdir()
        runtime.chmod(0o755)
        shutil.chown(folder, 65534, 65534)
        site = next(path for path in sys.path if path.endswith("site-packages"))
        done = subprocess.run(
            [
                *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"),
                *("/usr/bin/python3", "-c", script, str(runtime / "root"), str(folder)),
            ],
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{runtime}:{site}", "TMPDIR": str(folder)},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert (done.stdout, done.returncode) == ("listens\n", 0), done.stderr
