"""Real binaries and a real guest: built here, by the toolchain, where they aren't there yet."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from reconnect.jobs import handover
from reconnect.lab.binaries import Binaries, Libvirt, Qemu
from reconnect.lab.guest.image import Guest
from reconnect.lab.matrix.testbed import ORDINARY, Shape
from reconnect.lab.options import Options
from reconnect.lab.schemes import SCHEMES
from reconnect.project import config, settings
from reconnect.project.config import Config
from reconnect.project.workspace import ROOT, Workspace
from reconnect.toolchain import building
from reconnect.toolchain.fetching import reachable
from reconnect.toolchain.series import PATCHED
from tests.reconnect.testbed import ScriptedTestbed

STACK = "debian-12"
"""The stack that any machine with a Debian 12 mirror can build."""


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """The environment of whoever runs the tests: a premirror or a cache given by hand counts here."""
    return dict(os.environ)


@pytest.fixture(scope="session")
def workspace(environment: dict[str, str]) -> Workspace:
    """This checkout."""
    return Workspace(ROOT, settings.load(environment))


@pytest.fixture(scope="session")
def configuration(workspace: Workspace) -> Config:
    """This checkout's stacks.toml."""
    return config.load(workspace.stacks, workspace.patches)


@pytest.fixture(scope="session")
def binaries(workspace: Workspace, configuration: Config) -> Binaries:
    """Both builds of QEMU of the stack debian-12."""
    component = configuration.component(configuration.stack(STACK).qemu)
    return handover.binaries(workspace, {"qemu": component}, {"qemu": building.build(workspace, component)})


@pytest.fixture(scope="session")
def libvirt(workspace: Workspace, configuration: Config) -> Libvirt:
    """libvirt of the stack debian-12, with its series."""
    component = configuration.component(configuration.stack(STACK).libvirt)
    return handover.libvirt(workspace, component, building.build(workspace, component, only=PATCHED)[PATCHED])


@pytest.fixture(scope="session")
def stack_binaries(binaries: Binaries, libvirt: Libvirt) -> Binaries:
    """The whole stack debian-12."""
    return replace(binaries, libvirt=libvirt)


@pytest.fixture
def short_tmp(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A TMPDIR of our own: all that a run leaves is in it, and all its processes name it."""
    with tempfile.TemporaryDirectory(prefix="t-") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr("tempfile.tempdir", None)
        yield Path(folder)


@pytest.fixture(scope="session")
def guest(workspace: Workspace, configuration: Config) -> Guest:
    """The test guest."""
    return handover.guest_image(workspace, configuration)


@pytest.fixture(scope="module", params=["debian-12", "qemu-2.7"])
def reference(request: pytest.FixtureRequest, workspace: Workspace, configuration: Config) -> Binaries:
    """Both builds of each stack's QEMU in turn."""
    component = configuration.component(configuration.stack(request.param).qemu)
    if reason := reachable(workspace, component):
        pytest.skip(f"the sources of {component.name} are unavailable: {reason.splitlines()[0]}")
    # A series in three parts is of the second edition, whose behaviour at start and while away these tests ask for.
    if "# fixes" not in (workspace.patches / component.series / "series").read_text(encoding="utf-8").splitlines():
        pytest.skip(f"patches/{component.series} is of the first edition: these tests ask for the second")
    return handover.binaries(workspace, {"qemu": component}, {"qemu": building.build(workspace, component)})


@pytest.fixture
def testbeds(reference: Binaries, guest: Guest, tmp_path: Path) -> Iterator[Callable[..., ScriptedTestbed]]:
    """Makes testbeds, each with a stub of its own."""
    with ExitStack() as stack:

        def make(
            kind: type[ScriptedTestbed] = ScriptedTestbed,
            shape: Shape = ORDINARY,
            qemu: Qemu = reference.patched,
            scheme: str = "default",
        ) -> ScriptedTestbed:
            folder = tmp_path / f"testbed-{len(list(tmp_path.iterdir())) + 1}"
            return cast(
                "ScriptedTestbed", stack.enter_context(kind(SCHEMES[scheme], qemu, guest, folder, Options(), shape))
            )

        yield make


@pytest.fixture
def keep_results(workspace: Workspace) -> Iterator[None]:
    """Runs that are made to fail are of no use to whoever looks at the newest results afterwards."""
    latest = workspace.results / "latest"
    before, target = set(workspace.results.glob("2*")), latest.readlink() if latest.is_symlink() else None
    yield
    for run in set(workspace.results.glob("2*")) - before:
        shutil.rmtree(run)
    latest.unlink(missing_ok=True)
    if target:
        latest.symlink_to(target)
