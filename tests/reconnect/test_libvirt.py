"""Guests that a real libvirtd starts: what XML and qemu.conf ask for is in force, and nothing is left of any of it."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from reconnect.kit.deadline import Deadline
from reconnect.kit.errors import HostError
from reconnect.lab import schemes
from reconnect.lab.binaries import Binaries, Libvirt, Qemu
from reconnect.lab.cell import Cell
from reconnect.lab.guest.image import Guest
from reconnect.lab.libvirt import places
from reconnect.lab.libvirt.daemon import Libvirtd, LibvirtdSettings, errors_in
from reconnect.lab.options import Options
from reconnect.lab.process.failure import CellError
from reconnect.lab.process.rundir import runtime_dir
from reconnect.lab.process.waiter import Waiter
from reconnect.lab.scenario import run_cell
from reconnect.report.results import CellResult, load
from tests.reconnect.leftovers import processes_of, until

DRIVER = Path(__file__).with_name("driver.py")
SECONDS = 60.0
NOBODY = 65534
POLICY = {"vhostuser_reconnect_timeout": 1}

DOMAIN = """
<domain type='qemu'>
  <name>newer</name>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
    <emulator>{emulator}</emulator>
    <interface type='vhostuser'>
      <source type='unix' path='/tmp/switch.sock' mode='client'><reconnect enabled='yes' timeout='5'/></source>
      <model type='virtio'/>
    </interface>
  </devices>
</domain>
"""

AUTOSTARTED = """
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{name}</name>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
    <emulator>{emulator}</emulator>
    <controller type='usb' model='none'/>
    {interface}
    <memballoon model='none'/>
  </devices>
  <qemu:commandline>{arguments}</qemu:commandline>
</domain>
"""

INTERFACE = """
<interface type='vhostuser'>
  <source type='unix' path='/tmp/switch.sock' mode='client'>{reconnect}</source>
  <model type='virtio'/>
  <rom enabled='no'/>
</interface>
"""


@pytest.fixture(autouse=True)
def _nothing_left(tmp_path: Path, short_tmp: Path, libvirt: Libvirt) -> Iterator[None]:
    """After each test: no process, no file, no link where root's libvirtd keeps its state."""
    # Made first, or it would be one of the files.
    assert tmp_path.is_dir()
    yield
    until(lambda: not processes_of(short_tmp), 10, "all processes to be gone")
    assert not list(short_tmp.iterdir())
    assert not libvirt.state.is_symlink()


@contextmanager
def started(libvirt: Libvirt, folder: Path, **qemu_conf: int | str) -> Iterator[Libvirtd]:
    with (
        runtime_dir() as runtime,
        places.places(runtime, libvirt.state, Deadline(places.LOCK_SECONDS)) as made,
        Libvirtd(
            libvirt, made, runtime, folder, Waiter(), Deadline(SECONDS), settings=LibvirtdSettings(qemu_conf)
        ) as daemon,
    ):
        yield daemon


@contextmanager
def autostarted(libvirt: Libvirt, qemu: Qemu, folder: Path, setting: str) -> Iterator[Libvirtd]:
    """A libvirtd that finds two domains to start: ``waiting``, whose switch does not run, and ``other``, without one.

    :param setting: what tells ``waiting`` to reconnect: its XML (every 5 s), or the policy (every second).
    """
    xml, policy = {"xml": ("<reconnect enabled='yes' timeout='5'/>", {}), "policy": ("", POLICY)}[setting]
    words = [word for data in qemu.data for word in ("-L", str(data))]
    arguments = "".join(f"<qemu:arg value='{word}'/>" for word in words)
    domains = {"waiting": INTERFACE.format(reconnect=xml), "other": ""}
    with (
        runtime_dir() as runtime,
        places.places(runtime, libvirt.state, Deadline(places.LOCK_SECONDS)) as made,
    ):
        autostart = made.config / "qemu/autostart"
        autostart.mkdir(parents=True)
        for name, interface in domains.items():
            file = made.config / f"qemu/{name}.xml"
            values = {"name": name, "emulator": qemu.binary, "interface": interface, "arguments": arguments}
            file.write_text(AUTOSTARTED.format_map(values), encoding="utf-8")
            (autostart / file.name).symlink_to(file)
        settings = LibvirtdSettings(policy, qemu.binary)
        with Libvirtd(libvirt, made, runtime, folder, Waiter(), Deadline(SECONDS), settings=settings) as daemon:
            yield daemon


def run(cell: Cell, binaries: Binaries, guest: Guest, folder: Path, options: Options | None = None) -> CellResult:
    return run_cell(cell, binaries, guest, folder / cell.name, options or Options())


