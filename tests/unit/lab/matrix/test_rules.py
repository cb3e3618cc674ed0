"""The protocol's rules are judged over the whole of a case, whatever incarnation of the stub heard them broken."""

from __future__ import annotations

import pytest

from reconnect.lab.matrix.matrix_case import NotSent
from reconnect.lab.process.failure import CellFailed
from reconnect.lab.stub.script import Script
from tests.unit.lab.fakes import FakeTestbed
from tests.unit.lab.matrix.conftest import run


@pytest.mark.guards("matrix/matrix_case.py MatrixCase._check_rules: QEMU broke a rule of the protocol:")
@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("plug:default@hot-plug", "device_add"),
        ("unplug:away@hot-plug", "device_add"),
        ("unplug:away@hot-plug", "device_del"),
        ("unplug:connected@hot-plug", "device_del"),
        ("unplug:closing@hot-plug", "netdev_del"),
        ("dead:crashed@migrate", "migrate"),
        ("dead:absent@migrate", "migrate"),
        ("dead:under-way@migrate", "migrate"),
    ],
)
def test_a_rule_that_is_broken_on_the_way_fails_the_case(testbed: FakeTestbed, name: str, command: str) -> None:
    """Steps: a case that kills the backend or gives it a script; a rule is broken before or after that.

    Verify: the case, which passes without it, fails with the rule's words.
    """
    testbed.hot_plug()
    run(testbed, name)
    answer = testbed.qemu.answers.get(command, {})

    def violate(**words: object) -> object:
        testbed.qemu.answers[command] = answer
        testbed.stub.violate(f"at {command}")
        found = answer(**words) if callable(answer) else answer
        if isinstance(found, Exception):
            raise found
        return found

    testbed.qemu.answers[command] = violate
    with pytest.raises(CellFailed, match=f"QEMU broke a rule of the protocol: at {command}"):
        run(testbed, name)


@pytest.mark.guards("matrix/matrix_case.py MatrixCase._check_rules: QEMU broke a rule of the protocol:")
@pytest.mark.parametrize("kind", ["violation", "fault"])
def test_what_comes_after_a_case_counts_for_the_next_one(testbed: FakeTestbed, kind: str) -> None:
    """Verify: between two cases nothing is lost, and nothing counts twice."""
    run(testbed, "rehearse@set-link")
    testbed.stub.say(kind, what="too late")
    with pytest.raises(CellFailed, match="too late"):
        run(testbed, "rehearse@set-link")
    run(testbed, "rehearse@set-link")


@pytest.mark.guards("matrix/matrix_case.py MatrixCase._check_rules: QEMU broke a rule of the protocol:")
def test_a_case_with_nothing_to_show_is_judged_too(testbed: FakeTestbed) -> None:
    """Verify: a broken rule is no skip; without one it is."""

    def send_nothing(script: Script) -> None:
        testbed.stub.hang_up()
        testbed.stub.connect()

    testbed.stub.react = send_nothing
    with pytest.raises(NotSent):
        run(testbed, "cut:SEND_RARP:after-read@reconnect")
    testbed.stub.violate("a second SET_OWNER")
    with pytest.raises(CellFailed, match="a second SET_OWNER"):
        run(testbed, "cut:SEND_RARP:after-read@reconnect")


@pytest.mark.parametrize("phase", ["startup", "boot", "quit"])
def test_what_qemu_says_as_it_quits_is_judged(testbed: FakeTestbed, phase: str) -> None:
    """Verify: a rule that is broken at the very end fails the case."""
    hang_up = testbed.qemu.at_quit

    def end() -> None:
        testbed.stub.violate("the last words")
        hang_up()

    testbed.qemu.at_quit = end
    with pytest.raises(CellFailed, match="the last words"):
        run(testbed, f"rehearse@{phase}")
