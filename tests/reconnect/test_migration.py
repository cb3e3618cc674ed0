"""A guest that is migrated while its backend is away, dies, or comes back as another. On both QEMUs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reconnect.kit.deadline import Deadline
from reconnect.lab.stub.protocol import FEATURES, Feature
from reconnect.lab.stub.script import Script
from tests.reconnect.testbed import FAST, LOG_ALL, SLOW, ScriptedTestbed, TwoPairs

LOST = "vhost: the log of dirty memory is lost"


def _logging(testbed: ScriptedTestbed, mark: int = 0) -> bool:
    """Whether the backend was told to log what it writes."""
    sent = testbed.backend.events.of("message", mark, name="SET_FEATURES")
    return any(event["value"] & LOG_ALL for event in sent)


def test_a_migration_without_a_backend(testbeds: Callable[..., ScriptedTestbed]) -> None:
    """Steps: migrate while the backend is away; let the guest go on here, and the backend come back.

    Verify: a migration that completes, and a network.
    """
    testbed = testbeds()
    testbed.boot()
    testbed.lose_backend()
    testbed.limit(FAST)
    testbed.ask("migrate", uri="exec:cat > /dev/null")
    assert testbed.migration()["status"] == "completed"
    testbed.load(Script())
    testbed.ask("cont")
    testbed.steady()


def test_the_backend_comes_back_in_a_migration(testbeds: Callable[..., ScriptedTestbed]) -> None:
    """Steps: migrate slowly while the backend is away; it comes back; the migration is completed.

    Verify: the backend is given the log before its rings start, and QEMU has taken all pages out of it.
    """
    testbed = testbeds()
    testbed.boot()
    testbed.lose_backend()
    testbed.limit(SLOW)
    testbed.ask("migrate", uri="exec:cat > /dev/null")
    mark = testbed.load(Script())
    testbed.until(lambda: testbed.backend.events.of("message", mark, name="SET_LOG_BASE"), "the log to go on")
    assert not testbed.backend.events.of("ready", mark)
    assert _logging(testbed, mark)
    testbed.steady()
    assert testbed.ask("query-migrate")["status"] == "active"
    testbed.limit(FAST)
    assert testbed.migration()["status"] == "completed"
    assert _logs(testbed, testbed.load(Script(hang_up=True))) == []
    assert _logs(testbed, testbed.load(Script())) == [(True, 0)]


def test_the_backend_dies_as_a_migration_runs(testbeds: Callable[..., ScriptedTestbed]) -> None:
    """Steps: a slow migration; the backend is restarted; a second migration.

    Verify: the first fails with a reason and the guest goes on; the second completes.
    """
    testbed = testbeds()
    testbed.boot()
    testbed.limit(SLOW)
    testbed.ask("migrate", uri="exec:cat > /dev/null")
    testbed.until(lambda: _logging(testbed), "the log to start")
    testbed.load(Script(hang_up=True))
    ended = testbed.migration()
    assert ended["status"] == "failed"
    assert LOST in ended["error-desc"]
    assert testbed.ask("query-status")["status"] == "running"
    testbed.steady()
    testbed.limit(FAST)
    testbed.ask("migrate", uri="exec:cat > /dev/null")
    assert testbed.migration()["status"] == "completed"


def _logs(testbed: ScriptedTestbed, mark: int) -> list[tuple[bool, int]]:
    """Of each connection that had ended when a script was loaded: whether its log was used, and what is left in it."""
    return [(event["marked"] > 0, event["left"]) for event in testbed.backend.events.of("log", mark)]


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
    assert LOST in ended["error-desc"]
    assert testbed.ask("query-status")["status"] == "running"
    testbed.steady()


def test_all_that_the_backend_wrote_is_seen(testbeds: Callable[..., ScriptedTestbed]) -> None:
    """Steps: a slow migration under traffic, which is completed; look at the backend's log.

    Verify: QEMU has taken all pages out of it. (The memory at the destination can't be compared: under TCG this QEMU
    misses writes of the guest's own processor.)
    """
    testbed = testbeds()
    testbed.boot()
    testbed.limit(SLOW)
    testbed.ask("migrate", uri="exec:cat > /dev/null")
    testbed.until(lambda: _logging(testbed), "the log to start")
    testbed.steady()
    testbed.limit(FAST)
    assert testbed.migration()["status"] == "completed"
    testbed.load(Script(hang_up=True))
    assert _logs(testbed, testbed.load(Script())) == [(True, 0)]


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
    """Steps: a slow migration without a backend; one comes back that can't log what it writes; the migration is ended;
    a good one.

    Verify: QEMU lives, and the backend's rings do not run while nobody notes what it writes.
    """
    testbed = testbeds()
    testbed.boot()
    testbed.lose_backend()
    testbed.limit(SLOW)
    testbed.ask("migrate", uri="exec:cat > /dev/null")
    sent = testbed.backend.events
    log = Feature.LOG_ALL
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
    testbed.steady(Deadline(60))
