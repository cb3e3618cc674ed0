"""Phases in which the guest has a part: two queue pairs, another driver, and a backend that hangs meanwhile."""

from __future__ import annotations

import signal

import pytest

from reconnect.lab.matrix import wedge
from reconnect.lab.matrix.matrix_case import NotHere
from reconnect.lab.matrix.wedge import CONNECTED
from reconnect.lab.process.failure import CellError, CellFailed
from reconnect.lab.qemu.qmp import CommandRefused
from reconnect.lab.stub.protocol import Feature
from reconnect.lab.stub.script import Script
from tests.unit.lab.fakes import FakeTestbed
from tests.unit.lab.matrix.conftest import run

WEDGE = "wedge:commands@reconnect"


def _bits(word: int) -> str:
    """As the guest's kernel tells features: bit 0 first."""
    return f"{word:b}"[::-1]


@pytest.mark.guards("matrix/queues.py Queues._carry_out: QEMU started the rings")
def test_a_pair_that_is_not_started(testbed: FakeTestbed) -> None:
    """Verify: all four rings, on the connection that counts; two are a failure though probes are answered."""
    run(testbed, "rehearse@queues")

    def half(_: Script) -> None:
        testbed.stub.hang_up()
        testbed.stub.connect(rings=2)

    testbed.stub.react = half
    with pytest.raises(CellFailed, match=r"QEMU started the rings \[0, 1\] instead of all four"):
        run(testbed, "rehearse@queues")


@pytest.fixture
def unload(testbed: FakeTestbed) -> FakeTestbed:
    """A guest whose driver can be exchanged, and that accepts what QEMU tells the backend."""

    def loaded(_: Script) -> None:
        testbed.stub.hang_up()
        testbed.stub.connect()

    testbed.stub.react = loaded
    return testbed


@pytest.mark.parametrize("name", ["rehearse@unload", "away@unload"])
def test_a_good_qemu_passes(unload: FakeTestbed, name: str) -> None:
    """Verify: no guard speaks where all is well."""
    run(unload, name) if name != "rehearse@unload" else run_rehearsal(unload)


def run_rehearsal(unload: FakeTestbed) -> None:
    """The rings run again without a new connection."""
    unload.stub.react = lambda _: unload.stub.ready()
    run(unload, "rehearse@unload")


@pytest.mark.guards("matrix/unload.py Unload._away: the guest's driver still speaks virtio ...")
def test_a_driver_that_was_not_exchanged(unload: FakeTestbed) -> None:
    """Verify: an error: the guest did not do its part."""
    unload.stub.told = 1 << Feature.VERSION_1
    unload.said["features"] = _bits(1 << Feature.VERSION_1)
    with pytest.raises(CellError, match="the guest's driver still speaks virtio 1"):
        run(unload, "away@unload")


@pytest.mark.guards("matrix/unload.py Unload._check_features: the guest's features are")
@pytest.mark.parametrize("bit", [Feature.VERSION_1, Feature.NET_MRG_RXBUF, Feature.RING_INDIRECT_DESC])
def test_features_of_a_driver_that_is_gone(unload: FakeTestbed, bit: Feature) -> None:
    """Verify: each bit that the backend goes by counts, both ways."""
    unload.stub.told = 1 << bit
    with pytest.raises(CellFailed, match=rf"the guest's features are 0x1, .* told {1 << bit:#x}: {bit.name}"):
        run(unload, "away@unload")
    unload.stub.told, unload.said["features"] = 1, _bits(1 << bit)
    with pytest.raises(CellFailed, match=rf"told 0x1: {bit.name}"):
        run(unload, "away@unload")


@pytest.mark.guards("matrix/unload.py Unload._steady_again waits for the rings to run again")
def test_rings_that_stay_off_after_the_driver_was_loaded(unload: FakeTestbed) -> None:
    """Verify: a failure."""
    unload.stub.react = lambda _: unload.stub.hang_up()
    with pytest.raises(CellFailed, match="for the rings to run again"):
        run(unload, "away@unload")


@pytest.mark.guards("matrix/unload.py Unload._steady_again waits for probes to be answered again")
def test_a_network_that_is_dead_with_the_other_driver(unload: FakeTestbed) -> None:
    """Verify: a failure."""

    def silent(_: Script) -> None:
        unload.stub.connect()
        unload.qemu.network = False

    unload.stub.react = silent
    with pytest.raises(CellFailed, match="for probes to be answered again"):
        run(unload, "away@unload")


class _Watch:
    """What QEMU does at a socket whose owner hangs."""

    connected: float | None = 1.0
    accepted: float | None = None

    def __init__(self, *_: object) -> None:
        pass

    def close(self) -> None:
        """There is nothing to close."""


@pytest.fixture
def hanging(testbed: FakeTestbed, monkeypatch: pytest.MonkeyPatch) -> FakeTestbed:
    """A stub that is stopped when it has hung up, and a QEMU that does all right."""
    monkeypatch.setattr(wedge, "SocketWatch", _Watch)
    testbed.stub.react = lambda _: testbed.stub.hang_up()
    testbed.stub.signalled = lambda number: testbed.stub.connect() if number == signal.SIGCONT else None
    return testbed


