"""A card that is plugged and unplugged, by a QEMU that does not do its part."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconnect.kit.deadline import Deadline
from reconnect.lab.matrix.cases import PLUG, UNPLUG, VARIANTS
from reconnect.lab.matrix.matrix_case import NotHere
from reconnect.lab.process.failure import CellFailed
from tests.unit.lab.fakes import USAGE, FakeTestbed
from tests.unit.lab.matrix.conftest import run

CASES = [f"{kind}:{variant}@hot-plug" for kind in (PLUG, UNPLUG) for variant in VARIANTS[kind, "hot-plug"]]
DEAD = "plug:reconnect=0@hot-plug"


@pytest.fixture
def bed(testbed: FakeTestbed) -> FakeTestbed:
    """A QEMU that can plug and unplug."""
    testbed.hot_plug()
    return testbed


@pytest.mark.parametrize("name", CASES)
def test_a_good_qemu_passes(bed: FakeTestbed, name: str) -> None:
    """Verify: no guard speaks where all is well."""
    if name == DEAD:
        bed.stub.started = lambda: None
        restart_later(bed)
    run(bed, name)


def restart_later(bed: FakeTestbed) -> None:
    """The first card's chardev does not reconnect; the next card has one of its own."""
    plug = bed.qemu.answers.get("netdev_add")

    def netdev_add(**words: object) -> object:
        if not bed.stub.open:
            bed.stub.connect()
        return plug(**words) if callable(plug) else {}

    bed.qemu.answers["netdev_add"] = netdev_add


@pytest.mark.guards("matrix/hotplug.py HotPlug._carry_out: QEMU listens: there is nothing to ...")
@pytest.mark.parametrize("name", ["plug:absent@hot-plug", "unplug:away@hot-plug"])
def test_where_qemu_listens(server: FakeTestbed, name: str) -> None:
    """Verify: a skip with its reason."""
    with pytest.raises(NotHere, match="QEMU listens"):
        run(server, name)


@pytest.mark.guards("matrix/hotplug.py HotPlug._restart waits for probes to be lost")
def test_a_network_that_outlives_its_backend(bed: FakeTestbed) -> None:
    """Verify: something else answers, and the case shows nothing."""
    bed.stub.network = lambda _: None
    with pytest.raises(CellFailed, match="for probes to be lost"):
        run(bed, "plug:default@hot-plug")


@pytest.mark.guards("matrix/hotplug.py HotPlug._restart: QEMU connected again though it was told ...")
@pytest.mark.parametrize("how", ["connected", "answered"])
def test_a_port_that_reconnects_though_it_must_not(bed: FakeTestbed, how: str) -> None:
    """Verify: a connection is a failure, and so is an answer."""

    def back() -> None:
        if how == "connected":
            bed.stub.try_in_vain()
        else:
            bed.qemu.network = True

    bed.stub.started = back
    with pytest.raises(CellFailed, match="QEMU connected again though it was told not to"):
        run(bed, DEAD)


@pytest.mark.guards("matrix/hotplug.py HotPlug._restart waits for the rings to run again")
def test_a_port_that_does_not_reconnect(bed: FakeTestbed) -> None:
    """Verify: a failure."""
    bed.stub.started = lambda: None
    with pytest.raises(CellFailed, match="for the rings to run again"):
        run(bed, "plug:default@hot-plug")


@pytest.mark.guards("matrix/hotplug.py HotPlug._must_be_refused: netdev_add told of no error though there ...")
@pytest.mark.parametrize("variant", ["absent", "closing"])
def test_a_netdev_without_a_backend(bed: FakeTestbed, variant: str) -> None:
    """Verify: success is a failure where there is nothing to be successful with."""
    bed.qemu.answers["netdev_add"] = {}
    with pytest.raises(CellFailed, match="netdev_add told of no error"):
        run(bed, f"plug:{variant}@hot-plug")


@pytest.mark.guards("matrix/hotplug.py HotPlug._unplug_while waits for QEMU to connect")
@pytest.mark.parametrize("variant", ["closing", "silent"])
def test_a_qemu_that_does_not_try(bed: FakeTestbed, variant: str) -> None:
    """Verify: a card that is not being reconnected is not unplugged for nothing."""
    bed.stub.react = lambda _: bed.stub.hang_up()
    with pytest.raises(CellFailed, match="for QEMU to connect"):
        run(bed, f"unplug:{variant}@hot-plug")


@pytest.mark.guards("matrix/matrix_case.py MatrixCase._wait_long waits for the guest to see that its link is down")
@pytest.mark.parametrize("seen_before", [True, False])
def test_a_link_that_the_guest_does_not_see_go_down(bed: FakeTestbed, seen_before: bool) -> None:
    """Steps: the backend dies; the guest's probes are lost, and its link stays up, or it never said how that is.

    Verify: lost probes are not enough.
    """
    if seen_before:
        bed.qemu.carrier("up")
    else:
        bed.qemu.probe.record.links.clear()
    bed.tells_link = False
    with pytest.raises(CellFailed, match="for the guest to see that its link is down"):
        run(bed, "unplug:away@hot-plug")


def test_a_link_that_is_down_already_is_known(bed: FakeTestbed) -> None:
    """Verify: a new record of probes knows of the link what the old one did, and nothing else."""
    bed.qemu.carrier("down")
    old = bed.reset_probe_record()
    assert (old.link_up, bed.qemu.probe.record.link_up) == (False, False)
    assert not bed.qemu.probe.record.sent
    bed.qemu.carrier("up")
    assert bed.qemu.probe.record.link_up is True


@pytest.mark.guards("matrix/hotplug.py HotPlug._unplug_while: QEMU has")
def test_a_descriptor_that_is_left(bed: FakeTestbed) -> None:
    """Verify: one more with the second card than with the first is one too many."""
    bed.used = [USAGE, replace(USAGE, fds=41)]
    with pytest.raises(CellFailed, match="QEMU has 41 descriptors with the card plugged again, 40 before"):
        run(bed, "unplug:connected@hot-plug")


@pytest.mark.guards("matrix/hotplug.py HotPlug._unheard: something still connects to the backend: ...")
@pytest.mark.parametrize("name", ["plug:default@hot-plug", "plug:orphan@hot-plug", "unplug:connected@hot-plug"])
def test_a_chardev_that_outlives_its_netdev(bed: FakeTestbed, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Verify: a connection after the card was unplugged fails the case."""

    def later(_: Deadline) -> None:
        bed.stub.try_in_vain()

    monkeypatch.setattr(bed.waiter, "sleep", later)
    with pytest.raises(CellFailed, match="something still connects to the backend"):
        run(bed, name)


@pytest.mark.guards("matrix/hotplug.py HotPlug._steady waits for probes to be answered on the card")
def test_a_card_that_carries_nothing(bed: FakeTestbed) -> None:
    """Verify: a card that is there is not enough."""
    bed.qemu.network = False
    with pytest.raises(CellFailed, match="for probes to be answered on the card"):
        run(bed, "plug:default@hot-plug")
