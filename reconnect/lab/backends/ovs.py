"""Open vSwitch with DPDK as a switch: no root, no hugepages, no tap, nothing installed.

Its programs lie in a folder of unpacked packages. The bridge answers ARP and ping by flows of its own (``ovs.flows``),
so the guest has a peer to probe. A fault hits ``ovs-vswitchd`` alone; the database stays, as it does on a host.

The bridge's datapath type is ``dummy``, not ``netdev``: the same userspace datapath with the same threads, whose own
port is no tap of the host, which would take root's rights and a name that the host may have.

Port types: ``dpdkvhostuser`` where the switch listens (its socket lies in the switch's run folder, which is the cell's
own), ``dpdkvhostuserclient`` where QEMU does.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from reconnect.kit.deadline import Deadline
from reconnect.lab.backends import Endpoint
from reconnect.lab.backends.ovsdb import BRIDGE, Database
from reconnect.lab.backends.program import CONNECTING, Incarnation, ProgramBackend
from reconnect.lab.binaries import Binaries, OpenVswitch
from reconnect.lab.process.child import Child
from reconnect.lab.process.failure import CellError
from reconnect.lab.process.lines import Line, LineReader
from reconnect.lab.process.stages import SocketWatch
from reconnect.lab.process.waiter import Waiter

MEMORY_MIB = 1024
"""DPDK's, from ordinary pages: the shared pool of packet buffers (262,144 of them) takes most of it."""

MANAGED = "added service controller"
"""In its log when the bridge takes OpenFlow."""


@dataclass(frozen=True)
class OvsPort:
    """One vhost-user port, as words of ovs-vsctl.

    :param socket: path of the vhost-user socket.
    :param client: the switch connects to QEMU instead of listening.
    """

    socket: Path
    client: bool

    @property
    def name(self) -> str:
        """The port's name. A listening port's socket has that name, in the run folder of the switch."""
        return "vhost0" if self.client else self.socket.name

    def words(self) -> list[str]:
        """What adds it to the bridge."""
        kind = "dpdkvhostuserclient" if self.client else "dpdkvhostuser"
        path = [f"options:vhost-server-path={self.socket}"] if self.client else []
        return ["add-port", BRIDGE, self.name, "--", "set", "Interface", self.name, f"type={kind}", *path]


def dpdk_settings(processor: int, prefix: str, per_port_memory: bool) -> list[str]:
    """``other_config`` of the switch, as words of ovs-vsctl.

    :param processor: that its threads run on, by number.
    :param prefix: names DPDK's files in the run folder.
    :param per_port_memory: a pool of packet buffers for each port, instead of a large one for all.
    """
    # Without --legacy-mem Open vSwitch adds --in-memory, which excludes --no-huge.
    extra = f"--no-pci --file-prefix={prefix} --no-huge --legacy-mem -m {MEMORY_MIB} --iova-mode=va"
    mask = f"{1 << processor:#x}"
    values = {
        "dpdk-init": "true",
        "dpdk-extra": f'"{extra}"',
        "pmd-cpu-mask": mask,
        "dpdk-lcore-mask": mask,
        "per-port-memory": str(per_port_memory).lower(),
    }
    return [f"other_config:{name}={value}" for name, value in values.items()]


