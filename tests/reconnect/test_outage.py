"""What the matrix does not reach, on both QEMUs: backends that are not all that they were, many queues, memory plugged
in during an outage, and a netdev that goes before its card.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import MappingProxyType

import pytest

from reconnect.kit.deadline import Deadline
from reconnect.lab.matrix.testbed import Shape
from reconnect.lab.qemu.memory_backend import memory_folder
from reconnect.lab.qemu.qmp import CommandRefused
from reconnect.lab.stub.protocol import FEATURES, Feature, has
from reconnect.lab.stub.script import Script
from tests.reconnect.testbed import SECONDS, ScriptedTestbed

ATTEMPTS = 4
GUEST_SECONDS = 60.0
TABLE = 8
"""Parts that the memory table of the protocol holds."""

PAIRS = 32
"""So many that the messages of their start do not fit the socket's buffer: 212,992 bytes on Linux (wmem_default), of
which a message takes about 800, and a pair takes eleven messages."""


class ManyPairs(ScriptedTestbed):
    """A testbed with :data:`PAIRS` queue pairs, all of which QEMU starts, though the guest uses one."""

    queue_pairs = PAIRS
    exchange = MappingProxyType(
        {
            "vhost-user,id=net,chardev=vhost": f"vhost-user,id=net,chardev=vhost,queues={PAIRS}",
            "virtio-net-pci,netdev=net,romfile=": f"virtio-net-pci,netdev=net,romfile=,mq=on,vectors={2 * PAIRS + 2}",
        }
    )


def test_a_backend_without_protocol_features(testbeds: Callable[..., ScriptedTestbed]) -> None:
    """Steps: the guest boots with a backend without PROTOCOL_FEATURES, which is restarted a few times; then one with.

    Verify: each has its network, as the rings of the first kind start enabled, and QEMU's descriptors stay as many.
    """
    testbed = testbeds()
    plain = Script.parse(f"GET_FEATURES#any:answer={FEATURES & ~(1 << Feature.PROTOCOL_FEATURES):#x}@any", hang_up=True)
    testbed.load(plain)
    testbed.boot()
    held = []
    for script in (plain, plain, Script(hang_up=True), plain):
        testbed.load(script)
        testbed.steady()
        held.append(testbed.usage.fds)
    assert held[0] == held[1] == held[3]
    assert not testbed.backend.broken_rules()


def test_the_queues_of_a_backend_that_is_slow_to_read(testbeds: Callable[..., ScriptedTestbed]) -> None:
    """Steps: a backend comes back that takes a rest in the middle of the start of many queues.

    Verify: QEMU can't write for a while, and no message loses its descriptors for that.
    """
    testbed = testbeds(ManyPairs)
    testbed.boot()
    mark = testbed.load(Script.parse("SET_VRING_NUM#2:delay=2000", hang_up=True))

    def started() -> bool:
        return len({event["ring"] for event in testbed.backend.events.of("ring", mark)}) == 2 * PAIRS

    testbed.until(started, "all rings to be started")
    assert testbed.backend.events.of("triggered", mark)
    assert not testbed.backend.broken_rules(mark)
    testbed.steady()


def test_a_backend_fails_the_handshake_of_the_second_pair(testbeds: Callable[..., ScriptedTestbed]) -> None:
    """Steps: lose the backend; one comes back that fails on each connection, and halfway; plug the card, take its link
    up and, where QEMU can, announce it; then a good backend.

    Verify: QEMU lives, and the guest has what the first backend offered.
    """
    testbed = testbeds(shape=Shape(card=False))
    testbed.power_on(Deadline(testbed.options.boot))
    testbed.waiter.wait(lambda: testbed.vm.agent.ready, Deadline(testbed.options.boot), "the guest to boot")
    testbed.add_chardev()
    testbed.ask("netdev_add", type="vhost-user", id="net", chardev="vhost", queues=2)
    mark = testbed.load(Script.parse("GET_PROTOCOL_FEATURES#2:after-read@any", hang_up=True))
    testbed.until(lambda: len(testbed.backend.events.of("closed", mark)) >= 2, "a failed handshake")
    testbed.ask("device_add", driver="virtio-net-pci", id="card", netdev="net", romfile="", mq=True, vectors=6)
    testbed.ask("set_link", name="net", up=True)
    commands = {command["name"] for command in testbed.ask("query-commands")}
    if "announce-self" in commands:
        testbed.ask("announce-self", initial=50, max=50, rounds=1, step=0)
    testbed.ask("query-status")
    testbed.load(Script())
    testbed.order("network", deadline=Deadline(GUEST_SECONDS))
    testbed.steady()
    accepted = int(testbed.order("features", deadline=Deadline(SECONDS))[::-1], 2)
    assert [bit.name for bit in (Feature.VERSION_1, Feature.NET_MQ) if not has(accepted, bit)] == []
    assert not testbed.backend.broken_rules()


def test_the_backend_dies_as_its_netdev_is_deleted(testbeds: Callable[..., ScriptedTestbed]) -> None:
    """Steps: netdev_del while the card is there; the backend dies at the message that stops its rings.

    Verify: QEMU lives. What is left to do for the lost connection is not done to a netdev that is no more.
    """
    testbed = testbeds()
    testbed.boot()
    mark = testbed.load(Script.parse("GET_VRING_BASE:before-read@0"))
    testbed.ask("netdev_del", id="net")
    testbed.until(lambda: testbed.backend.events.of("triggered", mark), "the backend to say that it died")
    for _ in range(ATTEMPTS):
        assert testbed.ask("query-status")["status"] == "running"


@pytest.mark.parametrize("name", ["net", "card"])
def test_a_link_that_the_user_took_down_stays_down(testbeds: Callable[..., ScriptedTestbed], name: str) -> None:
    """Steps: set_link off, by the netdev and by the card; restart the backend; set_link on while it is away; let it
    come back.

    Verify: the link is down until the user has taken it up and the backend is there.
    """
    testbed = testbeds()
    testbed.exchange = {"virtio-net-pci,netdev=net,romfile=": "virtio-net-pci,id=card,netdev=net,romfile="}
    testbed.boot()
    testbed.ask("set_link", name=name, up=False)
    testbed.until(lambda: testbed.vm.record.link_up is False, "the guest's link to be down")
    links = len(testbed.vm.record.links)
    mark = testbed.load(Script(hang_up=True))
    handshake = partial(testbed.backend.events.of, "message", name="SET_OWNER")
    testbed.until(lambda: handshake(mark), "the handshake")
    testbed.ask("query-status")
    assert not testbed.backend.events.of("ready", mark)
    testbed.lose_backend()
    testbed.ask("set_link", name=name, up=True)
    testbed.ask("query-status")
    assert len(testbed.vm.record.links) == links
    testbed.load(Script())
    testbed.steady(Deadline(60))


def test_the_user_takes_the_link_up_while_the_backend_is_away(testbeds: Callable[..., ScriptedTestbed]) -> None:
    """Verify: QEMU lives, and the backend's return brings the network back."""
    testbed = testbeds()
    testbed.boot()
    testbed.lose_backend()
    testbed.ask("set_link", name="net", up=True)
    testbed.ask("query-status")
    testbed.load(Script())
    testbed.steady()


