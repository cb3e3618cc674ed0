"""What the matrix does not reach, on both QEMUs, 2.7.1 and 7.2: backends that are not all that they were, many queues,
and a netdev that goes before its card.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import cast

import pytest

from reconnect import mainjob
from reconnect.config import Config
from reconnect.deadline import Deadline
from reconnect.lab.binaries import Qemu
from reconnect.lab.failure import Broken
from reconnect.lab.guest import Guest
from reconnect.lab.matrix.lane import ORDINARY, Shape
from reconnect.lab.scenario import Options
from reconnect.lab.schemes import SCHEMES
from reconnect.lab.stub.protocol import FEATURES, Feature, has
from reconnect.lab.stub.script import Script
from reconnect.toolchain import building
from reconnect.toolchain.fetching import reachable
from reconnect.toolchain.series import PATCHED
from reconnect.workspace import Workspace
from tests.reconnect.bench import FAST, SECONDS, SLOW, Bench, TwoPairs

Lacking = Callable[[str, str, type[Exception]], None]
COMPONENTS = ("qemu-7.2", "qemu-2.7")
ATTEMPTS = 4
GUEST_SECONDS = 60.0
PAIRS = 32
"""So many that the messages of their start do not fit the socket's buffer: 212,992 bytes on Linux (wmem_default), of
which a message takes about 800, and a pair takes eleven messages."""


def without(*features: Feature) -> int:
    """What the stub offers, but for these."""
    return FEATURES & ~sum(1 << feature for feature in features)


class ManyPairs(Bench):
    """A bench with :data:`PAIRS` queue pairs, all of which QEMU starts, though the guest uses one."""

    pairs = PAIRS
    exchange = MappingProxyType(
        {
            "vhost-user,id=net,chardev=vhost": f"vhost-user,id=net,chardev=vhost,queues={PAIRS}",
            "virtio-net-pci,netdev=net,romfile=": f"virtio-net-pci,netdev=net,romfile=,mq=on,vectors={2 * PAIRS + 2}",
        }
    )


@pytest.fixture(scope="module", params=COMPONENTS)
def qemu(request: pytest.FixtureRequest, workspace: Workspace, configuration: Config) -> Qemu:
    """Either QEMU, with its series."""
    component = configuration.component(request.param)
    if reason := reachable(workspace, component):
        pytest.skip(f"the sources of {component.name} can't be had: {reason.splitlines()[0]}")
    return mainjob.qemu(component, building.build(workspace, component, only=PATCHED)[PATCHED])


@pytest.fixture
def lacking(request: pytest.FixtureRequest, qemu: Qemu) -> Lacking:
    """Says of a component what its series does not mend yet, and how that shows; once it does, the test objects."""

    def say(component: str, reason: str, shows: type[Exception]) -> None:
        if qemu.name == component:
            request.applymarker(pytest.mark.xfail(strict=True, reason=reason, raises=shows))

    return say


@pytest.fixture
def benches(qemu: Qemu, guest: Guest, tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Makes benches, each with a stub of its own."""
    with ExitStack() as stack:

        def make(kind: type[Bench] = Bench, shape: Shape = ORDINARY) -> Bench:
            folder = tmp_path / f"bench-{len(list(tmp_path.iterdir())) + 1}"
            return cast("Bench", stack.enter_context(kind(SCHEMES["default"], qemu, guest, folder, Options(), shape)))

        yield make


def test_a_first_backend_that_can_not_enable_rings(benches: Callable[..., Bench]) -> None:
    """Steps: the guest boots with a backend without PROTOCOL_FEATURES, which is restarted a few times; then a good one.

    Verify: neither QEMU can work with the first kind, and a failed start leaves nothing behind: no descriptor, and no
    ring at a wrong place when the good one brings the network.
    """
    bench = benches()
    bad = Script.parse(f"GET_FEATURES#any:answer={without(Feature.PROTOCOL_FEATURES):#x}@any", hang_up=True)
    bench.load(bad)
    bench.power_on(Deadline(bench.options.boot))
    bench.bell.wait(lambda: bench.vm.agent.ready, Deadline(bench.options.boot), "the guest to boot")
    held = []
    for _ in range(ATTEMPTS):
        mark = bench.load(bad)
        bench.until(partial(_given_up, bench, mark), "an attempt")
        # It is over when the monitor answers.
        bench.ask("query-status")
        held.append(bench.held.fds)
    bench.load(Script(hang_up=True))
    bench.steady()
    assert held == [held[0]] * ATTEMPTS
    assert not bench.backend.broken_rules()


def _given_up(bench: Bench, mark: int) -> bool:
    """Whether QEMU has come to the end of the rings' start, or has hung up."""
    events = bench.backend.events
    return bool(events.of("message", mark, name="SET_VRING_KICK", n=2) or events.of("closed", mark, by="front-end"))