@pytest.mark.parametrize(
    ("scheme", "launcher"),
    [
        ("explicit", "libvirt"),
        ("policy", "libvirt"),
        ("server", "libvirt"),
        ("explicit", "attach"),
        ("policy", "attach"),
    ],
)
def test_the_network_comes_back(
    stack_binaries: Binaries, guest: Guest, tmp_path: Path, scheme: str, launcher: str
) -> None:
    """From XML to a guest that survives.

    Steps: libvirtd of the stack starts a guest (in ``attach``: its interface is attached when it is up); crash the
    switch; start it again.
    Verify: a pass with figures and one connection. The cell itself compares the live XML, the stored XML and what
    QEMU was told with the scheme; the kind of memory is said.
    """
    result = run(Cell(scheme, "testpmd", "crash", launcher=launcher), stack_binaries, guest, tmp_path)
    assert (result.verdict, result.why) == ("pass", "")
    assert result.recovery_ms is not None
    assert 0 < result.recovery_ms < 30_000
    assert result.connections == 1
    assert (result.launcher, result.name) == (launcher, f"{scheme}-{launcher}-testpmd-crash-1")
    assert result.memory.startswith(("memfd: ", "hugepages: "))
    assert {Path(log).name for log in result.logs} >= {
        *("domain.xml", "live.xml", "libvirtd.log", "virsh.log", "qemu.conf", "qemu.cmd", "qemu.log", "probe.log"),
    }


def test_without_the_feature_the_network_stays_dead(stack_binaries: Binaries, guest: Guest, tmp_path: Path) -> None:
    """Steps: as above, with XML that says nothing and a QEMU that lacks the feature. Verify: dead."""
    result = run(Cell("baseline", "testpmd", "crash", launcher="libvirt"), stack_binaries, guest, tmp_path)
    assert (result.verdict, result.why, result.connections) == ("pass", "", 0)


