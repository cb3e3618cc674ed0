"""Where libvirtd keeps its sockets, configuration and state.

All of it lies below the runtime directory of the cell, which is short, and gone after the run however the run ends.
An ordinary user's libvirtd is sent there by the XDG variables. Root's has its folder compiled in
(:attr:`reconnect.project.workspace.Workspace.state`): there we put a link to the runtime directory, under a lock, so
that one checkout runs one libvirtd of root's at a time.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import select
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reconnect.kit.deadline import Deadline
from reconnect.kit.errors import HostError
from reconnect.kit.sockets import SUN_PATH_BYTES
from reconnect.lab.process.rundir import PREFIX

SYSTEM, SESSION = "system", "session"
HOME = "v"
"""libvirtd's folder in the runtime directory."""

DOMAIN = "guest"
MONITOR = f"domain-1-{DOMAIN}/monitor.sock"
"""QEMU's monitor in the driver's folder; the number counts the domains that this libvirtd has started."""

LOCK_SAMPLE_SECONDS = 0.05
LOCK_SECONDS = 300.0
"""For another libvirtd of root's in this checkout: a cell takes less."""


@dataclass(frozen=True)
class Places:
    """The folders of one libvirtd.

    :param driver: ``system`` or ``session``.
    :param config: qemu.conf goes here.
    :param sockets: libvirtd listens in this folder.
    :param qemu_logs: libvirtd writes each domain's log into this folder.
    :param env: variables for libvirtd and virsh.
    """

    driver: str
    config: Path
    sockets: Path
    qemu_logs: Path
    env: dict[str, str]

    @property
    def socket(self) -> Path:
        """The socket that virsh connects to."""
        return self.sockets / "libvirt-sock"

    @property
    def uri(self) -> str:
        """What virsh connects to."""
        return f"qemu+unix:///{self.driver}?socket={self.socket}"


def driver() -> str:
    """Which of libvirtd's drivers this user gets."""
    return SYSTEM if os.geteuid() == 0 else SESSION


def require_short(runtime: Path, state: Path) -> None:
    """Refuse folders below which QEMU's monitor, the deepest of libvirtd's sockets, can't be bound.

    :raises HostError: names the path, its length, and what to do.
    """
    if driver() == SYSTEM:
        socket = state / "lib/libvirt/qemu" / MONITOR
        hint = "put the checkout into a folder with a shorter path, or run as an ordinary user"
    else:
        socket = runtime / HOME / "config/libvirt/qemu/lib" / MONITOR
        hint = "set TMPDIR to a short directory, for example TMPDIR=/tmp"
    size = len(str(socket).encode())
    if size > SUN_PATH_BYTES:
        raise HostError(
            f"libvirtd's path {socket} is too long for a unix socket",
            why=f"it has {size} bytes; the kernel takes {SUN_PATH_BYTES}",
            hint=hint,
        )


def require(state: Path) -> None:
    """Refuse a user whom libvirt does not take, and folders that it can't use.

    :param state: the folder that is compiled into libvirtd.
    :raises HostError: names what is missing and what to do.
    """
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError as error:
        raise HostError(
            f"libvirt can't be used by the user {os.geteuid()}: it has no entry in /etc/passwd",
            why="virsh and libvirtd look up the name of their user; a container may run with any number for one",
            hint="run as a user that has a name, or leave out what goes through libvirt: --launcher qemu",
        ) from error
    require_short(Path(tempfile.gettempdir()) / f"{PREFIX}12345678", state)


@contextmanager
def places(runtime: Path, state: Path, deadline: Deadline) -> Iterator[Places]:
    """Folders for one libvirtd, below ``runtime``.

    Other runs are waited for here: the time for anything that is started must not begin before.

    :param state: the folder that is compiled into libvirtd.
    :param deadline: for another libvirtd of root's in this checkout to end.
    :raises HostError: it did not, or the paths are too long for sockets.
    """
    home = runtime / HOME
    require_short(runtime, state)
    for name in ("config/libvirt", "etc/libvirt", "cache", "data", "run", "s"):
        (home / name).mkdir(parents=True)
    home.chmod(0o700)
    (home / "run").chmod(0o700)
    env = {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_RUNTIME_DIR": str(home / "run"),
    }
    if driver() == SESSION:
        yield Places(SESSION, home / "config/libvirt", home / "s", home / "cache/libvirt/qemu/log", env)
        return
    with _linked(state, home, deadline):
        yield Places(SYSTEM, home / "etc/libvirt", home / "s", home / "log/libvirt/qemu", env)


@contextmanager
def _linked(state: Path, home: Path, deadline: Deadline) -> Iterator[None]:
    lock = state.with_name(f".{state.name}.lock")
    with lock.open("w", encoding="utf-8") as file:
        # flock(2) can't be awaited together with a deadline.
        while not _locked(file.fileno()):
            if deadline.passed:
                raise HostError(
                    "another run of this checkout has a libvirtd of root's",
                    why=f"it holds {lock}, and there can be one at a time: its folder is compiled into it",
                    hint="wait for the other run to end, or use another checkout, or run as an ordinary user",
                )
            select.select([], [], [], LOCK_SAMPLE_SECONDS)
        _clear(state)
        state.symlink_to(home)
        try:
            yield
        finally:
            state.unlink(missing_ok=True)


def _clear(state: Path) -> None:
    """Remove what others left in the place of our link: a killed run its own, libvirt's own tests a folder."""
    if state.is_dir() and not state.is_symlink():
        shutil.rmtree(state)
    state.unlink(missing_ok=True)


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
