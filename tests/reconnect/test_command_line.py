"""What QEMU makes of its options and of its monitor's commands for a vhost-user netdev, and of other chardevs. On both
QEMUs.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial

import pytest

from reconnect.deadline import Deadline
from reconnect.lab.failure import Broken
from reconnect.lab.faults import FAULTS
from reconnect.lab.matrix.lane import Shape
from reconnect.lab.qmp import Refused
from reconnect.lab.stub.script import Script
from tests.reconnect.bench import SECONDS, Bench

GUEST_SECONDS = 60.0
THREE_ATTEMPTS = 3.5
"""Seconds in which QEMU tries three times to connect: what must not happen can't be awaited."""

UNABLE = "Unable to connect character device vhost"


def test_reconnect_zero_is_the_users_wish(benches: Callable[..., Bench]) -> None:
    """Steps: a guest whose chardev has reconnect=0; its backend hangs up, and listens on.

    Verify: QEMU lives, and leaves the backend alone.
    """
    bench = benches()
    bench.options_of_chardev = ("reconnect=0",)
    bench.boot()
    mark = bench.load(Script(hang_up=True))
    bench.until(lambda: bench.backend.events.of("closed", mark), "the connection to end")
    bench.bell.pause(Deadline(THREE_ATTEMPTS))
    assert not bench.backend.events.of("connected", mark)
    assert bench.ask("query-status")["status"] == "running"


def test_reconnect_with_server_is_an_error(benches: Callable[..., Bench]) -> None:
    """Verify: QEMU ends at once, and says what does not go together."""
    bench = benches(scheme="server")
    bench.options_of_chardev = ("reconnect=5",)
    with pytest.raises(Broken, match="exit code 1"):
        bench.power_on(Deadline(SECONDS))
    assert any("reconnect" in line and "server" in line for line in bench.said())


@pytest.mark.parametrize("value", ["-1", "4294967297"])
def test_a_time_that_is_not_kept_is_an_error(benches: Callable[..., Bench], value: str) -> None:
    """Verify: QEMU ends at once. 7.2 is as its authors left it: it takes both for something else."""
    bench = benches()
    if bench.component != "qemu-2.7":
        pytest.skip("QEMU's own choice: not changed by this series")
    bench.options_of_chardev = (f"reconnect={value}",)
    with pytest.raises(Broken, match="exit code 1"):
        bench.power_on(Deadline(SECONDS))
    assert any("reconnect" in line for line in bench.said())


def test_a_backend_that_is_absent_at_start_is_waited_for(benches: Callable[..., Bench]) -> None:
    """Steps: QEMU starts without its backend; the backend comes; it goes once more.

    Verify: QEMU lives, tells of each outage in one line, and the guest boots and has its network.
    """
    bench = benches()

    def late() -> None:
        bench.until_said(UNABLE, 1)
        bench.bell.pause(Deadline(THREE_ATTEMPTS))
        assert len(bench.said()) == 1
        assert "again" in bench.said()[0]
        bench.backend.start(Deadline(SECONDS))

    _remove(bench)
    bench.power_on(Deadline(bench.options.boot), late)
    bench.steady(Deadline(bench.options.boot))
    _remove(bench)
    bench.until_said(UNABLE, 2)


def _remove(bench: Bench) -> None:
    bench.backend.inflict(FAULTS["crash"], Deadline(SECONDS))
    bench.socket.unlink()


def test_another_chardev_without_its_peer_is_an_error(benches: Callable[..., Bench]) -> None:
    """Steps: a serial port's socket that nobody listens to.

    Verify: QEMU ends at once, as ever: the default is vhost-user's alone.
    """
    bench = benches()
    bench.more = ("-chardev", f"socket,id=other,path={bench.runtime / 'absent.sock'}", "-serial", "chardev:other")
    with pytest.raises(Broken, match="exit code 1"):
        bench.power_on(Deadline(SECONDS))
    assert any("Failed to connect" in line and "absent.sock" in line for line in bench.said())


def test_another_chardev_that_loses_its_peer_is_left_alone(benches: Callable[..., Bench]) -> None:
    """Verify: a serial port does not connect again, beside a netdev that does."""
    bench = benches()
    path = bench.runtime / "other.sock"
    bench.more = ("-chardev", f"socket,id=other,path={path}", "-serial", "chardev:other")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(SECONDS)
        bench.boot()
        listener.accept()[0].close()
        mark = bench.load(Script(hang_up=True))
        bench.until(lambda: bench.backend.events.of("connected", mark), "the netdev to connect again")
        listener.settimeout(THREE_ATTEMPTS)
        with pytest.raises(TimeoutError):
            listener.accept()
    bench.steady()


def test_a_chardev_in_use_is_an_error(benches: Callable[..., Bench]) -> None:
    """Verify: netdev_add of a second netdev is refused, and neither QEMU nor the first one minds."""
    bench = benches()
    bench.boot()
    with pytest.raises(Refused):
        bench.ask("netdev_add", type="vhost-user", id="second", chardev="vhost")
    assert bench.ask("query-status")["status"] == "running"
    bench.steady()


@pytest.mark.parametrize(
    ("queues", "why"), [(3, "did not get through the handshake"), (0, r"must be in range \[1, 1024\]")]
)
def test_netdev_add_can_be_repeated(benches: Callable[..., Bench], queues: int, why: str) -> None:
    """Steps: netdev_add with more queues than the backend has, or none; once more as it should be; plug the card.

    Verify: an error that says why; then a network.
    """
    bench = benches(shape=Shape(card=False))
    bench.power_on(Deadline(bench.options.boot))
    bench.bell.wait(lambda: bench.vm.agent.ready, Deadline(bench.options.boot), "the guest to boot")
    _add_chardev(bench)
    with pytest.raises(Refused, match=why):
        bench.ask("netdev_add", type="vhost-user", id="net", chardev="vhost", queues=queues)
    # Since QEMU 2.9 a netdev takes its chardev with it.
    if all(chardev["label"] != "vhost" for chardev in bench.ask("query-chardev")):
        _add_chardev(bench)
    bench.ask("netdev_add", type="vhost-user", id="net", chardev="vhost")
    bench.ask("device_add", driver="virtio-net-pci", id="card", netdev="net", romfile="")
    bench.order("network", deadline=Deadline(GUEST_SECONDS))
    bench.steady()


def _add_chardev(bench: Bench) -> None:
    place = {"type": "unix", "data": {"path": str(bench.socket)}}
    bench.ask("chardev-add", id="vhost", backend={"type": "socket", "data": {"addr": place, "server": False}})


def test_replies_that_come_byte_by_byte(benches: Callable[..., Bench]) -> None:
    """Verify: a slow relay is no reason to give up a connection."""
    bench = benches()
    bench.boot()
    mark = bench.load(Script.parse("GET_FEATURES#any:drip=5@any", "GET_QUEUE_NUM:drip=5@any", hang_up=True))
    bench.until(partial(bench.backend.events.of, "ready", mark), "the rings to run again")
    bench.steady()
    assert len(bench.backend.events.of("connected", mark)) == 1
