"""All cases of a call, on testbeds of our own: which results they come to, and which testbed serves which."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from reconnect.lab.cell import Cell
from reconnect.lab.matrix import hotplug, runner
from reconnect.lab.matrix.cases import Case
from reconnect.lab.matrix.runner import run_matrix
from reconnect.report.results import CellResult
from tests.unit.lab.fakes import OPTIONS, FakeTestbed

BINARIES = cast("Any", SimpleNamespace(patched=None, baseline=None))


class Testbeds:
    """Makes testbeds, and remembers them.

    :ivar prepare: what is done to each new one.
    """

    __test__ = False

    def __init__(self) -> None:
        self.made: list[FakeTestbed] = []
        self.prepare: Callable[[FakeTestbed], None] = lambda _: None

    def __call__(self, scheme: object, qemu: object, guest: object, folder: Path, *_: object) -> FakeTestbed:
        testbed = FakeTestbed(folder)
        self.prepare(testbed)
        self.made.append(testbed)
        return testbed


@pytest.fixture
def testbeds(monkeypatch: pytest.MonkeyPatch) -> Testbeds:
    """The runner's testbeds are ours."""
    made = Testbeds()
    monkeypatch.setattr(runner, "Testbed", made)
    return made


def _run(folder: Path, *names: str) -> list[CellResult]:
    cells = [Cell("default", "stub", Case.parse(name).name) for name in names]
    return list(run_matrix(cells, BINARIES, cast("Any", None), folder, OPTIONS))


def test_one_testbed_serves_until_something_goes_wrong(testbeds: Testbeds, tmp_path: Path) -> None:
    """Steps: a case that passes, one that is skipped, one that fails, one that passes.

    Verify: the first three have the same testbed, the fourth has a new one; the failure's folder tells of it.
    """

    def react(testbed: FakeTestbed) -> None:
        def some(script: Any) -> None:
            rule = script.rules[0].message if script.rules else ""
            if rule == "SEND_RARP":
                testbed.stub.connect()
            elif rule == "SET_OWNER":
                testbed.stub.hang_up()
            else:
                testbed.stub.good(script)

        testbed.stub.react = some

    testbeds.prepare = react
    names = ["rehearse@reconnect", "cut:SEND_RARP:after-read@reconnect", "cut:SET_OWNER:after-read@reconnect"]
    results = _run(tmp_path, *names, "rehearse@reconnect")
    assert [result.verdict for result in results] == ["pass", "skip", "fail", "pass"]
    assert [result.why for result in results][1::2] == ["QEMU does not send SEND_RARP (1) at this phase", ""]
    assert len(testbeds.made) == 2
    assert results[0].qemu is not None
    story = (tmp_path / "default-stub-cut-SET-OWNER-after-read-reconnect-1" / "failure.txt").read_text("utf-8")
    assert "for QEMU to send the message" in story
    assert "'event': 'closed'" in story
    assert str(testbeds.made[0].folder) in story


def test_a_qemu_that_has_quit_serves_no_other_case(testbeds: Testbeds, tmp_path: Path) -> None:
    """Verify: each of them has a testbed of its own."""
    results = _run(tmp_path, "rehearse@quit", "cut:GET_VRING_BASE:after-read@quit")
    assert [result.verdict for result in results] == ["pass", "pass"]
    assert len(testbeds.made) == 2


@pytest.mark.guards("matrix/runner.py _Runner._testbed_for waits for the guest to boot")
def test_a_guest_that_does_not_boot(testbeds: Testbeds, tmp_path: Path) -> None:
    """Verify: an error of the case at hand; the next one has another testbed."""

    def first_is_dead(testbed: FakeTestbed) -> None:
        testbed.qemu.agent.ready = bool(testbeds.made)

    testbeds.prepare = first_is_dead
    first, second = _run(tmp_path, "rehearse@reconnect", "rehearse@reconnect")
    assert (first.verdict, second.verdict) == ("error", "pass")
    assert first.why.endswith("for the guest to boot")


@pytest.mark.guards("matrix/runner.py _Runner._testbed_for waits for the guest's probes to be answered")
def test_a_guest_that_boots_without_a_network(
    testbeds: Testbeds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verify: an error; where the card comes later there is no network to wait for."""

    def silent(testbed: FakeTestbed) -> None:
        testbed.stub.network = lambda _: None
        testbed.qemu.network = False

    monkeypatch.setattr(hotplug, "GUEST_SECONDS", OPTIONS.recovery)
    testbeds.prepare = silent
    (result,) = _run(tmp_path, "rehearse@reconnect")
    assert result.verdict == "error"
    assert result.why.endswith("for the guest's probes to be answered")
    (result,) = _run(tmp_path, "plug:default@hot-plug")
    assert "for probes to be answered on the card" in result.why
