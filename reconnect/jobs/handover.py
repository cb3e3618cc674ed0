"""What the toolchain hands the lab: the guest, the programs, and the folder that the results go to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from reconnect.kit.console import step
from reconnect.kit.errors import ConfigError, HostError
from reconnect.kit.lock import shared
from reconnect.lab.binaries import Binaries, Libvirt, OpenVswitch, Qemu
from reconnect.lab.guest.image import Guest, build_guest
from reconnect.lab.run import new_run_id
from reconnect.project.config import Component, Config, Switch
from reconnect.project.workspace import RESULTS, Workspace
from reconnect.toolchain import guestpackages, switchpackages
from reconnect.toolchain.building import Built
from reconnect.toolchain.series import BASELINE, PATCHED


def guest_image(workspace: Workspace, config: Config) -> Guest:
    """The test guest, made from its packages where it isn't there yet."""
    debs = guestpackages.fetch(workspace, config.guest)
    with step("guest image") as current:
        guest = build_guest(debs.kernel, debs.busybox, workspace.guest)
        current.done(f"kernel {guest.kernel_version}")
    return guest


def binaries(
    workspace: Workspace, components: Mapping[str, Component], builds: Mapping[str, Mapping[str, Built]]
) -> Binaries:
    """What the lab is given of the builds.

    :param components: by role: ``qemu``, and ``libvirt`` where a cell needs it.
    :param builds: by role, then by variant.
    :raises ConfigError: QEMU's series has no baseline part, so there is nothing to compare with.
    """
    component = components["qemu"]
    if BASELINE not in builds["qemu"]:
        raise ConfigError(
            f"the series {component.series} has no '# feature' line: there is no baseline to compare with"
        )
    return Binaries(
        qemu(component, builds["qemu"][BASELINE]),
        qemu(component, builds["qemu"][PATCHED]),
        libvirt(workspace, components["libvirt"], builds["libvirt"][PATCHED]) if "libvirt" in builds else None,
    )


def libvirt(workspace: Workspace, component: Component, built: Built) -> Libvirt:
    """What the lab is given of a build of libvirt. Only the patched one can be run: see building."""
    return Libvirt(component.name, built.version, built.prefix, workspace.state)


def qemu(component: Component, built: Built) -> Qemu:
    """What the lab is given of a build of QEMU."""
    return Qemu(
        name=component.name,
        version=built.version,
        binary=built.product,
        # An absolute folder of stacks.toml stays as it is: joining replaces the prefix.
        data=tuple(built.prefix / folder for folder in component.build.firmware),
        commit=built.commit,
        series=built.series,
        tree=built.tree,
    )


def open_vswitch(workspace: Workspace, switches: Sequence[Switch]) -> OpenVswitch | None:
    """Open vSwitch out of its packages, where a cell needs it.

    :param switches: empty, or what stacks.toml says of it.
    :raises ReconnectError: see :func:`reconnect.toolchain.switchpackages.unpack`.
    """
    for switch in switches:
        unpacked = switchpackages.unpack(workspace, switch)
        return OpenVswitch(unpacked.version, unpacked.root)
    return None


@contextmanager
def in_use(workspace: Workspace, components: Iterable[str], *, needs: Iterable[Path] = ()) -> Iterator[None]:
    """Keep what runs below ``build/`` where it is: a clean, or a build of a component, waits until we have ended.

    Nothing may be waited for meanwhile that a build or a clean holds: they may be waiting for us.

    :param components: those whose installs are run.
    :param needs: what was made before, when nobody kept it.
    :raises HostError: one of these was removed in between.
    """
    with ExitStack() as locks:
        for name in (RESULTS, *sorted(components)):
            locks.enter_context(shared(workspace.use(name), "running cells"))
        if gone := [str(path) for path in needs if not path.exists()]:
            raise HostError(f"removed by somebody else: {', '.join(gone)}", hint="run the same command again")
        yield


def results_folder(workspace: Workspace) -> Path:
    """A new folder for the run, and ``latest`` pointing to it."""
    workspace.results.mkdir(parents=True, exist_ok=True)
    run_id = new_run_id()
    number = 1
    # Two runs may begin in one second.
    while True:
        folder = workspace.results / (run_id if number == 1 else f"{run_id}-{number}")
        try:
            folder.mkdir()
            break
        except FileExistsError:
            number += 1
    partial = workspace.results / f".latest-{folder.name}"
    partial.symlink_to(folder.name)
    partial.replace(workspace.results / "latest")
    return folder
