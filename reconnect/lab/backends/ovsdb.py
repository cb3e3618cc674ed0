"""Open vSwitch's database, and the commands that write to it and to the switch: private folders, nothing installed.

A database of the cell's own holds the bridge and its port. It outlives the switch, as on a host: what is killed and
started again is ``ovs-vswitchd``, which takes its configuration from there.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from reconnect.kit import command
from reconnect.kit.command import CommandError
from reconnect.kit.deadline import Deadline
from reconnect.lab.binaries import OpenVswitch
from reconnect.lab.process.child import Child
from reconnect.lab.process.failure import CellError
from reconnect.lab.process.stages import SocketWatch
from reconnect.lab.process.waiter import Waiter

BRIDGE = "br0"
COMMAND_SECONDS = 15.0
FLOWS = Path(__file__).with_name("ovs.flows")


class Database:
    """A running ``ovsdb-server`` with a database of its own.

    :param folder: a short one: takes the database, its socket, and all sockets of the switch.
    """

    def __init__(self, ovs: OpenVswitch, folder: Path, log: Path, waiter: Waiter, deadline: Deadline) -> None:
        self._ovs = ovs
        self._folder = folder
        file = folder / "conf.db"
        self.run([ovs.program("ovsdb-tool"), "create", file, ovs.schema])
        with log.open("wb") as output:
            argv: list[str | Path] = [
                ovs.program("ovsdb-server"),
                file,
                f"--remote=punix:{self.socket}",
                f"--unixctl={folder}/ovsdb.ctl",
            ]
            watch = SocketWatch(self.socket, waiter)
            try:
                self.child = Child("ovsdb-server", [*argv, "-vsyslog:off"], waiter, output, self.environment)
                with waiter.guard(lambda: self.check(log)):
                    waiter.wait(lambda: watch.listening, deadline, "Open vSwitch's database to listen")
            finally:
                watch.close()

    @property
    def socket(self) -> Path:
        """Where the database listens."""
        return self._folder / "db.sock"

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables that keep every file of Open vSwitch's and DPDK's in the folder."""
        names = ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR", "RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR")
        return dict.fromkeys(names, str(self._folder))

    def set(self, *words: str) -> None:
        """Run ovs-vsctl; several commands with ``--`` between. It doesn't wait for the switch, which may not run."""
        self.run([self._ovs.program("ovs-vsctl"), f"--db=unix:{self.socket}", "--no-wait", "--timeout=10", *words])

    def add_flows(self) -> str:
        """Give the running switch its flows: in fail-mode ``secure`` it starts without any. Any thread may.

        :returns: why it did not take them; nothing where it did.
        """
        management = f"unix:{self._folder}/{BRIDGE}.mgmt"
        argv = [
            str(self._ovs.program("ovs-ofctl")),
            "-OOpenFlow13",
            "--timeout=10",
            "add-flows",
            management,
            str(FLOWS),
        ]
        environment = {**os.environ, **self.environment}
        done = subprocess.run(
            argv, capture_output=True, check=False, text=True, env=environment, timeout=COMMAND_SECONDS
        )
        return done.stderr.strip() or f"ovs-ofctl ended with {done.returncode}" if done.returncode else ""

    def run(self, argv: Sequence[str | Path]) -> None:
        """Run one of Open vSwitch's tools.

        :raises CellError: it failed; with what it said.
        """
        try:
            command.run(argv, timeout=COMMAND_SECONDS, env=dict(self.environment))
        except CommandError as error:
            raise CellError(f"{Path(argv[0]).name}: {error.ending}", error.tail) from error

    def check(self, log: Path) -> None:
        """Object if the server has ended.

        :raises CellError: with its last lines.
        """
        if self.child.ended is not None:
            said = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
            raise CellError(f"ovsdb-server ended by itself with {self.child.ending}", said)

    def close(self) -> None:
        """End it."""
        self.child.kill()
