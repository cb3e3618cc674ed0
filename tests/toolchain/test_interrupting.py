"""Two tasks at once, Ctrl-C, and what was killed: nothing is left running or locked, the next call goes on."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from reconnect.jobs import handover
from reconnect.kit.errors import HostError
from tests.processes import assert_ended
from tests.toolchain.conftest import Tiny
from tests.toolchain.test_building import BUILD, says
from tests.toolchain.world import DEADLINE, Checkout, Gate, Task


@pytest.fixture
def silent_server() -> Iterator[socket.socket]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(DEADLINE)
        yield server


def interrupted(task: Task, sig: int = signal.SIGINT) -> None:
    """Interrupt a task. Verify: 130, said so, and all that it had started has ended."""
    children = task.children()
    assert children
    task.interrupt(sig)
    task.wait().expect(130, "interrupted: everything that was started has been ended")
    assert_ended(p.pid for p in children)


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_during_a_fetch(tiny: Tiny, silent_server: socket.socket, sig: int) -> None:
    tiny.stacks(origins=[f"git://127.0.0.1:{silent_server.getsockname()[1]}/tiny"])
    with tiny.checkout.start("fetch", "--component", "tiny") as task:
        connection, _ = silent_server.accept()
        with connection:
            interrupted(task, sig)
    assert list((tiny.checkout.cache / "git").iterdir()) == []
    tiny.stacks()
    tiny.checkout.run("fetch", "--component", "tiny").expect(0)


def test_a_fetch_that_was_killed_leaves_only_a_partial_which_the_next_replaces(
    tiny: Tiny, silent_server: socket.socket
) -> None:
    tiny.stacks(origins=[f"git://127.0.0.1:{silent_server.getsockname()[1]}/tiny"])
    with tiny.checkout.start("fetch", "--component", "tiny") as task:
        connection, _ = silent_server.accept()
        children = [p.pid for p in task.children()]
    with connection:
        assert_ended(children)
    assert [p.name for p in tiny.checkout.cache.glob("git/*")] == [f".{tiny.base}.git.partial"]
    tiny.stacks()
    tiny.checkout.run("fetch", "--component", "tiny").expect(0)
    assert [p.name for p in tiny.checkout.cache.glob("git/*")] == [f"{tiny.base}.git"]


@pytest.mark.compiler
@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_during_a_compile(tiny: Tiny, gate: Gate, sig: int) -> None:
    """Steps: interrupt a compile; build again. Verify: what had been compiled is kept, no lock is in the way."""
    with tiny.checkout.start(*BUILD, GATE=str(gate.path), RECONNECT_JOBS="1") as task:
        gate.wait_until_reached(task)
        gate.open()  # lets the first file through
        gate.wait_until_reached(task)
        interrupted(task, sig)
    done = tiny.checkout.run(*BUILD).expect(0, "not done yet")
    assert "waiting" not in done.output
    log = tiny.checkout.log("tiny", "baseline")
    assert "CONFIGURED" not in log
    assert len(re.findall("^COMPILE ", log, re.MULTILINE)) == 1
    assert says(tiny.prints("patched")) == "part 2"


@pytest.mark.compiler
def test_a_compile_ends_when_its_task_is_killed(tiny: Tiny, gate: Gate) -> None:
    """Steps: SIGKILL just the task while its compiler runs. Verify: all that it had started ends by itself."""
    with tiny.checkout.start(*BUILD, GATE=str(gate.path)) as task:
        gate.wait_until_reached(task)
        children = [p.pid for p in task.children()]
        assert len(children) >= 2
        task.process.kill()
        task.process.wait()
        assert_ended(children, DEADLINE)
    done = tiny.checkout.run(*BUILD).expect(0)
    assert "waiting" not in done.output


STUBBORN = """#!/bin/sh
trap 'echo x >"$GATE.reached"' TERM
echo x >"$GATE.reached"
while :; do sleep 0.1; done
"""
"""A configure script that notes each SIGTERM and goes on."""


@pytest.mark.compiler
def test_a_child_that_ignores_sigterm_is_killed_though_ctrl_c_comes_twice(tiny: Tiny, gate: Gate) -> None:
    """An impatient user presses again while the child still has its seconds to end by itself.

    Steps: press Ctrl-C during configure; when that has noted its SIGTERM, press again. Verify: 130, and it has ended.
    """
    tiny.repo.commit({"configure": STUBBORN}, "configure: never end")
    tiny.stacks(commit=tiny.repo.head)
    with tiny.checkout.start(*BUILD, GATE=str(gate.path)) as task:
        gate.wait_until_reached(task)
        children = [p.pid for p in task.children()]
        assert children
        task.interrupt()
        gate.wait_until_reached(task)
        task.interrupt()
        task.wait().expect(130)
        assert_ended(children)


@pytest.mark.compiler
def test_two_builds_at_once(tiny: Tiny, gate: Gate) -> None:
    """Steps: hold one build in its compile; start a second; let the first go on.

    Verify: the second says for whom it waits, both end with 0, and the second had nothing to do.
    """
    with tiny.checkout.start(*BUILD, GATE=str(gate.path)) as first:
        gate.wait_until_reached(first)
        with tiny.checkout.start(*BUILD) as second:
            second.wait_for_output(f"waiting for process {first.process.pid} (build tiny)")
            for _ in range(3):  # main.c and part.c of the baseline, part.c of the patched
                gate.open()
            first.wait().expect(0)
            done = second.wait().expect(0)
    assert done.output.count("up to date") == 2


@pytest.mark.compiler
def test_ctrl_c_while_waiting_for_another_build(tiny: Tiny, gate: Gate) -> None:
    with tiny.checkout.start(*BUILD, GATE=str(gate.path)) as first:
        gate.wait_until_reached(first)
        with tiny.checkout.start(*BUILD) as second:
            second.wait_for_output("waiting for process")
            second.interrupt()
            second.wait().expect(130)
        assert first.process.poll() is None
        interrupted(first)


def test_two_fetches_at_once(tiny: Tiny, silent_server: socket.socket) -> None:
    """Two checkouts may share a cache. Steps: hold one fetch; start a second; end the first.

    Verify: the second says for whom it waits, then fetches.
    """
    tiny.stacks(origins=[f"git://127.0.0.1:{silent_server.getsockname()[1]}/tiny"])
    with tiny.checkout.start("fetch", "--component", "tiny") as first:
        connection, _ = silent_server.accept()
        tiny.stacks()
        with connection, tiny.checkout.start("fetch", "--component", "tiny") as second:
            second.wait_for_output(f"waiting for process {first.process.pid} (fetch tiny)")
            interrupted(first)
            second.wait().expect(0, f"from {tiny.repo.url}")


@pytest.mark.compiler
def test_a_build_that_was_killed_goes_on(tiny: Tiny, gate: Gate) -> None:
    """Steps: SIGKILL a build and its children while it compiles; build again. Verify: 0, and nothing waited for."""
    with tiny.checkout.start(*BUILD, GATE=str(gate.path)) as task:
        gate.wait_until_reached(task)
    done = tiny.checkout.run(*BUILD).expect(0)
    assert "waiting" not in done.output
    assert says(tiny.prints("baseline")) == "part 1"


@pytest.mark.compiler
def test_clean_waits_for_a_build_and_a_build_for_clean(tiny: Tiny, gate: Gate) -> None:
    """Steps: hold a build; start a clean; let the build go on; build again. Verify: all end with 0, in that order."""
    with tiny.checkout.start(*BUILD, GATE=str(gate.path)) as build:
        gate.wait_until_reached(build)
        with tiny.checkout.start("clean") as clean:
            clean.wait_for_output(f"waiting for process {build.process.pid} (build tiny)")
            for _ in range(3):
                gate.open()
            build.wait().expect(0)
            clean.wait().expect(0)
    assert not tiny.prints("patched").exists()
    tiny.checkout.run(*BUILD).expect(0, "not done yet")


HOLD = """
import os
import subprocess