def test_memory_for_more_than_the_table_holds(testbeds: Callable[..., ScriptedTestbed]) -> None:
    """Steps: plug in pieces of memory while the backend is away, more than it can be told of; let it come back.

    Verify: QEMU lives. One that knows the backend's limit (7.2) refuses the piece that is too many, and the network
    comes back; the other says what is wrong, once.
    """
    testbed = testbeds()
    testbed.exchange = {"256": "256M,slots=16,maxmem=4G"}
    testbed.boot()
    testbed.lose_backend()
    folder = str(memory_folder(64))
    refused = []
    for number in range(TABLE):
        testbed.add_object("memory-backend-file", f"m{number}", {"size": 8 << 20, "mem-path": folder, "share": True})
        try:
            testbed.ask("device_add", driver="pc-dimm", id=f"d{number}", memdev=f"m{number}")
        except CommandRefused as refusal:
            refused.append(str(refusal))
    mark = testbed.load(Script())
    if not refused:
        testbed.until(lambda: len(testbed.backend.events.of("connected", mark)) >= 3, "three attempts")
        testbed.ask("query-status")
        assert len([line for line in testbed.said() if "the guest's memory has more than 8 parts" in line]) == 1
    else:
        assert 0 < len(refused) < TABLE
        assert all("no free memory slots left" in why for why in refused)
        testbed.steady()
