"""A guest and its scripted backend, ready for a test of its own: what the matrix of faults does not reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, cast

from reconnect.kit.deadline import Deadline
from reconnect.lab.faults import FAULTS
from reconnect.lab.matrix.testbed import MatrixArguments, Testbed
from reconnect.lab.process.failure import CellFailed
from reconnect.lab.process.lines import tail_of
from reconnect.lab.qemu.qmp import CommandRefused
from reconnect.lab.stub.script import Script

SECONDS = 20.0
AWAY = Script.parse("CONNECT:after-read@any", hang_up=True)
"""The connection that is there ends, and no other gets anywhere."""

LOG_ALL = 1 << 26
"""VHOST_F_LOG_ALL: the backend notes in the log what it writes."""

SLOW, FAST = 2 << 20, 1 << 30
"""Bytes a second of a migration: one that is still under way when we are done, and one that ends."""


@dataclass(frozen=True)
class Arguments(MatrixArguments):
    """QEMU's command line with words exchanged and added."""

    exchange: Mapping[str, str] = field(default_factory=dict)
    more: tuple[str, ...] = ()

    def argv(self) -> list[str]:
        """The whole command."""
        return [*(self.exchange.get(word, word) for word in super().argv()), *self.more]


class ScriptedTestbed(Testbed):
    """A lane whose QEMU may have other words in its command line."""

    exchange: Mapping[str, str] = MappingProxyType({})
    more: tuple[str, ...] = ()
    chardev: tuple[str, ...] = ()
    """More options of the vhost-user chardev."""

    def boot(self) -> None:
        """Start QEMU and its guest, and wait until probes are answered."""
        deadline = Deadline(self.options.boot)
        self.power_on(deadline)
        self.steady(deadline)

    def ask(self, command: str, **arguments: object) -> Any:
        """A command of QEMU's monitor and its answer."""
        return self.vm.execute(
            command, Deadline(SECONDS), **{name.replace("_", "-"): v for name, v in arguments.items()}
        )

    def load(self, script: Script) -> int:
        """Give the stub a script; returns the number of its events so far."""
        return self.backend.load(script, Deadline(SECONDS))

    def steady(self, deadline: Deadline | None = None) -> None:
        """Wait until probes are answered."""
        self.reset_probe_record()
        self.wait_steady(10, deadline or Deadline(SECONDS), "probes to be answered", CellFailed)

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait for something that the stub or QEMU says."""
        return self.waiter.wait(condition, Deadline(SECONDS), what, CellFailed)

    def lose_backend(self) -> None:
        """The backend goes away, and QEMU has noticed: it has tried to connect again."""
        mark = self.load(AWAY)
        self.until(lambda: self.backend.events.of("connected", mark), "QEMU to look for its backend")

    def kill_backend(self) -> None:
        """Nobody listens at the vhost-user socket from here on, and there is no such file."""
        self.backend.inject(FAULTS["crash"], Deadline(SECONDS))
        self.socket.unlink(missing_ok=True)

    def revive_backend(self) -> None:
        """Start the backend again; its events count from 0."""
        self.backend.start(Deadline(SECONDS))

    def add_chardev(self, **options: object) -> None:
        """A chardev at the backend's socket, as management applications plug it."""
        place = {"type": "unix", "data": {"path": str(self.socket)}}
        self.ask(
            "chardev-add", id="vhost", backend={"type": "socket", "data": {"addr": place, "server": False, **options}}
        )

    def said(self) -> list[str]:
        """QEMU's log."""
        return tail_of(self.vm.log, 10**6)

    def limit(self, speed: int) -> None:
        """Let a migration, the next one or that which is under way, send so many bytes a second at most."""
        try:
            self.ask("migrate-set-parameters", max_bandwidth=speed)
        except CommandRefused:
            # Before QEMU 2.8.
            self.ask("migrate_set_speed", value=speed)

    def add_object(self, kind: str, name: str, properties: Mapping[str, object]) -> None:
        """An object of QEMU's."""
        whole: dict[str, Any] = {"qom-type": kind, "id": name}
        try:
            self.ask("object-add", **whole, **properties)
        except CommandRefused:
            # Before QEMU 6.0.
            self.ask("object-add", **whole, props=properties)

    def event_names(self) -> set[str]:
        """All events that this QEMU may send."""
        if "query-events" in {command["name"] for command in self.ask("query-commands")}:
            return {event["name"] for event in self.ask("query-events")}
        # Since QEMU 6.0.
        return {entity["name"] for entity in self.ask("query-qmp-schema") if entity["meta-type"] == "event"}

    def migration(self) -> dict[str, Any]:
        """The end of a migration that is under way, as query-migrate tells of it."""
        deadline = Deadline(60)
        while (status := self.ask("query-migrate"))["status"] in ("setup", "active"):
            self.waiter.sleep(Deadline(min(0.1, deadline.remaining)))
            assert not deadline.passed, status
        return cast("dict[str, Any]", status)

    def _arguments(self) -> MatrixArguments:
        usual = super()._arguments()
        fields = {name: getattr(usual, name) for name in MatrixArguments.__dataclass_fields__}
        fields["chardev"] = (*usual.chardev, *self.chardev)
        return Arguments(**fields, exchange=self.exchange, more=self.more)


class TwoPairs(ScriptedTestbed):
    """A testbed with two queue pairs."""

    queue_pairs = 2
    exchange = MappingProxyType(
        {
            "vhost-user,id=net,chardev=vhost": "vhost-user,id=net,chardev=vhost,queues=2",
            "virtio-net-pci,netdev=net,romfile=": "virtio-net-pci,netdev=net,romfile=,mq=on,vectors=6",
        }
    )