def test_hold() -> None:
    child = subprocess.Popen(["sleep", "600"])
    try:
        with open(os.environ["GATE"] + ".reached", "w") as gate:
            gate.write("x\\n")
        child.wait()
    finally:
        child.kill()
        child.wait()
"""
"""A test that starts a program, says so, and ends it when it is interrupted."""


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_during_the_checks(checkout: Checkout, gate: Gate, sig: int) -> None:
    """Steps: interrupt just the task ``test`` while a test runs a program. Verify: 130, and nothing runs on."""
    (checkout.root / "test_hold.py").write_text(HOLD)
    with checkout.start("test", "--only", "test_hold.py", GATE=str(gate.path)) as task:
        gate.wait_until_reached(task)
        interrupted(task, sig)


def test_the_checks_end_when_their_task_is_killed(checkout: Checkout, gate: Gate) -> None:
    (checkout.root / "test_hold.py").write_text(HOLD)
    with checkout.start("test", "--only", "test_hold.py", GATE=str(gate.path)) as task:
        gate.wait_until_reached(task)
        children = [p.pid for p in task.children()]
        assert len(children) >= 2
        task.process.kill()
        task.process.wait()
        assert_ended(children, DEADLINE)


@pytest.mark.compiler
def test_clean_waits_for_running_cells(tiny: Tiny) -> None:
    """Steps: build; start a clean while cells run; let them end. Verify: nothing is removed before."""
    tiny.checkout.run(*BUILD).expect(0)
    workspace = tiny.checkout.workspace
    results = workspace.results / "run"
    results.mkdir(parents=True)
    with handover.in_use(workspace, ["tiny"]):
        with tiny.checkout.start("clean") as task:
            task.wait_for_output(f"waiting for process {os.getpid()} (running cells), which holds {workspace.build}")
            assert says(tiny.prints("patched")) == "part 2"
            assert results.exists()
            task.interrupt()
            task.wait().expect(130)
        with tiny.checkout.start("clean") as task:
            task.wait_for_output("waiting for process")
            # Whoever builds meanwhile isn't kept waiting by a clean that waits itself.
            tiny.checkout.run("build", "--component", "other").expect(0)
    tiny.checkout.run("clean").expect(0)
    assert not tiny.prints("patched").exists()
    assert not results.exists()


@pytest.mark.compiler
def test_a_build_that_is_finished_waits_for_running_cells(tiny: Tiny) -> None:
    """Steps: build; change a patch; build while cells run. Verify: they keep their program until they have ended."""
    tiny.checkout.run(*BUILD).expect(0)
    mail = tiny.checkout.patches / "tiny" / tiny.names[1]
    mail.write_text(mail.read_text().replace("+\treturn 2;", "+\treturn 3;"))
    workspace = tiny.checkout.workspace
    with ExitStack() as run:
        run.enter_context(handover.in_use(workspace, ["tiny"]))
        with tiny.checkout.start(*BUILD) as task:
            task.wait_for_output(f"waiting for process {os.getpid()} (running cells), which holds {workspace.build}")
            assert says(tiny.prints("patched")) == "part 2"
            run.close()
            task.wait().expect(0)
    assert says(tiny.prints("patched")) == "part 3"


def test_what_was_removed_before_a_run_held_it_is_named(tiny: Tiny) -> None:
    with (
        pytest.raises(HostError, match="bin/tiny"),
        handover.in_use(tiny.checkout.workspace, ["tiny"], needs=[tiny.prints("patched")]),
    ):
        pytest.fail("the cells would run")
