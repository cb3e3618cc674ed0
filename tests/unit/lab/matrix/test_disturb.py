"""A case at a running guest: what QEMU leaves undone, and what it does too much."""

from __future__ import annotations

import pytest

from reconnect.lab.matrix.matrix_case import FLOOD, LINES, SPIN_CONNECTIONS, NotSent
from reconnect.lab.process.failure import CellError, CellFailed
from reconnect.lab.stub.script import Script
from tests.unit.lab.fakes import FakeTestbed
from tests.unit.lab.matrix.conftest import run

CUT = "cut:SET_MEM_TABLE:after-read@reconnect"
REHEARSE = "rehearse@reconnect"


@pytest.mark.parametrize(
    "name",
    [
        *(CUT, REHEARSE, "rehearse@set-link", "rehearse@stop-cont", "rehearse@reboot"),
        *("lie:GET_FEATURES:wrong-size@reconnect", "gone:CONNECT:stall@reconnect", "hang:CONNECT:stall@reconnect"),
        *("late:GET_VRING_BASE:delay=12000@set-link", "late:SET_MEM_TABLE:delay=12000@reconnect"),
        "spin:GET_QUEUE_NUM:answer=0@any@reconnect",
    ],
)
def test_a_good_qemu_passes(testbed: FakeTestbed, name: str) -> None:
    """Verify: no guard speaks where all is well."""
    run(testbed, name)


@pytest.mark.guards("matrix/disturb.py Disturb._triggered waits for QEMU to send the message")
@pytest.mark.guards("matrix/matrix_case.py MatrixCase._wait waits for {what}")
@pytest.mark.guards("matrix/matrix_case.py MatrixCase._wait: {f'{failed.what} ({self._story()})'}")
def test_a_message_that_never_comes(testbed: FakeTestbed) -> None:
    """Steps: QEMU does not come back when it was hung up.

    Verify: a failure that tells how far it came.
    """
    testbed.stub.react = lambda _: testbed.stub.hang_up()
    story = r"\(the rule was not carried out, 0 connections since, no message\)"
    with pytest.raises(CellFailed, match=f"for QEMU to send the message {story}"):
        run(testbed, CUT)


@pytest.mark.guards("matrix/matrix_case.py MatrixCase._must_have_triggered: QEMU does not send")
def test_a_message_that_is_not_sent_here(testbed: FakeTestbed) -> None:
    """Steps: QEMU comes back without the message, and the guest's probes go on.

    Verify: a skip that names the message.
    """
    testbed.stub.react = lambda _: testbed.stub.connect()
    with pytest.raises(NotSent, match=r"QEMU does not send SEND_RARP \(1\) at this phase"):
        run(testbed, "cut:SEND_RARP:after-read@reconnect")


@pytest.mark.guards("matrix/disturb.py Disturb._triggered waits for probes to be answered")
def test_rings_that_run_and_carry_nothing(testbed: FakeTestbed) -> None:
    """Steps: QEMU comes back without the message; no probe is answered.

    Verify: that is no skip.
    """

    def silent(_: Script) -> None:
        testbed.stub.connect()
        testbed.qemu.network = False

    testbed.stub.react = silent
    with pytest.raises(CellFailed, match="for probes to be answered"):
        run(testbed, CUT)


@pytest.mark.guards("matrix/disturb.py Disturb._carry_out waits for the rings to run again")
@pytest.mark.parametrize("closed", [False, True])
def test_rings_that_do_not_run_again(testbed: FakeTestbed, closed: bool) -> None:
    """Steps: the rule is carried out, and QEMU stays away, or comes back on a connection that ends.

    Verify: a failure that counts the connections.
    """

    def cut(_: Script) -> None:
        testbed.stub.say("triggered")
        if closed:
            testbed.stub.connect()
        testbed.stub.hang_up()

    testbed.stub.react = cut
    with pytest.raises(CellFailed, match=rf"for the rings to run again \(.*carried out, {int(closed)} connections"):
        run(testbed, CUT)


@pytest.mark.guards("matrix/disturb.py Disturb._carry_out waits for probes to be answered again")
def test_a_network_that_does_not_come_back(testbed: FakeTestbed) -> None:
    """Verify: rings that run are not enough."""

    def silent(script: Script) -> None:
        testbed.stub.good(script)
        testbed.qemu.network = False

    testbed.stub.react = silent
    with pytest.raises(CellFailed, match="for probes to be answered again"):
        run(testbed, CUT)