def test_the_queues_of_a_backend_that_is_slow_to_read(benches: Callable[..., Bench]) -> None:
    """Steps: a backend comes back that takes a rest in the middle of the start of many queues.

    Verify: QEMU can't write for a while, and no message loses its descriptors for that.
    """
    bench = benches(ManyPairs)
    bench.boot()
    mark = bench.load(Script.parse("SET_VRING_NUM#2:delay=2000", hang_up=True))

    def started() -> bool:
        return len({event["ring"] for event in bench.backend.events.of("ring", mark)}) == 2 * PAIRS

    bench.until(started, "all rings to be started")
    assert bench.backend.events.of("fired", mark)
    assert not bench.backend.broken_rules(mark)
    bench.steady()


def test_a_backend_fails_the_handshake_of_the_second_pair(benches: Callable[..., Bench], lacking: Lacking) -> None:
    """Steps: lose the backend; one comes back that fails on each connection, and halfway; plug the card, take its link
    up and, where QEMU can, announce it; then a good backend.

    Verify: QEMU lives, and the guest has what the first backend offered.
    """
    lacking("qemu-2.7", "a card plugged while its backend is away lacks VERSION_1: its driver refuses it", Broken)
    bench = benches(shape=Shape(card=False))
    bench.power_on(Deadline(bench.options.boot))
    bench.bell.wait(lambda: bench.vm.agent.ready, Deadline(bench.options.boot), "the guest to boot")
    place = {"type": "unix", "data": {"path": str(bench.socket)}}
    bench.ask("chardev-add", id="vhost", backend={"type": "socket", "data": {"addr": place, "server": False}})
    bench.ask("netdev_add", type="vhost-user", id="net", chardev="vhost", queues=2)
    mark = bench.load(Script.parse("GET_PROTOCOL_FEATURES#2:after-read@any", hang_up=True))
    bench.until(lambda: len(bench.backend.events.of("closed", mark)) >= 2, "a failed handshake")
    bench.ask("device_add", driver="virtio-net-pci", id="card", netdev="net", romfile="", mq=True, vectors=6)
    bench.ask("set_link", name="net", up=True)
    commands = {command["name"] for command in bench.ask("query-commands")}
    if "announce-self" in commands:
        bench.ask("announce-self", initial=50, max=50, rounds=1, step=0)
    bench.ask("query-status")
    bench.load(Script())
    bench.order("network", deadline=Deadline(GUEST_SECONDS))
    bench.steady()
    accepted = int(bench.order("features", deadline=Deadline(SECONDS))[::-1], 2)
    assert [bit.name for bit in (Feature.VERSION_1, Feature.NET_MQ) if not has(accepted, bit)] == []
    assert not bench.backend.broken_rules()


def test_the_backend_dies_as_its_netdev_is_deleted(benches: Callable[..., Bench]) -> None:
    """Steps: netdev_del while the card is there; the backend dies at the message that stops its rings.

    Verify: QEMU lives. What is left to do for the lost connection is not done to a netdev that is no more.
    """
    bench = benches()
    bench.boot()
    mark = bench.load(Script.parse("GET_VRING_BASE:before-read@0"))
    bench.ask("netdev_del", id="net")
    bench.until(lambda: bench.backend.events.of("fired", mark), "the backend to say that it died")
    for _ in range(ATTEMPTS):
        assert bench.ask("query-status")["status"] == "running"


def test_a_backend_without_a_log_comes_back_in_a_migration(benches: Callable[..., Bench], lacking: Lacking) -> None:
    """Steps: a slow migration; a backend comes back that can't log what it writes; the migration is ended; a good one.

    Verify: QEMU lives, and the backend's rings do not run while nobody notes what it writes.
    """
    lacking("qemu-2.7", "it is sent LOG_ALL, which it did not offer, and the migration is completed", AssertionError)
    bench = benches()
    bench.boot()
    bench.limit(SLOW)
    bench.ask("migrate", uri="exec:cat > /dev/null")
    sent = bench.backend.events
    log = Feature.LOG_ALL
    bench.until(lambda: any(has(e["value"], log) for e in sent.of("message", name="SET_FEATURES")), "the log to start")
    bench.steady()
    bad = Script.parse(f"GET_FEATURES#any:answer={without(log):#x}@any", hang_up=True)
    mark = bench.load(bad)
    bench.until(lambda: sent.of("ready", mark) or len(sent.of("connected", mark)) >= 3, "attempts, or rings that run")
    assert bench.ask("query-migrate")["status"] == "active"
    assert not sent.of("ready", mark)
    bench.limit(FAST)
    bench.migration()
    bench.load(Script())
    if bench.ask("query-status")["status"] != "running":
        bench.ask("cont")
    bench.steady()


def test_one_log_for_all_queue_pairs(benches: Callable[..., Bench]) -> None:
    """Steps: migrate with two queue pairs; look at what the backend was told.

    Verify: it was given the log once.
    """
    bench = benches(TwoPairs)
    bench.boot()
    bench.limit(FAST)
    bench.ask("migrate", uri="exec:cat > /dev/null")
    assert bench.migration()["status"] == "completed"
    assert len(bench.backend.events.of("message", name="SET_LOG_BASE")) == 1


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
