"""What QEMU's command line and its monitor promise for a vhost-user chardev and a netdev, and what stays as it was for
all others. On both QEMUs.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from reconnect.kit.deadline import Deadline
from reconnect.lab.binaries import Binaries, Qemu
from reconnect.lab.matrix.testbed import Shape
from reconnect.lab.qemu.qmp import CommandRefused
from reconnect.lab.stub.protocol import ANSWERED, Request, name_of
from reconnect.lab.stub.script import Script
from tests.reconnect.testbed import SECONDS, ScriptedTestbed

ATTEMPTS_SECONDS = 3.5
"""QEMU tries to connect each second: time for three attempts after the first."""

RANGE = "'reconnect' must be between 0 and 2147483 seconds"
REFUSED = {
    "qemu-2.7": {
        "server=on,reconnect=5": "'reconnect' is for a socket that connects; it cannot be combined with 'server'",
        "reconnect=-1": RANGE,
        "reconnect=2147484": RANGE,
        f"reconnect={2**32 + 1}": RANGE,
    },
    "qemu-7.2": {
        "server=on,reconnect=5": "'reconnect' option is incompatible with socket in server listen mode",
        "reconnect=-1": "No such file or directory",
    },
}
"""What each says to options of a chardev whose peer is absent."""

HINT = "With reconnect=1 a character device whose peer is absent connects to it later."
UNABLE = "Unable to connect character device vhost"
WRONG = [
    ("file", "Socket operation on non-socket"),
    ("below a file", "Not a directory"),
    ("loop", "Too many levels of symbolic links"),
    ("long", "File name too long"),
    ("datagram", "Protocol wrong type for socket"),
]
PAUSED = Shape(paused=True)
PLUGGED = Shape(card=False)
GUEST_SECONDS = 60.0
WARM_UP, HANDSHAKES = 200, 500
DRIPPING = Script.parse(*(f"{name_of(request)}#any:drip@any" for request in [*ANSWERED, Request.SET_MEM_TABLE]))


@contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    """A peer of an ordinary chardev."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(8)
        listener.settimeout(SECONDS)
        yield listener


def _serial(name: str, path: Path, *options: str) -> list[str]:
    """A serial port whose chardev is the client of a unix socket."""
    return ["-chardev", ",".join(["socket", f"id={name}", f"path={path}", *options]), "-serial", f"chardev:{name}"]


def _refusal(qemu: Qemu, *words: str) -> str:
    """The reason of a QEMU that ends at once with exit code 1, without the program's name and without a hint."""
    command = [str(qemu.binary), "-machine", "none", "-nodefaults", "-display", "none", *words]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS)
    line, *hints = ended.stderr.splitlines()
    assert (ended.returncode, ended.stdout) == (1, "")
    assert hints in ([], [HINT])
    return line.partition(": ")[2]


def _two_attempts(control: socket.socket, connection: socket.socket) -> None:
    """Let time pass in which QEMU connects an ordinary chardev with reconnect=1 again, and once more."""
    for _ in range(2):
        connection.close()
        connection = control.accept()[0]
    connection.close()


def _vhost_user_clients(testbed: ScriptedTestbed) -> list[str]:
    """The net clients of vhost-user netdevs: one a queue pair."""
    text = str(testbed.ask("human-monitor-command", command_line="info network"))
    return [line.strip() for line in text.splitlines() if "type=vhost-user" in line]


def _need_chardev(testbed: ScriptedTestbed, **options: object) -> None:
    """Add the vhost-user chardev unless it is there: QEMU 7.2 deletes it with the netdev that could not be made."""
    if "vhost" not in [chardev["label"] for chardev in testbed.ask("query-chardev")]:
        testbed.add_chardev(**options)


def test_a_reconnect_time_of_zero_is_none(testbeds: Callable[..., ScriptedTestbed]) -> None:
    """Steps: reconnect=0 for the vhost-user chardev; its backend hangs up; another chardev connects twice meanwhile.

    Verify: no connection after the first, the guest's link is down, QEMU lives.
    """
    testbed = testbeds()
    testbed.chardev = ("reconnect=0",)
    path = testbed.runtime / "control.sock"
    testbed.more = tuple(_serial("control", path, "reconnect=1"))
    with _listening(path) as control:
        testbed.boot()
        connection = control.accept()[0]
        mark = testbed.load(Script(hang_up=True))
        testbed.until(lambda: testbed.vm.record.link_up is False, "the guest's link to be down")
        _two_attempts(control, connection)
    assert testbed.ask("query-status")["status"] == "running"
    assert not testbed.backend.events.of("connected", mark)
    assert testbed.vm.record.link_up is False


