"""QEMUs of their own: they start, boot and quit, or do not."""

from __future__ import annotations

import pytest

from reconnect.kit.deadline import Deadline
from reconnect.lab.matrix.fresh import BOOTED
from reconnect.lab.matrix.matrix_case import NotSent
from reconnect.lab.process.failure import CellError, CellFailed
from tests.unit.lab.fakes import FakeTestbed
from tests.unit.lab.matrix.conftest import run

CUT = "cut:SET_OWNER:after-read@startup"


@pytest.mark.parametrize("name", [CUT, "rehearse@startup", "rehearse@boot", "away@boot", "rehearse@quit"])
def test_a_good_qemu_passes(testbed: FakeTestbed, name: str) -> None:
    """Verify: no guard speaks where all is well."""
    testbed.qemu.arguments.console.write_text(f"{BOOTED} 192.0.2.1\n", encoding="utf-8")
    run(testbed, name)


@pytest.mark.guards("matrix/fresh.py Startup._carry_out waits for QEMU to greet its backend to the end")
def test_a_handshake_that_does_not_end(testbed: FakeTestbed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify: a failure, though the monitor answers."""
    monkeypatch.setattr(testbed, "power_on", lambda *_: testbed.stub.hang_up())
    with pytest.raises(CellFailed, match="for QEMU to greet its backend to the end"):
        run(testbed, "rehearse@startup")


@pytest.mark.guards("matrix/fresh.py Startup._carry_out waits for QEMU to greet its backend to the end#2")
def test_a_handshake_that_is_cut_late_and_not_made_again(testbed: FakeTestbed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps: the message comes after what ends a handshake; QEMU does not connect again.

    Verify: a failure.
    """
    testbed.stub.react = lambda _: None

    def late(_: Deadline) -> None:
        testbed.stub.say("triggered")
        testbed.stub.hang_up()

    monkeypatch.setattr(testbed.waiter, "sleep", late)
    with pytest.raises(CellFailed, match="for QEMU to greet its backend to the end"):
        run(testbed, "cut:SET_VRING_ERR#2:after-read@startup")


@pytest.mark.parametrize("name", ["cut:SEND_RARP:after-read@startup", "cut:SEND_RARP:after-read@quit"])
def test_a_message_that_is_not_sent(testbed: FakeTestbed, name: str) -> None:
    """Verify: a skip."""
    testbed.stub.react = lambda _: None
    with pytest.raises(NotSent, match="QEMU does not send SEND_RARP"):
        run(testbed, name)


@pytest.mark.guards("matrix/fresh.py Boot._carry_out waits for the guest to boot without its backend")
def test_a_guest_that_does_not_boot_without_its_backend(testbed: FakeTestbed) -> None:
    """Verify: an error: nothing was seen of what the case is for."""
    with pytest.raises(CellError, match="for the guest to boot without its backend"):
        run(testbed, "away@boot")


@pytest.mark.guards("matrix/fresh.py Boot._carry_out waits for the rings to run")
def test_rings_that_a_boot_does_not_start(testbed: FakeTestbed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify: a failure."""
    monkeypatch.setattr(testbed, "power_on", lambda *_: testbed.stub.hang_up())
    with pytest.raises(CellFailed, match="for the rings to run"):
        run(testbed, "rehearse@boot")


@pytest.mark.guards("matrix/fresh.py Boot._carry_out waits for probes to be answered")
def test_a_guest_whose_network_is_dead(testbed: FakeTestbed) -> None:
    """Verify: rings that run are not enough."""
    testbed.stub.network = lambda _: None
    testbed.qemu.network = False
    with pytest.raises(CellFailed, match="for probes to be answered"):
        run(testbed, "rehearse@boot")


@pytest.mark.guards("matrix/fresh.py _Fresh._quit waits for the stub to see the end of its connections")
def test_a_connection_that_outlives_its_qemu(testbed: FakeTestbed) -> None:
    """Verify: an error; where the rule lets the stub read nothing more it sees no end, and that is none."""
    testbed.qemu.at_quit = lambda: testbed.stub.say("triggered")
    with pytest.raises(CellError, match="for the stub to see the end of its connections"):
        run(testbed, "rehearse@quit")
    run(testbed, "hang:GET_VRING_BASE:stall@quit")