@pytest.mark.guards("matrix/disturb.py Disturb._check_coverage: QEMU sends what no case cuts:")
def test_a_message_that_nothing_cuts(testbed: FakeTestbed) -> None:
    """Verify: a rehearsal names it; other cases don't look."""

    def more(script: Script) -> None:
        testbed.stub.good(script)
        testbed.stub.say("message", name="SEND_RARP", connection=2)

    testbed.stub.react = more
    with pytest.raises(CellFailed, match="QEMU sends what no case cuts: SEND_RARP"):
        run(testbed, REHEARSE)
    run(testbed, CUT)


@pytest.mark.guards("matrix/matrix_case.py MatrixCase._before waits for probes to be answered before the case")
@pytest.mark.guards("matrix/testbed.py Testbed.wait_steady waits for {what}")
def test_a_guest_that_is_dead_before_the_case(testbed: FakeTestbed) -> None:
    """Verify: an error, as it says nothing of the case."""
    testbed.qemu.network = False
    with pytest.raises(CellError, match="for probes to be answered before the case"):
        run(testbed, REHEARSE)


@pytest.mark.guards("matrix/matrix_case.py MatrixCase._restore: QEMU spins:")
def test_a_qemu_that_spins(testbed: FakeTestbed) -> None:
    """Steps: a backend that is no good on each connection.

    Verify: one connection too many is a failure with their number.
    """

    def spin(script: Script) -> None:
        testbed.stub.good(script)
        if script.rules:
            for _ in range(SPIN_CONNECTIONS):
                testbed.stub.try_in_vain()

    testbed.stub.react = spin
    with pytest.raises(CellFailed, match=f"QEMU spins: {SPIN_CONNECTIONS + 1} connections in"):
        run(testbed, "spin:GET_QUEUE_NUM:answer=0@any@reconnect")


@pytest.mark.guards("matrix/matrix_case.py MatrixCase._check_connections: QEMU made")
@pytest.mark.parametrize(("name", "most"), [(CUT, 2), (REHEARSE, 1)])
def test_a_connection_too_many(testbed: FakeTestbed, name: str, most: int) -> None:
    """Verify: a failure with the number, and what would have done."""

    def again(script: Script) -> None:
        testbed.stub.good(script)
        for _ in range(most):
            testbed.stub.hang_up()
            testbed.stub.connect()

    testbed.stub.react = again
    with pytest.raises(CellFailed, match=f"QEMU made {most + 1} connections where {most} would do"):
        run(testbed, name)


@pytest.mark.guards("matrix/matrix_case.py MatrixCase._check_health: QEMU's monitor says that the guest is ...")
@pytest.mark.parametrize("status", [{"status": "paused"}, {}, "nonsense"])
def test_a_guest_that_does_not_run(testbed: FakeTestbed, status: object) -> None:
    """Verify: whatever the monitor says that is not "running"."""
    testbed.qemu.answers["query-status"] = status
    with pytest.raises(CellFailed, match="the guest is not running"):
        run(testbed, REHEARSE)


@pytest.mark.guards("matrix/matrix_case.py MatrixCase._check_log: QEMU wrote")
def test_a_log_that_floods(testbed: FakeTestbed) -> None:
    """Verify: what was there before does not count; one line more than allowed does."""
    testbed.qemu.log.write_text("old\n" * 1000, encoding="utf-8")
    most = FLOOD + LINES

    def flood(script: Script, lines: int) -> None:
        testbed.stub.good(script)
        with testbed.qemu.log.open("a", encoding="utf-8") as log:
            log.write("qemu: it is gone\n" * lines)

    testbed.stub.react = lambda script: flood(script, most)
    run(testbed, REHEARSE)
    testbed.stub.react = lambda script: flood(script, most + 1)
    with pytest.raises(CellFailed, match=f"QEMU wrote {most + 1} lines to its log"):
        run(testbed, REHEARSE)


@pytest.mark.guards("matrix/matrix_case.py MatrixCase._check_console: the guest complains:")
@pytest.mark.parametrize("line", ["virtio_net: id 7 is not a head!", "BUG: soft lockup", "Call Trace:"])
def test_a_guest_that_complains(testbed: FakeTestbed, line: str) -> None:
    """Verify: the line; one of an earlier case does not count again."""

    def complain(script: Script) -> None:
        testbed.stub.good(script)
        testbed.qemu.arguments.console.write_text(f"all is well\n{line}\n", encoding="utf-8")

    testbed.stub.react = complain
    with pytest.raises(CellFailed, match=f"the guest complains: .*{line.rsplit(maxsplit=1)[-1]}"):
        run(testbed, REHEARSE)
    testbed.stub.react = testbed.stub.good
    run(testbed, REHEARSE)