def test_a_policy_that_is_not_in_force_is_a_failure(
    stack_binaries: Binaries, guest: Guest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QEMU's own default would bring the network back all the same.

    Steps: run the cell of the policy with a qemu.conf that lacks it.
    Verify: a failure that says where it is missing.
    """
    monkeypatch.setattr(schemes.Scheme, "qemu_conf", {})
    result = run(Cell("policy", "testpmd", "crash", launcher="libvirt"), stack_binaries, guest, tmp_path)
    assert result.verdict == "fail"
    assert result.why == "the live XML says no reconnect setting, and should say reconnect 1"


@pytest.mark.parametrize("setting", ["policy", "xml"])
def test_libvirtd_answers_though_an_autostarted_domain_has_no_switch(
    libvirt: Libvirt, binaries: Binaries, tmp_path: Path, setting: str
) -> None:
    """With a QEMU that waits for its switch before it serves its monitor: the unpatched one.

    Steps: start libvirtd with two autostarted domains: one is told to reconnect, by qemu.conf or by its XML, and nobody
    listens on its socket; the other has no interface.
    Verify: ``virsh list`` answers within 20 s with the other domain alone; the log names the socket of the first.
    """
    with autostarted(libvirt, binaries.baseline, tmp_path, setting) as daemon:
        assert daemon.ask("list", "--name", deadline=Deadline(20)).split() == ["other"]
        log = daemon.log.read_text(encoding="utf-8").splitlines()
        (error,) = [text for text in errors_in(log) if "Failed to autostart VM 'waiting'" in text]
        assert "nobody listens on the socket '/tmp/switch.sock'" in error


@pytest.mark.parametrize(("setting", "seconds"), [("policy", 1), ("xml", 5)])
def test_an_autostarted_domain_runs_before_its_switch(
    libvirt: Libvirt, binaries: Binaries, tmp_path: Path, setting: str, seconds: int
) -> None:
    """With a QEMU that starts without its backend, and says so in its schema: the patched one.

    Steps: as above.
    Verify: ``virsh list`` answers within 20 s with both domains; the first one is told to reconnect.
    """
    with autostarted(libvirt, binaries.patched, tmp_path, setting) as daemon:
        assert sorted(daemon.ask("list", "--name", deadline=Deadline(20)).split()) == ["other", "waiting"]
        assert f"<reconnect enabled='yes' timeout='{seconds}'/>" in daemon.ask("dumpxml", "waiting")


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("vhostuser_reconnect_timeout", "soon", "vhostuser_reconnect_timeout"),
        ("vhostuser_reconnect_timeout", -2, "vhostuser_reconnect_timeout"),
        ("vhostuser_reconnect_timeout", 2**32, "vhostuser_reconnect_timeout"),
        ("keepalive_interval", "abc", "expected a signed integer for 'keepalive_interval'"),
        ("no quotes", 1, "qemu.conf:1: expecting"),
    ],
)
def test_a_wrong_qemu_conf_is_refused_with_its_line(
    libvirt: Libvirt, tmp_path: Path, setting: str, value: int | str, said: str
) -> None:
    """Steps: start libvirtd with a value that its setting can't have.

    Verify: it does not start; the error names the setting, and the line where it stands.
    """
    with (
        pytest.raises(CellError, match="libvirtd ended by itself") as caught,
        started(libvirt, tmp_path, **{setting: value}),
    ):
        pass
    assert said in caught.value.what
    line = (tmp_path / "qemu.conf").read_text(encoding="utf-8").splitlines()[0]
    assert "qemu.conf:1: " in "\n".join(caught.value.details)
    assert line.startswith(setting)


@pytest.mark.parametrize(
    ("old", "new", "options", "said"),
    [
        ("machine='pc'", "machine='pc-i440fx-99.1'", (), "pc-i440fx-99.1"),
        ("<model type='virtio'/>", "<model type='virtio'/><teaming type='later'/>", (), "later"),
        ("timeout='5'", "timeout='5' delay='100'", ("--validate",), "failed to validate"),
        ("type='vhostuser'", "type='vhostuser2'", (), "vhostuser2"),
    ],
    ids=["machine", "value", "attribute", "type"],
)
def test_a_domain_of_a_newer_libvirt_keeps_the_old_definition(
    libvirt: Libvirt, binaries: Binaries, tmp_path: Path, old: str, new: str, options: tuple[str, ...], said: str
) -> None:
    """Steps: define a domain, then define it again with what no libvirt of this version knows.

    Verify: refused, by what it doesn't know where the parser finds it; the definition is the old one to the letter.
    """
    xml = DOMAIN.format(emulator=binaries.patched.binary)
    assert old in xml
    first, second = tmp_path / "first.xml", tmp_path / "second.xml"
    with started(libvirt, tmp_path) as daemon:
        first.write_text(xml, encoding="utf-8")
        daemon.ask("define", first)
        before = daemon.ask("dumpxml", "newer", "--inactive")
        assert "<reconnect enabled='yes' timeout='5'/>" in before
        uuid = next(line for line in before.splitlines() if "<uuid>" in line)
        second.write_text(xml.replace("<name>newer</name>", f"<name>newer</name>{uuid}").replace(old, new), "utf-8")
        with pytest.raises(CellError, match="virsh define: ") as caught:
            daemon.ask("define", second, *options)
        assert said in caught.value.what
        assert daemon.ask("dumpxml", "newer", "--inactive") == before


def test_a_guest_that_panics_ends_the_cell_at_once(stack_binaries: Binaries, guest: Guest, tmp_path: Path) -> None:
    """Steps: boot a guest whose init does not exist. Verify: an error that quotes the panic, whoever started QEMU."""
    cell = Cell("explicit", "testpmd", "crash", launcher="libvirt")
    result = run(cell, stack_binaries, guest, tmp_path, Options(append="rdinit=/nonexistent"))
    assert result.verdict == "error"
    assert result.why.startswith("the guest panicked: VFS")


@pytest.mark.parametrize(
    ("victim", "why"),
    [
        ("virtio-net-pci", "QEMU ended by itself with signal SIGSEGV"),
        ("sbin/libvirtd", "libvirtd ended by itself with signal SIGSEGV"),
    ],
)
def test_a_dead_qemu_or_libvirtd_is_not_a_dead_network(
    stack_binaries: Binaries, guest: Guest, tmp_path: Path, short_tmp: Path, victim: str, why: str
) -> None:
    """Steps: crash QEMU, or libvirtd, while a network is watched to be dead.

    Verify: an error with its signal, though neither is a child of the lab's.
    """
    cell = Cell("baseline", "testpmd", "crash", launcher="libvirt")

    def strike() -> None:
        until((tmp_path / cell.name / "testpmd-2.log").exists, 120, "the backend's second start")
        for process in processes_of(short_tmp):
            try:
                words = process.cmdline()
            except psutil.Error:  # it has ended since it was listed
                continue
            if any(victim in word for word in words) and not any("subreaper" in word for word in words):
                process.send_signal(signal.SIGSEGV)

    thread = threading.Thread(target=strike, daemon=True)
    thread.start()
    result = run(cell, stack_binaries, guest, tmp_path, Options(dead=5))
    thread.join(10)
    assert (result.verdict, why in result.why) == ("error", True), result.why


@contextmanager
def driver(
    python: list[str], binaries: Binaries, guest: Guest, folder: Path, env: dict[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Another process that runs the explicit scheme's cell through libvirt."""
    given = folder / "given"
    given.write_bytes(pickle.dumps((binaries, guest)))
    out = folder / "run"
    words = json.dumps({"schemes": "explicit", "launcher": "libvirt"})
    argv = [*python, str(DRIVER), str(given), str(out), words]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=env) as process:
        try:
            yield process, out / "explicit-libvirt-testpmd-crash-1"
        finally:
            process.kill()


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_leaves_no_process(
    stack_binaries: Binaries, guest: Guest, tmp_path: Path, short_tmp: Path, libvirt: Libvirt, sig: signal.Signals
) -> None:
    """Steps: end a process that runs a cell through libvirt, when its guest's probes are answered.

    Verify: libvirtd, QEMU and the switch are gone, though nobody could be told with SIGKILL; the next run sweeps what
    a killed one could not remove.
    """
    with driver([sys.executable], stack_binaries, guest, tmp_path, dict(os.environ)) as (process, cell):
        log = cell / "probe.log"
        until(lambda: log.exists() and " a " in log.read_text(encoding="utf-8"), 120, "an answered probe")
        # The subreaper, libvirtd, QEMU, testpmd.
        assert len(processes_of(short_tmp)) == 4
        process.send_signal(sig)
        process.wait(30)
    until(lambda: not processes_of(short_tmp), 10, "all processes to die")
    if sig is not signal.SIGKILL:
        assert process.returncode == 130
        assert [(c.verdict, c.why) for c in load(tmp_path / "run").cells] == [("error", "interrupted")]
        return
    with started(libvirt, tmp_path):
        assert len(list(short_tmp.iterdir())) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="all of these tests run as an ordinary user already")
