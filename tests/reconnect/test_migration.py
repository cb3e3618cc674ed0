"""A guest that is migrated while its backend is away, dies, or comes back as another. On both QEMUs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reconnect.lab.process.failure import CellError
from reconnect.lab.stub.protocol import FEATURES, Feature, has
from reconnect.lab.stub.script import Script
from tests.reconnect.testbed import FAST, LOG_ALL, SLOW, ScriptedTestbed, TwoPairs


def test_no_migration_without_a_backend(testbeds: Callable[..., ScriptedTestbed]) -> None:
    """Steps: migrate while the backend is away; once more when it is back.

    Verify: an error that names the netdev; then a migration that completes.
    """
    testbed = testbeds()
    testbed.boot()
    testbed.lose_backend()
    with pytest.raises(CellError, match="vhost-user netdev net is not connected to its backend"):
        testbed.ask("migrate", uri="exec:cat > /dev/null")
    testbed.load(Script())
    testbed.steady()
    testbed.limit(FAST)
    testbed.ask("migrate", uri="exec:cat > /dev/null")
    assert testbed.migration()["status"] == "completed"


@pytest.mark.parametrize("rule", ["SET_LOG_BASE:before-read@0", "SET_LOG_BASE:after-read@0"])
def test_the_backend_dies_as_a_migration_begins(testbeds: Callable[..., ScriptedTestbed], rule: str) -> None:
    """Steps: the backend dies at the message that is to start its log.

    Verify: the migration fails with a reason, QEMU lives, the guest goes on and has its network back.
    """
    testbed = testbeds()
    testbed.boot()
    testbed.load(Script.parse(rule))
    testbed.limit(FAST)
    testbed.ask("migrate", uri="exec:cat > /dev/null")
    ended = testbed.migration()
    assert ended["status"] == "failed"
    assert "vhost: unable to start the log of dirty memory" in ended["error-desc"]
    assert testbed.ask("query-status")["status"] == "running"
    testbed.steady()


def test_all_that_the_backend_wrote_is_seen(testbeds: Callable[..., ScriptedTestbed]) -> None:
    """Steps: a slow migration; the backend is restarted; the migration is completed; look at both backends' logs.

    Verify: the new backend is given the log at its start, and QEMU has taken all pages out of either log. (The memory
    at the destination can't be compared: under TCG this QEMU misses writes of the guest's own processor.)
    """
    testbed = testbeds()
    testbed.boot()

    def logging(mark: int) -> bool:
        sent = testbed.backend.events.of("message", mark, name="SET_FEATURES")
        return any(event["value"] & LOG_ALL for event in sent)

    def logs(mark: int) -> list[tuple[bool, int]]:
        return [(event["marked"] > 0, event["left"]) for event in testbed.backend.events.of("log", mark)]

    testbed.limit(SLOW)
    testbed.ask("migrate", uri="exec:cat > /dev/null")
    testbed.until(lambda: logging(0), "the log to start")
    testbed.steady()
    mark = testbed.load(Script(hang_up=True))
    testbed.until(lambda: testbed.backend.events.of("message", mark, name="SET_LOG_BASE"), "the log to go on")
    assert logging(mark)
    testbed.steady()
    assert logs(testbed.load(Script())) == [(True, 0)]
    assert testbed.ask("query-migrate")["status"] == "active"
    testbed.limit(FAST)
    assert testbed.migration()["status"] == "completed"
    testbed.load(Script(hang_up=True))
    assert logs(testbed.load(Script())) == [(True, 0)]


def test_one_log_for_all_queue_pairs(testbeds: Callable[..., ScriptedTestbed]) -> None:
    """Steps: migrate with two queue pairs; look at what the backend was told.

    Verify: it was given the log once.
    """
    testbed = testbeds(TwoPairs)
    testbed.boot()
    testbed.limit(FAST)
    testbed.ask("migrate", uri="exec:cat > /dev/null")
    assert testbed.migration()["status"] == "completed"
    assert [len(testbed.backend.events.of("message", name=name)) for name in ("SET_VRING_ADDR", "SET_LOG_BASE")] == [
        8,
        1,
    ]


def test_a_backend_without_a_log_comes_back_in_a_migration(testbeds: Callable[..., ScriptedTestbed]) -> None:
    """Steps: a slow migration; a backend comes back that can't log what it writes; the migration is ended; a good one.

    Verify: QEMU lives, and the backend's rings do not run while nobody notes what it writes.
    """
    testbed = testbeds()
    testbed.boot()
    testbed.limit(SLOW)
    testbed.ask("migrate", uri="exec:cat > /dev/null")
    sent = testbed.backend.events
    log = Feature.LOG_ALL
    testbed.until(
        lambda: any(has(e["value"], log) for e in sent.of("message", name="SET_FEATURES")), "the log to start"
    )
    testbed.steady()
    bad = Script.parse(f"GET_FEATURES#any:answer={FEATURES & ~(1 << log):#x}@any", hang_up=True)
    mark = testbed.load(bad)
    testbed.until(lambda: sent.of("ready", mark) or len(sent.of("connected", mark)) >= 3, "attempts, or rings that run")
    assert testbed.ask("query-migrate")["status"] == "active"
    assert not sent.of("ready", mark)
    testbed.limit(FAST)
    testbed.migration()
    testbed.load(Script())
    if testbed.ask("query-status")["status"] != "running":
        testbed.ask("cont")
    testbed.steady()
