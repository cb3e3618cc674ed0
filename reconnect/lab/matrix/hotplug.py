"""The phase ``hot-plug``: a guest that started without a card gets one through QEMU's monitor, and loses it again.

That is what ``virsh attach-device`` and ``detach-device`` do: ``chardev-add``, ``netdev_add``, ``device_add``;
``device_del``, ``netdev_del``, ``chardev-remove``.

``plug:VARIANT``:

================  ===================================================================================================
``default``       the chardev says nothing of ``reconnect``; the backend is killed and started again: recovers
``reconnect=1``   the same with one second
``reconnect=0``   the same with none: the network is dead, as it was asked for
``absent``        no backend at ``netdev_add``: an error, in time; then there is one, and the same command works
``closing``       the same with a backend that closes each connection
``orphan``        chardevs without a backend, and without a netdev, come and go
================  ===================================================================================================

``unplug:VARIANT``, after which nothing may connect to the backend any more, and the same card can be plugged again:

================  ===================================================================================================
``connected``     with its backend there
``away``          while QEMU tries to connect to a backend that was killed
``closing``       while the backend closes each connection
``silent``        while the backend accepts and says nothing
``netdev-first``  the netdev goes before the card
``queues=2``      connected, with two queue queue_pairs
================  ===================================================================================================
"""

from __future__ import annotations

from reconnect.kit.deadline import Deadline
from reconnect.lab.faults import FAULTS
from reconnect.lab.matrix.cases import PLUG
from reconnect.lab.matrix.matrix_case import STEADY, MatrixCase, NotHere
from reconnect.lab.process.failure import CellFailed
from reconnect.lab.process.lines import tail_of
from reconnect.lab.qemu.qmp import CommandRefused
from reconnect.lab.stub.script import Script

CHARDEV, NETDEV, CARD = "hot", "net", "card"
GUEST_SECONDS = 60.0
"""The guest has a part in it, both ways."""

LOST = 5
DEAD_SECONDS = 5.0
UNHEARD_SECONDS = 2.5
"""Two attempts would be made in it, and a half."""

ORPHANS = 20
CLOSING = Script.parse("CONNECT:after-read@any", hang_up=True)
SILENT = Script.parse("CONNECT:stall@any", hang_up=True)