@pytest.mark.parametrize("name", [WEDGE, "wedge:reboot@reconnect"])
def test_a_good_qemu_passes_a_backend_that_hangs(hanging: FakeTestbed, name: str) -> None:
    """Verify: no guard speaks where all is well."""
    assert run(hanging, name).connections == 1


@pytest.mark.guards("matrix/wedge.py Wedge._carry_out: QEMU listens: it does not connect to a ...")
def test_a_qemu_that_listens_connects_to_none(server: FakeTestbed) -> None:
    """Verify: a skip with its reason."""
    with pytest.raises(NotHere, match="QEMU listens"):
        run(server, WEDGE)


@pytest.mark.guards("matrix/wedge.py Wedge._while_it_hangs waits for the stub to hang up")
def test_a_stub_that_does_not_hang_up(hanging: FakeTestbed) -> None:
    """Verify: an error."""
    hanging.stub.react = lambda _: None
    with pytest.raises(CellError, match="for the stub to hang up"):
        run(hanging, WEDGE)


@pytest.mark.guards("matrix/wedge.py Wedge._while_it_hangs waits for QEMU to connect to a backend that hangs")
def test_a_qemu_that_does_not_connect(hanging: FakeTestbed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify: a failure; the stub is not left stopped."""
    signals: list[signal.Signals] = []
    hanging.stub.signalled = signals.append
    monkeypatch.setattr(_Watch, "connected", None)
    with pytest.raises(CellFailed, match="for QEMU to connect to a backend that hangs"):
        run(hanging, WEDGE)
    assert signals == [signal.SIGSTOP, signal.SIGCONT]


@pytest.mark.guards("matrix/wedge.py Wedge._while_it_hangs: the backend accepted a connection before ...")
def test_a_stub_that_was_stopped_too_late(hanging: FakeTestbed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify: an error: QEMU had its answer."""
    monkeypatch.setattr(_Watch, "accepted", 2.0)
    with pytest.raises(CellError, match="accepted a connection before it could be stopped"):
        run(hanging, WEDGE)


@pytest.mark.guards("matrix/wedge.py Wedge._act: QEMU sent")
def test_a_connection_that_is_announced_too_early(hanging: FakeTestbed) -> None:
    """Verify: the event is one of a backend that has answered; what came before the hang does not count."""
    hanging.qemu.told = [{"event": CONNECTED}]
    run(hanging, WEDGE)

    def announce(**_: object) -> object:
        hanging.qemu.told.append({"event": CONNECTED})
        return {}

    hanging.qemu.answers["stop"] = announce
    with pytest.raises(CellFailed, match=f"QEMU sent {CONNECTED} before its backend had answered"):
        run(hanging, WEDGE)


@pytest.mark.guards("matrix/wedge.py Wedge._must_migrate: QEMU refused a migration before its ...")
def test_a_migration_without_an_answer(hanging: FakeTestbed) -> None:
    """Verify: it must not be refused."""
    hanging.qemu.answers["migrate"] = CommandRefused("its backend is away")
    with pytest.raises(
        CellFailed, match="QEMU refused a migration before its backend had answered: its backend is away"
    ):
        run(hanging, WEDGE)


@pytest.mark.guards("matrix/wedge.py Wedge._carry_out waits for the rings to run again")
def test_rings_that_stay_off_after_the_hang(hanging: FakeTestbed) -> None:
    """Verify: a failure."""
    hanging.stub.signalled = lambda _: None
    with pytest.raises(CellFailed, match="for the rings to run again"):
        run(hanging, WEDGE)


@pytest.mark.guards("matrix/wedge.py Wedge._carry_out waits for probes to be answered again")
def test_a_network_that_is_dead_after_the_hang(hanging: FakeTestbed) -> None:
    """Verify: a failure."""

    def silent(number: signal.Signals) -> None:
        if number == signal.SIGCONT:
            hanging.stub.connect()
            hanging.qemu.network = False

    hanging.stub.signalled = silent
    with pytest.raises(CellFailed, match="for probes to be answered again"):
        run(hanging, WEDGE)


@pytest.mark.guards("matrix/wedge.py Wedge._check_question: QEMU sent")
def test_a_backend_that_was_sent_more_than_a_question(hanging: FakeTestbed) -> None:
    """Verify: what had piled up when the backend went on is told."""

    def impatient(number: signal.Signals) -> None:
        if number == signal.SIGCONT:
            hanging.stub.say("message", name="GET_FEATURES")
            hanging.stub.say("message", name="SET_OWNER")
            hanging.stub.connect()

    hanging.stub.signalled = impatient
    with pytest.raises(CellFailed, match=r"QEMU sent GET_FEATURES, SET_OWNER, .* instead of one question"):
        run(hanging, WEDGE)
