"""The README's first command, as a user calls it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest

from reconnect.lab.schemes import SCHEMES
from reconnect.project.config import Config
from reconnect.project.workspace import Workspace
from reconnect.report.results import FILE, json_schema, load
from reconnect.toolchain.fetching import reachable

FIRST_BUILD_SECONDS = 3600
"""A cold build of QEMU on a slow machine."""


def _inv(workspace: Workspace, environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    argv = [str(workspace.root / "inv"), *words]
    # A run inside a run must not print to the terminal of the outer one.
    return subprocess.run(
        argv,
        env={**environment, "TERM": "dumb"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=FIRST_BUILD_SECONDS,
        check=False,
    )


@pytest.mark.guest
@pytest.mark.timeout(FIRST_BUILD_SECONDS)
@pytest.mark.parametrize("stack", ["debian-12", "qemu-2.7"])
def test_every_scheme_shows_what_it_has_to(
    workspace: Workspace, configuration: Config, environment: dict[str, str], stack: str
) -> None:
    """The proof.

    Steps: test-reconnect for the whole stack, everything built that isn't.
    Verify: exit code 0; baseline is dead, the other four recover, with figures; the table says the same.
    """
    components = map(configuration.component, configuration.stack(stack).components)
    missing = "\n".join(filter(None, (reachable(workspace, component) for component in components)))
    if missing and stack != "debian-12":
        pytest.skip(f"the sources of {stack} are unavailable here: {missing.splitlines()[0]}")
    done = _inv(workspace, environment, "test-reconnect", "--stack", stack)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"stack {stack}: named on the command line" in done.stdout
    assert "5 passed, 0 failed, 0 skipped" in done.stdout
    result = load(workspace.results / "latest")
    assert result.stack.name == stack
    assert {cell.scheme: cell.expected for cell in result.cells} == {s.name: s.expected for s in SCHEMES.values()}
    for cell in result.cells:
        assert cell.verdict == "pass"
        assert (cell.recovery_ms is None) == (cell.scheme == "baseline")
        assert cell.connections == (0 if cell.scheme == "baseline" else 1)
        assert cell.launcher == ("libvirt" if cell.scheme == "policy" else "qemu")
    assert set(result.stack.components) == {"qemu", "libvirt"}
    assert (workspace.results / "latest" / "junit.xml").is_file()
    jsonschema.validate(json.loads((workspace.results / "latest" / FILE).read_text()), json_schema())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--stack", "debian12"], "unknown stack 'debian12'\n  do : did you mean 'debian-12'?"),
        (["--scheme", "defalt"], "unknown scheme 'defalt' in --scheme\n  do : did you mean 'default'?"),
        (["--fault", "crsh"], "unknown fault 'crsh' in --fault\n  do : did you mean 'crash'?"),
        (["--backend", "testpm"], "unknown backend 'testpm' in --backend\n  do : did you mean 'testpmd'?"),
        (["--neighbour", "apr"], "unknown neighbour 'apr' in --neighbour\n  do : did you mean 'arp'?"),
        (["--accel", "kwm"], "unknown accelerator 'kwm'"),
        (["--repeat", "0"], "--repeat 0: at least 1"),
        (["--launcher", "virsh"], "unknown launcher 'virsh' in --launcher"),
        (["--scheme", "policy", "--launcher", "qemu"], "the scheme policy has no launcher qemu"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_wrong_word_is_refused_before_any_work(
    workspace: Workspace, environment: dict[str, str], words: list[str], message: str
) -> None:
    """Verify: exit code 2, the message with the nearest known word, and no new run."""
    before = set(workspace.results.glob("*"))
    done = _inv(workspace, environment, "test-reconnect", *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert set(workspace.results.glob("*")) == before


@pytest.mark.usefixtures("keep_results")
def test_a_path_too_long_for_a_socket_is_said(
    workspace: Workspace, environment: dict[str, str], tmp_path: Path
) -> None:
    """Steps: run a cell with a TMPDIR of more than a hundred bytes.

    Verify: exit code 6, the figure, and what to do.
    """
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    words = ["test-reconnect", "--stack", "debian-12", "--scheme", "server"]
    done = _inv(workspace, {**environment, "TMPDIR": str(folder)}, *words)
    assert done.returncode == 6
    assert "is too long for a unix socket" in done.stderr
    assert "the kernel takes 107" in done.stderr
    assert "TMPDIR=/tmp" in done.stderr
    assert not list(folder.iterdir())


@pytest.mark.usefixtures("keep_results")
def test_ctrl_c_ends_the_whole_command(workspace: Workspace, environment: dict[str, str], short_tmp: Path) -> None:
    """Steps: start the command, and send SIGINT to its process while a guest is up.

    Verify: exit code 130, said in a word; nothing is left in its TMPDIR.
    """
    argv = [sys.executable, "-m", "reconnect.program", "test-reconnect", "--stack", "debian-12", "--scheme", "default"]
    before = set(workspace.results.glob("2*"))
    env = {**environment, "TMPDIR": str(short_tmp), "TERM": "dumb"}
    with subprocess.Popen(
        argv, cwd=workspace.root, env=env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        end = time.monotonic() + 240
        log: list[Path] = []
        # Across processes there is no event to wait for.
        while not log or " a " not in log[0].read_text(encoding="utf-8"):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
            log = [p for run in set(workspace.results.glob("2*")) - before for p in run.glob("*/probe.log")]
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in stderr
    assert not list(short_tmp.iterdir())