class HotPlug(MatrixCase):
    """A case of this phase. It leaves the guest without a card and the backend good."""

    def _carry_out(self) -> None:
        testbed, variant = self.testbed, self.case.variant
        if testbed.qemu_listens and variant not in ("default", "connected", "netdev-first", "queues=2"):
            raise NotHere("QEMU listens: there is nothing to reconnect, and no backend to wait for")
        self.mark = len(testbed.backend.events.all)
        self._console, self._log = (
            len(tail_of(testbed.vm.arguments.console, 10**6)),
            len(tail_of(testbed.vm.log, 10**6)),
        )
        if self.case.kind == PLUG:
            {"absent": self._absent, "closing": self._useless, "orphan": self._orphans}.get(variant, self._restart)()
        else:
            self._unplug_while(variant)
        self._check_health()

    def _plug(self, queue_pairs: int = 1, reconnect: int | None = None) -> None:
        """Plug the card, and wait until the guest's probes are answered on it."""
        self._add_chardev(reconnect=reconnect)
        self._add_netdev(queue_pairs)
        self._add_card(queue_pairs)

    def _add_chardev(self, name: str = CHARDEV, reconnect: int | None = None) -> None:
        place: dict[str, object] = {"type": "unix", "data": {"path": str(self.testbed.socket)}}
        options: dict[str, object] = {"server": self.testbed.qemu_listens}
        if self.testbed.qemu_listens:
            options["wait"] = False
        if reconnect is not None:
            options["reconnect"] = reconnect
        backend = {"type": "socket", "data": {"addr": place, **options}}
        self._monitor("chardev-add", {"id": name, "backend": backend})

    def _add_netdev(self, queue_pairs: int = 1) -> None:
        queues = {"queues": queue_pairs} if queue_pairs > 1 else {}
        self._monitor("netdev_add", {"type": "vhost-user", "id": NETDEV, "chardev": CHARDEV, **queues})

    def _add_card(self, queue_pairs: int = 1) -> None:
        queues = {"mq": True, "vectors": 2 * queue_pairs + 2} if queue_pairs > 1 else {}
        self._monitor("device_add", {"driver": "virtio-net-pci", "id": CARD, "netdev": NETDEV, "romfile": "", **queues})
        self.testbed.order("network", deadline=Deadline(GUEST_SECONDS))
        self._steady()

    def _unplug(self, netdev_first: bool = False) -> None:
        testbed = self.testbed
        testbed.order("silence", deadline=Deadline(GUEST_SECONDS))
        if netdev_first:
            self._monitor("netdev_del", {"id": NETDEV})
        self._monitor("device_del", {"id": CARD})
        testbed.vm.event("DEVICE_DELETED", Deadline(GUEST_SECONDS), lambda data: data.get("device") == CARD)
        if not netdev_first:
            self._monitor("netdev_del", {"id": NETDEV})
        self._remove_chardev()

    def _remove_chardev(self) -> None:
        """Remove it where it still is: since QEMU 2.9 it goes with its netdev."""
        chardevs = self._monitor("query-chardev", {})
        if isinstance(chardevs, list) and any(chardev["label"] == CHARDEV for chardev in chardevs):
            self._monitor("chardev-remove", {"id": CHARDEV})

    def _restart(self) -> None:
        """The backend is killed and started again under a hot-plugged card."""
        testbed, variant = self.testbed, self.case.variant
        self._plug(reconnect=None if variant == "default" else int(variant[-1]))
        self._crash()
        deadline = Deadline(testbed.options.recovery)
        testbed.waiter.wait(
            lambda: testbed.vm.record.unanswered_in_a_row() >= LOST, deadline, "probes to be lost", CellFailed
        )
        before = testbed.reset_probe_record()
        self._start()
        if self.case.expected == "dead":
            testbed.waiter.sleep(Deadline(DEAD_SECONDS))
            if testbed.vm.record.answered or self._connections():
                raise CellFailed("QEMU connected again though it was told not to")
            self.probes_sent = self.probes_lost = len(testbed.vm.record.sent)
        else:
            ready = self._wait(lambda: self._ready(0.0), deadline, "the rings to run again")
            self._steady(forget=False)
            self._measure(before, ready)
            self._check_connections(1)
        self._unplug()
        self._unheard()

    def _absent(self) -> None:
        testbed = self.testbed
        self._crash()
        testbed.socket.unlink()
        self._must_be_refused()
        self._start()
        self._succeed()

    def _useless(self) -> None:
        testbed = self.testbed
        self.mark = testbed.backend.load(CLOSING, Deadline(GUEST_SECONDS))
        self._must_be_refused()
        self.mark = testbed.backend.load(Script(), Deadline(GUEST_SECONDS))
        self._succeed()

    def _must_be_refused(self) -> None:
        """Neither the one command nor the other may work, nor take long: the guest stands still meanwhile."""
        try:
            self._add_chardev(reconnect=1)
            self._add_netdev()
        except CommandRefused:
            return
        raise CellFailed("netdev_add told of no error though there was no good backend")

    def _succeed(self) -> None:
        """The same commands again, and all that follows."""
        self._remove_chardev()
        self._plug()
        self._unplug()
        self._unheard()

    def _orphans(self) -> None:
        self._crash()
        # An id is taken until the attempt to connect, which runs beside, has ended: each has its own.
        for number in range(ORPHANS):
            name = f"{CHARDEV}-{number}"
            self._add_chardev(name, reconnect=1)
            self._monitor("chardev-remove", {"id": name})
        self._start()
        self._unheard()

    def _unplug_while(self, variant: str) -> None:
        testbed, queue_pairs = self.testbed, 2 if variant == "queues=2" else 1
        deadline = Deadline(GUEST_SECONDS + testbed.options.recovery)
        self._plug(queue_pairs)
        before = testbed.usage.fds
        if variant == "away":
            self._crash()
            self._wait_long(deadline)
        elif variant in ("closing", "silent"):
            self.mark = testbed.backend.load(CLOSING if variant == "closing" else SILENT, deadline)
            self._wait(self._connections, deadline, "QEMU to connect")
        self._unplug(variant == "netdev-first")
        if variant == "away":
            self._start()
        else:
            self.mark = testbed.backend.load(Script(hang_up=True), deadline)
        self._unheard()
        self._plug(queue_pairs)
        if testbed.usage.fds > before:
            raise CellFailed(f"QEMU has {testbed.usage.fds} descriptors with the card plugged again, {before} before")
        self._unplug()

    def _crash(self) -> None:
        self.testbed.backend.inject(FAULTS["crash"], Deadline(GUEST_SECONDS))

    def _start(self) -> None:
        """The backend is started again, and is good."""
        testbed = self.testbed
        testbed.backend.start(Deadline(GUEST_SECONDS))
        self.mark = 0

    def _unheard(self) -> None:
        """Nothing may be left that connects."""
        testbed = self.testbed
        made = len(testbed.backend.events.of("connected"))
        testbed.waiter.sleep(Deadline(UNHEARD_SECONDS))
        if not testbed.qemu_listens and len(testbed.backend.events.of("connected")) > made:
            raise CellFailed("something still connects to the backend: the netdev is gone")

    def _steady(self, forget: bool = True) -> None:
        testbed = self.testbed
        if forget:
            testbed.reset_probe_record()
        deadline = Deadline(GUEST_SECONDS)
        self._wait(lambda: testbed.vm.record.streak >= STEADY, deadline, "probes to be answered on the card")