class Ovs(ProgramBackend):
    """Open vSwitch.

    The option ``per-port-memory``: see :func:`dpdk_settings`; Open vSwitch's own default is off.
    """

    name = "ovs"
    OPTIONS = MappingProxyType({"per-port-memory": ("off", "on")})
    causes = "usual causes: the socket's path is taken, less than 1 GiB of memory is free, a library is missing"

    def __init__(self, place: Endpoint, waiter: Waiter, queue_pairs: int = 1) -> None:
        super().__init__(place, waiter, queue_pairs)
        self._ovs: OpenVswitch
        self._per_port_memory = False
        self._incarnations: list[Incarnation] = []
        self.database: Database | None = None
        self._flows = threading.Event()
        self._flows_failed = ""

    def configure(self, binaries: Binaries, options: Mapping[str, str]) -> None:
        """See :meth:`Backend.configure`."""
        assert binaries.ovs, "the run hands it over where a cell has this backend"
        self._ovs = binaries.ovs
        self._per_port_memory = options["per-port-memory"] == "on"

    @property
    def incarnations(self) -> Sequence[Incarnation]:
        """See :class:`ProgramBackend`."""
        return self._incarnations

    @classmethod
    def require(cls) -> None:
        """See :meth:`Backend.require`: its programs are looked at when they are unpacked."""

    def start(self, deadline: Deadline) -> float:
        """See :meth:`Backend.start`; the first time the database is made and configured."""
        with ExitStack() as stack:
            watch = SocketWatch(self.place.socket, self.waiter)
            stack.callback(watch.close)
            started = self.launch(deadline)
            stack.enter_context(self.waiter.guard(self.check))
            if self.place.listens:
                self.waiter.wait(lambda: watch.listening, deadline, "Open vSwitch to listen")
            else:
                self.waiter.wait(lambda: self.now.lines.first(CONNECTING), deadline, "Open vSwitch to connect")
            self.waiter.wait(self._flows.is_set, deadline, "Open vSwitch to take its flows")
        return started

    def launch(self, deadline: Deadline | None = None) -> float:
        """See :meth:`Backend.launch`. The flows are set as soon as the bridge takes them."""
        database = self.database or self._configured(deadline or Deadline(30))
        if self.place.listens:
            self.place.remove_stale_socket()
        self._flows.clear()
        number = len(self._incarnations) + 1
        unixctl = f"--unixctl={self.place.scratch}/vswitchd.ctl"
        words: list[str | Path] = [
            self._ovs.vswitchd,
            f"unix:{database.socket}",
            unixctl,
            "-vsyslog:off",
            "-vconsole:info",
        ]
        words.append("--enable-dummy")
        child = Child("Open vSwitch", words, self.waiter, subprocess.PIPE, database.environment)
        log = self.place.logs / f"ovs-vswitchd-{number}.log"
        self._incarnations.append(Incarnation(child, LineReader(child.stream, log, self.waiter, self._heard)))
        log.with_suffix(".cmd").write_text(f"{child.pasteable}\n", encoding="utf-8")
        return child.started

    def check(self) -> None:
        """See :meth:`Backend.check`."""
        super().check()
        if self.database is not None:
            self.database.check(self.place.logs / "ovsdb-server.log")
        if self._flows_failed:
            raise CellError("Open vSwitch did not take its flows", [self._flows_failed])

    def close(self) -> None:
        """See :meth:`Backend.close`."""
        super().close()
        if self.database is not None:
            self.database.close()

    def _configured(self, deadline: Deadline) -> Database:
        place = self.place
        database = Database(self._ovs, place.scratch, place.logs / "ovsdb-server.log", self.waiter, deadline)
        self.database = database
        settings = dpdk_settings(min(os.sched_getaffinity(0)), "lab", self._per_port_memory)
        port = OvsPort(place.socket, not place.listens)
        bridge = ["add-br", BRIDGE, "--", "set", "Bridge", BRIDGE, "datapath_type=dummy", "fail-mode=secure"]
        words = ["init", "--", "set", "Open_vSwitch", ".", *settings, "--", *bridge, "protocols=OpenFlow13"]
        database.set(*words, "--", *port.words())
        return database

    def _heard(self, line: Line) -> None:
        if MANAGED in line.text:
            threading.Thread(target=self._set_flows, name="flows", daemon=True).start()

    def _set_flows(self) -> None:
        assert self.database is not None
        try:
            self._flows_failed = self.database.add_flows()
        except Exception as error:  # noqa: BLE001  # a thread: whoever waits is told
            self.waiter.report("the thread that sets Open vSwitch's flows", error)
        self._flows.set()
        self.waiter.notify()