def test_a_reconnect_time_that_would_not_be_kept(reference: Binaries, short_tmp: Path) -> None:
    """Verify: QEMU says what is wrong and ends with 1.

    A stock QEMU 7.2 refuses a server's, takes a negative one for none, and has no limit: the series leaves that alone.
    """
    for options, why in REFUSED[reference.patched.name].items():
        chardev = f"socket,id=vhost,path={short_tmp}/none,{options}"
        refusal = _refusal(reference.patched, "-chardev", chardev, "-netdev", "vhost-user,id=n,chardev=vhost")
        assert refusal.endswith(why), options


def test_qemu_starts_before_its_backend(testbeds: Callable[..., ScriptedTestbed]) -> None:
    """Steps: start QEMU with reconnect=1 and without a backend; start that when the guest is up; then take it away once
    more.

    Verify: the monitor is served, the guest boots with its link down, QEMU says so in a line an outage and one for the
    start; each time the guest has its network afterwards.
    """
    testbed = testbeds(scheme="explicit")
    testbed.kill_backend()
    deadline = Deadline(testbed.options.boot)
    testbed.power_on(deadline)
    assert testbed.ask("query-status")["status"] == "running"
    testbed.waiter.wait(lambda: testbed.vm.agent.ready, deadline, "the guest to boot")
    testbed.until(lambda: testbed.vm.record.link_up is False, "the guest's link to be down")
    unable, start = testbed.said()
    assert UNABLE in unable
    assert "trying again every 1 s" in unable
    assert "netdev net starts without its backend" in start
    testbed.revive_backend()
    testbed.steady(deadline)
    assert len(testbed.said()) == 2
    testbed.kill_backend()
    testbed.until(lambda: testbed.vm.record.link_up is False, "the guest's link to be down")
    testbed.waiter.sleep(Deadline(ATTEMPTS_SECONDS))
    testbed.revive_backend()
    testbed.steady()
    assert len([line for line in testbed.said() if UNABLE in line]) == 2


def test_a_backend_that_is_not_there_at_start(reference: Binaries, short_tmp: Path) -> None:
    """Verify: without reconnect, or with none, QEMU ends at once and says why: it waits for nobody unasked."""
    for options in ([], ["reconnect=0"]):
        chardev = ",".join([f"socket,id=vhost,path={short_tmp}/none", *options])
        refusal = _refusal(reference.patched, "-chardev", chardev, "-netdev", "vhost-user,id=n,chardev=vhost")
        assert refusal.endswith("No such file or directory"), options


@pytest.mark.parametrize(("kind", "why"), WRONG)
def test_what_no_waiting_mends_ends_the_start(reference: Binaries, short_tmp: Path, kind: str, why: str) -> None:
    """Steps: reconnect=1, and a path that leads to nobody whatever comes.

    Verify: QEMU ends at once, and names the path and the reason.
    """
    path = short_tmp / "vhost.sock"
    with ExitStack() as stack:
        if kind == "file":
            path.touch()
        elif kind == "below a file":
            path.touch()
            path /= "vhost.sock"
        elif kind == "loop":
            path.symlink_to(path.name)
        elif kind == "long":
            path = short_tmp / ("x" * 120)
        elif kind == "datagram":
            listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            listener.bind(str(path))
        chardev = f"socket,id=vhost,path={path},reconnect=1"
        refusal = _refusal(reference.patched, "-chardev", chardev, "-netdev", "vhost-user,id=n,chardev=vhost")
    assert str(path) in refusal
    assert refusal.endswith(why)


def test_another_chardev_needs_its_peer_at_start(reference: Binaries, short_tmp: Path) -> None:
    """Steps: a serial port's peer is absent, beside a vhost-user netdev.

    Verify: QEMU ends at once, with the very words of a QEMU without the series.
    """
    words = [
        *_serial("other", short_tmp / "other.sock"),
        *("-chardev", f"socket,id=vhost,path={short_tmp}/vhost.sock", "-netdev", "vhost-user,id=n,chardev=vhost"),
    ]
    refusal = _refusal(reference.patched, *words)
    assert refusal == _refusal(reference.baseline, *words)
    assert refusal.endswith("No such file or directory")


def test_another_chardev_does_not_connect_again(testbeds: Callable[..., ScriptedTestbed]) -> None:
    """Steps: the peer of a serial port hangs up; another chardev, told to reconnect, is connected twice meanwhile.

    Verify: the serial port's chardev stays disconnected.
    """
    testbed = testbeds(shape=PAUSED)
    paths = testbed.runtime / "other.sock", testbed.runtime / "control.sock"
    testbed.more = (*_serial("other", paths[0]), *_serial("control", paths[1], "reconnect=1"))
    with _listening(paths[0]) as other, _listening(paths[1]) as control:
        testbed.power_on(Deadline(testbed.options.boot))
        connection = control.accept()[0]
        other.accept()[0].close()
        _two_attempts(control, connection)
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.accept()
    (name,) = (chardev["filename"] for chardev in testbed.ask("query-chardev") if chardev["label"] == "other")
    assert name.startswith("disconnected:")


