"""What the monitor and QEMU's log tell of a backend that goes, comes back, or comes back and fails. On both QEMUs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from reconnect.kit.deadline import Deadline
from reconnect.lab.binaries import Binaries
from reconnect.lab.stub.script import Script
from tests.reconnect.bench import Bench

ATTEMPTS = 4


def _vhost_user(bench: Bench) -> list[tuple[str, dict[str, str]]]:
    bench.ask("query-status")
    events = [(event["event"], event["data"]) for event in bench.vm.events()]
    return [(name, data) for name, data in events if name.startswith("NETDEV_VHOST_USER")]


def test_the_monitor_is_told_when_the_backend_comes_and_goes(benches: Callable[..., Bench]) -> None:
    """Steps: lose the backend; look; let it come back; look.

    Verify: one event each, with the netdev's id; attempts in between that come to nothing are not told of.
    """
    bench = benches()
    bench.boot()
    bench.vm.events()
    bench.lose_backend()
    assert _vhost_user(bench) == [("NETDEV_VHOST_USER_DISCONNECTED", {"netdev-id": "net"})]
    bench.load(Script())
    bench.steady()
    assert _vhost_user(bench) == [("NETDEV_VHOST_USER_CONNECTED", {"netdev-id": "net", "chardev-id": "vhost"})]


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("SET_MEM_TABLE:nack@any", "vhost-user: unable to start netdev net: Input/output error: connection dropped"),
        ("GET_QUEUE_NUM:answer=0@any", "you are asking more queues than supported: 0"),
    ],
)
def test_a_backend_that_fails_is_no_connection(benches: Callable[..., Bench], rule: str, told: str) -> None:
    """Steps: a backend comes back that fails again and again; then a good one.

    Verify: the monitor hears of the good one only, and QEMU's log tells once of the others, and why.
    """
    bench = benches()
    bench.boot()
    bench.lose_backend()
    bench.load(Script())
    bench.steady()
    _vhost_user(bench)
    mark = bench.load(replace(Script.parse(rule), hang_up=True))
    bench.until(lambda: len(bench.backend.events.of("fired", mark)) >= 2, "two attempts")
    said = bench.said()
    bench.until(lambda: len(bench.backend.events.of("fired", mark)) >= 4, "four attempts")
    assert [name for name, _ in _vhost_user(bench)] == ["NETDEV_VHOST_USER_DISCONNECTED"]
    assert bench.said() == said
    assert len([line for line in said if line.endswith(told)]) == 1
    bench.load(Script())
    bench.steady()
    assert [name for name, _ in _vhost_user(bench)] == ["NETDEV_VHOST_USER_CONNECTED"]


@pytest.mark.parametrize("rule", ["SET_MEM_TABLE:nack@any", "GET_QUEUE_NUM:answer=0@any"])
def test_a_backend_that_fails_again_and_again_is_told_of_once(benches: Callable[..., Bench], rule: str) -> None:
    """Steps: a backend comes back that fails again and again; a good one; then the bad one again.

    Verify: QEMU's log tells of the first failure, of none of those after it, and after a success of the next first.
    """
    bench = benches()
    bench.boot()
    told = []
    for _ in range(2):
        before = len(bench.said())
        mark = bench.load(replace(Script.parse(rule), hang_up=True))

        def attempts(count: int, mark: int = mark) -> None:
            fired = bench.backend.events
            bench.until(lambda: len(fired.of("fired", mark)) >= count, f"{count} attempts")
            bench.ask("query-status")

        # The attempt after the one that is told of has begun: that one is over.
        attempts(2)
        said = bench.said()
        attempts(ATTEMPTS)
        assert bench.said() == said
        told.append(len(said) - before)
        bench.load(Script())
        bench.steady()
    assert all(told)


def test_a_stock_qemu_has_no_such_events(reference: Binaries, benches: Callable[..., Bench]) -> None:
    """Verify: the list of its events tells this QEMU from one without the series: libvirt relies on it."""
    names = []
    for qemu, scheme in ((reference.patched, "default"), (reference.baseline, "baseline")):
        bench = benches(qemu=qemu, scheme=scheme)
        bench.power_on(Deadline(bench.options.boot))
        names.append(bench.event_names())
    assert names[0] - names[1] == {"NETDEV_VHOST_USER_CONNECTED", "NETDEV_VHOST_USER_DISCONNECTED"}
