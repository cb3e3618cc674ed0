"""What the monitor and QEMU's log tell of a backend that goes, comes back, or comes back and fails. On both QEMUs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from reconnect.kit.deadline import Deadline
from reconnect.lab.binaries import Binaries
from reconnect.lab.stub.script import Script
from tests.reconnect.testbed import ScriptedTestbed

ATTEMPTS = 4


def _vhost_user(testbed: ScriptedTestbed) -> list[tuple[str, dict[str, str]]]:
    testbed.ask("query-status")
    events = [(event["event"], event["data"]) for event in testbed.vm.events()]
    return [(name, data) for name, data in events if name.startswith("NETDEV_VHOST_USER")]


def test_the_monitor_is_told_when_the_backend_comes_and_goes(testbeds: Callable[..., ScriptedTestbed]) -> None:
    """Steps: lose the backend; look; let it come back; look.

    Verify: one event each, with the netdev's id; attempts in between that come to nothing are not told of.
    """
    testbed = testbeds()
    testbed.boot()
    testbed.vm.events()
    testbed.lose_backend()
    assert _vhost_user(testbed) == [("NETDEV_VHOST_USER_DISCONNECTED", {"netdev-id": "net"})]
    testbed.load(Script())
    testbed.steady()
    assert _vhost_user(testbed) == [("NETDEV_VHOST_USER_CONNECTED", {"netdev-id": "net", "chardev-id": "vhost"})]


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("SET_MEM_TABLE:nack@any", "vhost-user: unable to start netdev net: Input/output error: connection dropped"),
        ("GET_QUEUE_NUM:answer=0@any", "you are asking more queues than supported: 0"),
    ],
)
def test_a_backend_that_fails_is_no_connection(testbeds: Callable[..., ScriptedTestbed], rule: str, told: str) -> None:
    """Steps: a backend comes back that fails again and again; then a good one.

    Verify: the monitor hears of the good one only, and QEMU tells once of the others, and why.
    """
    testbed = testbeds()
    testbed.boot()
    testbed.lose_backend()
    testbed.load(Script())
    testbed.steady()
    _vhost_user(testbed)
    mark = testbed.load(replace(Script.parse(rule), hang_up=True))
    testbed.until(lambda: len(testbed.backend.events.of("triggered", mark)) >= ATTEMPTS, f"{ATTEMPTS} attempts")
    assert [name for name, _ in _vhost_user(testbed)] == ["NETDEV_VHOST_USER_DISCONNECTED"]
    assert len([line for line in testbed.said() if line.endswith(told)]) == 1
    testbed.load(Script())
    testbed.steady()
    assert [name for name, _ in _vhost_user(testbed)] == ["NETDEV_VHOST_USER_CONNECTED"]


@pytest.mark.parametrize("rule", ["SET_MEM_TABLE:nack@any", "GET_QUEUE_NUM:answer=0@any"])
def test_a_backend_that_fails_again_and_again_is_tried_more_rarely(
    testbeds: Callable[..., ScriptedTestbed], rule: str
) -> None:
    """Steps: a backend comes back that fails again and again.

    Verify: each pause between two attempts is about twice the one before it, and the guest's link stays down.
    """
    testbed = testbeds()
    testbed.boot()
    mark = testbed.load(replace(Script.parse(rule), hang_up=True))
    testbed.until(lambda: testbed.vm.record.link_up is False, "the guest's link to be down")
    carriers = len(testbed.vm.record.links)
    testbed.until(lambda: len(testbed.backend.events.of("connected", mark)) >= ATTEMPTS, f"{ATTEMPTS} attempts")
    times = [event["t"] for event in testbed.backend.events.of("connected", mark)]
    pauses = [after - before for before, after in pairwise(times)]
    assert [round(pause) for pause in pauses[:3]] == [1, 2, 4]
    assert len(testbed.vm.record.links) == carriers


def test_a_stock_qemu_has_no_such_events(reference: Binaries, testbeds: Callable[..., ScriptedTestbed]) -> None:
    """Verify: the list of its events tells this QEMU from one without the series: libvirt relies on it."""
    names = []
    for qemu, scheme in ((reference.patched, "default"), (reference.baseline, "baseline")):
        testbed = testbeds(qemu=qemu, scheme=scheme)
        testbed.power_on(Deadline(testbed.options.boot))
        names.append(testbed.event_names())
    assert names[0] - names[1] == {"NETDEV_VHOST_USER_CONNECTED", "NETDEV_VHOST_USER_DISCONNECTED"}