def test_a_chardev_that_is_in_use(testbeds: Callable[..., ScriptedTestbed]) -> None:
    """Steps: netdev_add with the chardev of another netdev, and with that of a serial port.

    Verify: an error that says so, and the guest's network goes on.
    """
    testbed = testbeds()
    testbed.boot()
    (client,) = _vhost_user_clients(testbed)
    for chardev in ("vhost", "probe"):
        with pytest.raises(CommandRefused, match="in use"):
            testbed.ask("netdev_add", type="vhost-user", id="second", chardev=chardev)
    testbed.steady()
    assert _vhost_user_clients(testbed) == [client]


@pytest.mark.parametrize(
    ("queues", "why"), [(4, "did not get through the handshake"), (0, "number of queues must be in range")]
)
def test_netdev_add_with_a_wrong_number_of_queues(
    testbeds: Callable[..., ScriptedTestbed], queues: int, why: str
) -> None:
    """Steps: netdev_add with more queues than the backend has, or none; the same with two.

    Verify: an error that says so; then one netdev, and the backend has had its handshake.
    """
    testbed = testbeds(shape=PLUGGED)
    testbed.power_on(Deadline(testbed.options.boot))
    for _ in range(2):
        _need_chardev(testbed)
        with pytest.raises(CommandRefused, match=why):
            testbed.ask("netdev_add", type="vhost-user", id="net", chardev="vhost", queues=queues)
    assert _vhost_user_clients(testbed) == []
    _need_chardev(testbed)
    testbed.ask("netdev_add", type="vhost-user", id="net", chardev="vhost", queues=2)
    assert len(_vhost_user_clients(testbed)) == 2
    assert testbed.backend.events.of("connected")


def test_failed_handshakes_leave_no_memory_behind(testbeds: Callable[..., ScriptedTestbed]) -> None:
    """Steps: many times netdev_add with more queues than the backend has, each of which is a handshake that fails.

    Verify: once its heap has its size, an attempt costs QEMU less than the vhost state of a queue: about 300 bytes.
    """
    testbed = testbeds(shape=Shape(paused=True, card=False))
    testbed.power_on(Deadline(testbed.options.boot))
    held = []
    for attempts in (WARM_UP, HANDSHAKES):
        for _ in range(attempts):
            _need_chardev(testbed)
            with pytest.raises(CommandRefused, match="did not get through the handshake"):
                testbed.ask("netdev_add", type="vhost-user", id="net", chardev="vhost", queues=4)
        held.append(testbed.usage.anonymous_kib)
    testbed.until(
        lambda: len(testbed.backend.events.of("connected")) == WARM_UP + HANDSHAKES,
        "the backend to tell of each attempt",
    )
    assert (held[1] - held[0]) * 1024 / HANDSHAKES < 150


def test_netdev_add_without_a_backend(testbeds: Callable[..., ScriptedTestbed]) -> None:
    """Steps: chardev-add with reconnect, as libvirt does, and netdev_add, while there is no backend; then start it and
    add the netdev again, and a card.

    Verify: the error says why, and at once: the monitor answers; then one netdev, and the guest has its network.
    """
    testbed = testbeds(shape=PLUGGED)
    testbed.power_on(Deadline(testbed.options.boot))
    testbed.waiter.wait(lambda: testbed.vm.agent.ready, Deadline(testbed.options.boot), "the guest to boot")
    testbed.kill_backend()
    for _ in range(2):
        _need_chardev(testbed, reconnect=1)
        with pytest.raises(CommandRefused, match="No such file or directory"):
            testbed.ask("netdev_add", type="vhost-user", id="net", chardev="vhost")
    assert _vhost_user_clients(testbed) == []
    testbed.revive_backend()
    _need_chardev(testbed, reconnect=1)
    testbed.ask("netdev_add", type="vhost-user", id="net", chardev="vhost")
    assert len(_vhost_user_clients(testbed)) == 1
    testbed.ask("device_add", driver="virtio-net-pci", id="card", netdev="net", romfile="")
    testbed.order("network", deadline=Deadline(GUEST_SECONDS))
    testbed.steady()


def test_a_backend_whose_answers_come_byte_by_byte(testbeds: Callable[..., ScriptedTestbed]) -> None:
    """Steps: boot with a backend whose answers come in single bytes; restart it.

    Verify: each time the first handshake is good.
    """
    testbed = testbeds()
    testbed.load(DRIPPING)
    greeted = partial(testbed.backend.events.of, "message", name="SET_OWNER")
    deadline = Deadline(testbed.options.boot)
    testbed.power_on(deadline, lambda: testbed.until(greeted, "the backend to be greeted"))
    testbed.steady(deadline)
    mark = testbed.load(replace(DRIPPING, hang_up=True))
    testbed.steady()
    assert len(testbed.backend.events.of("connected", mark)) == 1
    assert len(testbed.backend.events.of("connected")) == 2
    assert not testbed.backend.broken_rules()
