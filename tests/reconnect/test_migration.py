"""A guest that is migrated while its backend is away, dies, or comes back as another. On both QEMUs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reconnect.lab.process.failure import CellError
from reconnect.lab.stub.protocol import FEATURES, Feature, has
from reconnect.lab.stub.script import Script
from tests.reconnect.bench import FAST, LOG_ALL, SLOW, Bench, TwoPairs


def test_no_migration_without_a_backend(benches: Callable[..., Bench]) -> None:
    """Steps: migrate while the backend is away; once more when it is back.

    Verify: an error that names the netdev; then a migration that completes.
    """
    bench = benches()
    bench.boot()
    bench.lose_backend()
    with pytest.raises(CellError, match="vhost-user netdev net is not connected to its backend"):
        bench.ask("migrate", uri="exec:cat > /dev/null")
    bench.load(Script())
    bench.steady()
    bench.limit(FAST)
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
    bench.limit(FAST)
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

    bench.limit(SLOW)
    bench.ask("migrate", uri="exec:cat > /dev/null")
    bench.until(lambda: logging(0), "the log to start")
    bench.steady()
    mark = bench.load(Script(hang_up=True))
    bench.until(lambda: bench.backend.events.of("message", mark, name="SET_LOG_BASE"), "the log to go on")
    assert logging(mark)
    bench.steady()
    assert logs(bench.load(Script())) == [(True, 0)]
    assert bench.ask("query-migrate")["status"] == "active"
    bench.limit(FAST)
    assert bench.migration()["status"] == "completed"
    bench.load(Script(hang_up=True))
    assert logs(bench.load(Script())) == [(True, 0)]


def test_one_log_for_all_queue_pairs(benches: Callable[..., Bench]) -> None:
    """Steps: migrate with two queue pairs; look at what the backend was told.

    Verify: it was given the log once.
    """
    bench = benches(TwoPairs)
    bench.boot()
    bench.limit(FAST)
    bench.ask("migrate", uri="exec:cat > /dev/null")
    assert bench.migration()["status"] == "completed"
    assert [len(bench.backend.events.of("message", name=name)) for name in ("SET_VRING_ADDR", "SET_LOG_BASE")] == [8, 1]


def test_a_backend_without_a_log_comes_back_in_a_migration(benches: Callable[..., Bench]) -> None:
    """Steps: a slow migration; a backend comes back that can't log what it writes; the migration is ended; a good one.

    Verify: QEMU lives, and the backend's rings do not run while nobody notes what it writes.
    """
    bench = benches()
    bench.boot()
    bench.limit(SLOW)
    bench.ask("migrate", uri="exec:cat > /dev/null")
    sent = bench.backend.events
    log = Feature.LOG_ALL
    bench.until(lambda: any(has(e["value"], log) for e in sent.of("message", name="SET_FEATURES")), "the log to start")
    bench.steady()
    bad = Script.parse(f"GET_FEATURES#any:answer={FEATURES & ~(1 << log):#x}@any", hang_up=True)
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
