"""What the matrix does not reach, on the reference, QEMU 2.7.1: events of its monitor, commands while there is no
backend, memory that is plugged in meanwhile, and migration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from reconnect import mainjob
from reconnect.config import Config
from reconnect.deadline import Deadline
from reconnect.lab.binaries import Binaries, Qemu
from reconnect.lab.failure import Broken
from reconnect.lab.guest import Guest
from reconnect.lab.memory import memory_folder
from reconnect.lab.scenario import Options
from reconnect.lab.schemes import SCHEMES
from reconnect.lab.stub.script import Script
from reconnect.toolchain import building
from reconnect.toolchain.fetching import reachable
from reconnect.workspace import Workspace
from tests.reconnect.bench import FAST, LOG_ALL, SLOW, Bench, TwoPairs

STACK = "qemu-2.7"


@pytest.fixture(scope="module")
def reference(workspace: Workspace, configuration: Config) -> Binaries:
    """Both builds of QEMU 2.7.1."""
    component = configuration.component(configuration.stack(STACK).qemu)
    if reason := reachable(workspace, component):
        pytest.skip(f"the sources of {component.name} can't be had: {reason.splitlines()[0]}")
    return mainjob.binaries(workspace, {"qemu": component}, {"qemu": building.build(workspace, component)})


@pytest.fixture
def benches(reference: Binaries, guest: Guest, tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Makes benches, each with a stub of its own."""
    with ExitStack() as stack:

        def make(qemu: Qemu = reference.patched, scheme: str = "default", kind: type[Bench] = Bench) -> Bench:
            folder = tmp_path / f"bench-{len(list(tmp_path.iterdir())) + 1}"
            lane = stack.enter_context(kind(SCHEMES[scheme], qemu, guest, folder, Options()))
            return cast("Bench", lane)

        yield make


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


def test_a_stock_qemu_has_no_such_events(reference: Binaries, benches: Callable[..., Bench]) -> None:
    """Verify: query-events tells this QEMU from one without the series: libvirt relies on it."""
    names = []
    for qemu, scheme in ((reference.patched, "default"), (reference.baseline, "baseline")):
        bench = benches(qemu, scheme)
        bench.power_on(Deadline(bench.options.boot))
        names.append({event["name"] for event in bench.ask("query-events")})
    assert names[0] - names[1] == {"NETDEV_VHOST_USER_CONNECTED", "NETDEV_VHOST_USER_DISCONNECTED"}


def test_the_user_takes_the_link_up_while_the_backend_is_away(benches: Callable[..., Bench]) -> None:
    """Verify: QEMU lives, and the backend's return brings the network back."""
    bench = benches()
    bench.boot()
    bench.lose_backend()
    bench.ask("set_link", name="net", up=True)
    bench.ask("query-status")
    bench.load(Script())
    bench.steady()


def test_memory_for_more_than_the_table_holds(benches: Callable[..., Bench]) -> None:
    """Steps: plug in eight pieces of memory while the backend is away; let it come back.

    Verify: QEMU lives and says what is wrong, once.
    """
    bench = benches()
    bench.exchange = {"256": "256M,slots=16,maxmem=4G"}
    bench.boot()
    bench.lose_backend()
    folder = str(memory_folder(64))
    for number in range(8):
        props = {"size": 8 << 20, "mem-path": folder, "share": True}
        bench.ask("object-add", qom_type="memory-backend-file", id=f"m{number}", props=props)
        bench.ask("device_add", driver="pc-dimm", id=f"d{number}", memdev=f"m{number}")
    mark = bench.load(Script())
    bench.until(lambda: len(bench.backend.events.of("connected", mark)) >= 3, "three attempts")
    bench.ask("query-status")
    assert len([line for line in bench.said() if "the guest's memory has more than 8 parts" in line]) == 1


def test_no_migration_without_a_backend(benches: Callable[..., Bench]) -> None:
    """Steps: migrate while the backend is away; once more when it is back.

    Verify: an error that names the netdev; then a migration that completes.
    """
    bench = benches()
    bench.boot()
    bench.lose_backend()
    with pytest.raises(Broken, match="vhost-user netdev net is not connected to its backend"):
        bench.ask("migrate", uri="exec:cat > /dev/null")
    bench.load(Script())
    bench.steady()
    bench.ask("migrate_set_speed", value=FAST)
    bench.ask("migrate", uri="exec:cat > /dev/null")
    assert bench.migration()["status"] == "completed"


@pytest.mark.parametrize("rule", ["SET_LOG_BASE:before-read@0", "SET_LOG_BASE:after-read@0"])
def test_the_backend_dies_as_a_migration_begins(benches: Callable[..., Bench], rule: str) -> None:
    """Steps: the backend dies at the message that is to start its log.

    Verify: the migration fails with a reason, QEMU lives, the guest goes on and has its network back.
    """
    bench = benches()
    bench.boot()
    bench.load(Script.parse(rule))
    bench.ask("migrate_set_speed", value=FAST)
    bench.ask("migrate", uri="exec:cat > /dev/null")
    ended = bench.migration()
    assert ended["status"] == "failed"
    assert "vhost: unable to start the log of dirty memory" in ended["error-desc"]
    assert bench.ask("query-status")["status"] == "running"
    bench.steady()


def test_all_that_the_backend_wrote_is_seen(benches: Callable[..., Bench]) -> None:
    """Steps: a slow migration; the backend is restarted; the migration is completed; look at both backends' logs.

    Verify: the new backend is given the log at its start, and QEMU has taken all pages out of either log. (The memory
    at the destination can't be compared: under TCG this QEMU misses writes of the guest's own processor.)
    """
    bench = benches()
    bench.boot()

    def logging(mark: int) -> bool:
        sent = bench.backend.events.of("message", mark, name="SET_FEATURES")
        return any(event["value"] & LOG_ALL for event in sent)

    def logs(mark: int) -> list[tuple[bool, int]]:
        return [(event["marked"] > 0, event["left"]) for event in bench.backend.events.of("log", mark)]

    bench.ask("migrate_set_speed", value=SLOW)
    bench.ask("migrate", uri="exec:cat > /dev/null")
    bench.until(lambda: logging(0), "the log to start")
    bench.steady()
    mark = bench.load(Script(hang_up=True))
    bench.until(lambda: bench.backend.events.of("message", mark, name="SET_LOG_BASE"), "the log to go on")
    assert logging(mark)
    bench.steady()
    assert logs(bench.load(Script())) == [(True, 0)]
    assert bench.ask("query-migrate")["status"] == "active"
    bench.ask("migrate_set_speed", value=FAST)
    assert bench.migration()["status"] == "completed"
    bench.load(Script(hang_up=True))
    assert logs(bench.load(Script())) == [(True, 0)]


def test_one_log_for_all_queue_pairs(benches: Callable[..., Bench]) -> None:
    """Steps: migrate with two queue pairs; look at what the backend was told.

    Verify: it was given the log once.
    """
    bench = benches(kind=TwoPairs)
    bench.boot()
    bench.ask("migrate_set_speed", value=FAST)
    bench.ask("migrate", uri="exec:cat > /dev/null")
    assert bench.migration()["status"] == "completed"
    assert [len(bench.backend.events.of("message", name=name)) for name in ("SET_VRING_ADDR", "SET_LOG_BASE")] == [8, 1]