def test_an_ordinary_user_needs_no_right(stack_binaries: Binaries, guest: Guest, short_tmp: Path) -> None:
    """Steps: run the cell as nobody, whose libvirtd is a session's.

    Verify: a pass.
    """
    drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"]
    path = os.pathsep.join(filter(None, sys.path))
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    pythons = [p for p in (sys.executable, shutil.which("python3", path="/usr/bin")) if p]
    # In a child of its own: what setpriv starts may still have read with root's rights.
    needs = f"import subprocess, sys, reconnect.lab.run; open({str(guest.kernel)!r}); "
    needs += "sys.exit(subprocess.call([sys.executable, '-c', '']))"
    able = [p for p in pythons if subprocess.run([*drop, p, "-c", needs], env=env, check=False).returncode == 0]
    if not able:
        pytest.skip("the checkout, or the Python of its .venv, lies where nobody else may read")
    folder = short_tmp / "nobody"
    folder.mkdir()
    for path_ in (short_tmp, folder):
        os.chown(path_, NOBODY, NOBODY)
    try:
        with driver([*drop, able[0]], stack_binaries, guest, folder, {**env, "TMPDIR": str(folder)}) as (process, _):
            assert process.wait(120) == 0
        (cell,) = load(folder / "run").cells
        assert (cell.verdict, cell.why) == ("pass", "")
        assert "session?socket=" in (folder / "run" / cell.name / "virsh.log").read_text(encoding="utf-8")
    finally:
        shutil.rmtree(folder)


def test_two_runs_of_roots_take_turns(libvirt: Libvirt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps: start a second libvirtd of root's in the same checkout.

    Verify: it waits for the first one, and is refused when that takes too long; then it starts.
    """
    if os.geteuid() != 0:
        pytest.skip("an ordinary user's libvirtds don't meet")
    monkeypatch.setattr("reconnect.lab.libvirt.places.LOCK_SECONDS", 0.2)
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()
    refused = pytest.raises(HostError, match="another run of this checkout")
    with started(libvirt, first), refused, started(libvirt, second):
        pass
    with started(libvirt, second) as daemon:
        assert daemon.ask("list", "--all").strip() == ""


def test_a_setting_that_libvirt_is_to_have_is_the_first_of_its_name(libvirt: Libvirt, tmp_path: Path) -> None:
    """Steps: start libvirtd with a setting that the lab's own qemu.conf has too. Verify: it starts; ours is first."""
    with started(libvirt, tmp_path, stdio_handler="file"):
        lines = (tmp_path / "qemu.conf").read_text(encoding="utf-8").splitlines()
    assert lines[0] == 'stdio_handler = "file"'
