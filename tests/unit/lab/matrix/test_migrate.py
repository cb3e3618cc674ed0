"""Migrations without a backend, by a QEMU that does not tell the truth of them."""

from __future__ import annotations

from typing import Any

import pytest

from reconnect.lab.matrix.matrix_case import NotSent
from reconnect.lab.process.failure import CellFailed
from reconnect.lab.qemu.qmp import CommandRefused
from reconnect.lab.stub.script import Script
from tests.unit.lab.fakes import FakeTestbed
from tests.unit.lab.matrix.conftest import run

CUT = "cut:SET_LOG_BASE:after-read@migrate"


@pytest.fixture
def bed(testbed: FakeTestbed) -> FakeTestbed:
    """A QEMU that can migrate."""
    testbed.hot_plug()
    return testbed


def _ends(bed: FakeTestbed, *statuses: str, why: str = "") -> None:
    """How the migrations end."""
    ended: list[Any] = [{"status": status} for status in statuses]
    bed.qemu.answers |= {"migrate": {}, "query-migrate": {"error-desc": why} if why else {}}
    bed.qemu.coming["MIGRATION"] = ended


@pytest.mark.parametrize(
    "name", ["rehearse@migrate", *(f"dead:{v}@migrate" for v in ("crashed", "absent", "under-way"))]
)
def test_a_good_qemu_passes(bed: FakeTestbed, name: str) -> None:
    """Verify: no guard speaks where all is well."""
    if name == "rehearse@migrate":
        bed.stub.react = lambda _: bed.stub.ready()
    run(bed, name)


def test_a_log_that_is_refused_fails_the_migration(bed: FakeTestbed) -> None:
    """Verify: that it fails is a pass."""
    _ends(bed, "failed", why="the backend is gone")
    run(bed, CUT)


@pytest.mark.guards("matrix/migrate.py Migrate._act: QEMU does not send")
def test_a_message_that_no_migration_sends(bed: FakeTestbed) -> None:
    """Verify: a skip."""
    bed.stub.react = lambda _: None
    with pytest.raises(NotSent, match=r"QEMU does not send SEND_RARP \(1\) in a migration"):
        run(bed, "cut:SEND_RARP:after-read@migrate")


@pytest.mark.guards("matrix/migrate.py Migrate._act: the migration was")
@pytest.mark.parametrize(
    ("name", "ended", "needed"), [(CUT, "completed", "failed"), ("rehearse@migrate", "failed", "completed")]
)
def test_a_migration_that_ends_as_it_should_not(bed: FakeTestbed, name: str, ended: str, needed: str) -> None:
    """Verify: without its log it must fail, undisturbed it must be completed."""
    _ends(bed, ended, why="because")
    with pytest.raises(CellFailed, match=rf"was {ended} where it should have been {needed} \(because\)"):
        run(bed, name)


@pytest.mark.guards("matrix/migrate.py Migrate._go_on: the migration was")
@pytest.mark.parametrize("status", ["paused", "finish-migrate", "postmigrate"])
def test_a_guest_that_stands_still_after_a_migration_that_failed(bed: FakeTestbed, status: str) -> None:
    """Verify: a guest that was not sent away must run."""
    _ends(bed, "failed", why="because")
    bed.qemu.answers["query-status"] = {"status": status}
    with pytest.raises(CellFailed, match=f"the migration was failed, and the guest is {status}"):
        run(bed, CUT)


@pytest.mark.guards("matrix/migrate.py Migrate._dead: a migration without a backend was")
def test_a_migration_that_fails_without_a_backend(bed: FakeTestbed) -> None:
    """Verify: a failure: rings that are stopped write nothing that could be missed."""
    _ends(bed, "failed", why="it has no backend")
    with pytest.raises(CellFailed, match="a migration without a backend was failed"):
        run(bed, "dead:absent@migrate")


@pytest.mark.guards("matrix/migrate.py Migrate._dead: a migration without a backend has ...")
def test_a_migration_that_fails_without_a_word(bed: FakeTestbed) -> None:
    """Verify: it must say why."""
    _ends(bed, "failed")
    with pytest.raises(CellFailed, match="has failed, and QEMU does not say why"):
        run(bed, "dead:crashed@migrate")


@pytest.mark.guards("matrix/migrate.py Migrate._dead: the migration after the recovery was")
def test_a_migration_that_fails_with_a_backend(bed: FakeTestbed) -> None:
    """Verify: what held it up before must not hold it up for ever."""
    _ends(bed, "failed", "failed", why="it has no backend")
    with pytest.raises(CellFailed, match="the migration after the recovery was failed: it has no backend"):
        run(bed, "dead:crashed@migrate")


@pytest.mark.guards("matrix/migrate.py Migrate._under_way waits for the log")
def test_a_migration_without_a_log(bed: FakeTestbed) -> None:
    """Verify: the backend is not killed before it has one."""
    _ends(bed, "completed")
    with pytest.raises(CellFailed, match="for the log"):
        run(bed, "dead:under-way@migrate")


@pytest.mark.guards("matrix/migrate.py Migrate._back waits for probes to be lost")
def test_a_network_that_outlives_its_backend(bed: FakeTestbed) -> None:
    """Verify: something else answers, and the case shows nothing."""
    bed.stub.network = lambda _: None
    with pytest.raises(CellFailed, match="for probes to be lost"):
        run(bed, "dead:crashed@migrate")


@pytest.mark.guards("matrix/matrix_case.py MatrixCase._wait_long waits for the guest to see that its link is down")
def test_a_link_that_the_guest_does_not_see_go_down(bed: FakeTestbed) -> None:
    """Verify: lost probes are not enough."""
    bed.tells_link = False
    bed.qemu.probe.record.links.clear()
    with pytest.raises(CellFailed, match="for the guest to see that its link is down"):
        run(bed, "dead:absent@migrate")


@pytest.mark.guards("matrix/migrate.py Migrate._back waits for the rings to run again")
def test_a_port_that_does_not_come_back(bed: FakeTestbed) -> None:
    """Verify: a failure."""
    bed.stub.started = lambda: None
    with pytest.raises(CellFailed, match="for the rings to run again"):
        run(bed, "dead:crashed@migrate")


@pytest.mark.guards("matrix/migrate.py Migrate._steady waits for probes to be answered again")
def test_a_network_that_stays_dead(bed: FakeTestbed) -> None:
    """Verify: rings that run are not enough."""

    def silent() -> None:
        bed.stub.connect()
        bed.qemu.network = False

    bed.stub.started = silent
    with pytest.raises(CellFailed, match="for probes to be answered again"):
        run(bed, "dead:crashed@migrate")


def test_a_refusal_is_a_failure_of_the_migration(bed: FakeTestbed) -> None:
    """Verify: with the error's words, where that is not what was wanted."""
    bed.qemu.answers["migrate"] = CommandRefused("migration is disabled")

    def rehearse(_: Script) -> None:
        bed.stub.ready()

    bed.stub.react = rehearse
    with pytest.raises(CellFailed, match=r"should have been completed \(migration is disabled\)"):
        run(bed, "rehearse@migrate")
