"""Builders of command lines: they return lists and touch nothing."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from reconnect.lab.backends.testpmd import TestpmdArguments
from reconnect.lab.binaries import Binaries, Qemu
from reconnect.lab.guest.image import Guest
from reconnect.lab.qemu.arguments import QemuArguments, pinned
from reconnect.lab.schemes import SCHEMES

QEMU = Qemu("qemu-7.2", "7.2.22", Path("/opt/q/bin/qemu"), (Path("/fw/a"), Path("/fw/b")), "c" * 40, (), "t" * 40)
GUEST = Guest(Path("/g/vmlinuz"), Path("/g/initramfs.gz"), "6.1.0")
ARGUMENTS = QemuArguments(QEMU, GUEST, Path("/r/vhost"), Path("/r/qmp"), Path("/r/probe"), Path("/c/console.log"))


def _values(argv: list[str], option: str) -> list[str]:
    return [value for word, value in pairwise(argv) if word == option]


def test_firmware_folders_become_one_option_each() -> None:
    """Verify: every folder has its own -L, in order; none where there are none."""
    assert _values(ARGUMENTS.argv(), "-L") == ["/fw/a", "/fw/b"]
    assert "-L" not in replace(ARGUMENTS, qemu=replace(QEMU, data=())).argv()


def test_the_memory_is_shared_with_the_backend() -> None:
    """Verify: the guest's memory is a shared file as large as the guest, bound to its node."""
    argv = replace(ARGUMENTS, memory_mib=512).argv()
    assert _values(argv, "-object") == ["memory-backend-file,id=memory,size=512M,mem-path=/dev/shm,share=on"]
    assert _values(argv, "-m") == ["512"]
    assert _values(argv, "-numa") == ["node,memdev=memory"]


@pytest.mark.parametrize(
    ("scheme", "chardev"),
    [
        ("baseline", "socket,id=vhost,path=/r/vhost"),
        ("default", "socket,id=vhost,path=/r/vhost"),
        ("explicit", "socket,id=vhost,path=/r/vhost,reconnect=1"),
        ("server", "socket,id=vhost,path=/r/vhost,server,nowait"),
    ],
)
def test_each_scheme_has_its_chardev(scheme: str, chardev: str) -> None:
    """Verify: the schemes differ in the vhost-user chardev, as the table in the README says."""
    argv = replace(ARGUMENTS, chardev=SCHEMES[scheme].chardev).argv()
    assert chardev in _values(argv, "-chardev")


def test_the_baseline_runs_the_other_build() -> None:
    """Verify: only the baseline is started with the build that lacks the feature."""
    binaries = Binaries(baseline=replace(QEMU, name="old"), patched=replace(QEMU, name="new"))
    assert {name: scheme.qemu(binaries).name for name, scheme in SCHEMES.items()} == {
        "baseline": "old",
        "server": "new",
        "default": "new",
        "explicit": "new",
        "policy": "new",
    }
    assert [name for name, scheme in SCHEMES.items() if scheme.expected == "dead"] == ["baseline"]


def test_the_guest_is_told_what_to_do_on_its_command_line() -> None:
    """Verify: interval and neighbour reach the guest, further words follow, and a panic ends it."""
    (words,) = _values(replace(ARGUMENTS, interval_us=10_000, neighbour="arp", append="loglevel=3").argv(), "-append")
    assert {"panic=-1", "no_timer_check"} < set(words.split())
    assert "reconnect.interval=10000" in words.split()
    assert "reconnect.neighbour=arp" in words.split()
    assert words.endswith(" loglevel=3")
    assert "reconnect.neighbour=02:00:00:00:00:01" in " ".join(ARGUMENTS.argv())


def test_msix_is_left_alone_unless_asked_for() -> None:
    """Verify: vectors is given only where an experiment asks for it, 0 included."""
    assert _values(ARGUMENTS.argv(), "-device") == ["virtio-net-pci,netdev=net,romfile="]
    assert _values(replace(ARGUMENTS, vectors=0).argv(), "-device") == ["virtio-net-pci,netdev=net,romfile=,vectors=0"]


def test_a_comma_in_a_path_does_not_begin_an_option() -> None:
    """Verify: QEMU's own way of escaping, a comma twice."""
    argv = replace(ARGUMENTS, console=Path("/c/a,b.log")).argv()
    assert "file,id=console,path=/c/a,,b.log" in _values(argv, "-chardev")


@pytest.mark.parametrize(("client", "word"), [(False, "client=0"), (True, "client=1")])
def test_testpmd_listens_or_connects(client: bool, word: str) -> None:
    """Verify: the port's side is in the device's options, further words come last."""
    argv = TestpmdArguments("dpdk-testpmd", Path("/r/vhost"), client, "lab1", (3, 140), extra=("--x",)).argv()
    assert f"net_vhost0,iface=/r/vhost,queues=1,{word}" in argv
    assert argv[-1] == "--x"
    assert argv[argv.index("--lcores") + 1] == "(0-1)@(3,140)"
    assert argv.index("--no-huge") < argv.index("--") < argv.index("--forward-mode=icmpecho")


def test_testpmd_has_as_many_queues_as_the_card() -> None:
    """Verify: in the device's options and in the application's; one pair is the default and says nothing."""
    argv = TestpmdArguments("dpdk-testpmd", Path("/r/vhost"), True, "lab1", (0,), queue_pairs=2).argv()
    assert "net_vhost0,iface=/r/vhost,queues=2,client=1" in argv
    assert argv.index("--") < argv.index("--rxq=2") < argv.index("--txq=2")
    alone = TestpmdArguments("dpdk-testpmd", Path("/r/vhost"), True, "lab1", (0,)).argv()
    assert not [word for word in alone if word.startswith(("--rxq", "--txq"))]


def test_the_probe_runs_on_the_last_processor() -> None:
    """Verify: a mask as taskset has it; nothing for one."""
    assert [pinned(pairs) for pairs in (1, 2, 5)] == ["", "reconnect.cpu=2", "reconnect.cpu=10"]


def test_a_card_of_many_queues_has_its_vectors() -> None:
    """Verify: QEMU 2.7 would not count them; one pair is QEMU's default and says nothing."""
    argv = replace(ARGUMENTS, queues=2, processors=2).argv()
    assert "vhost-user,id=net,chardev=vhost,queues=2" in _values(argv, "-netdev")
    assert "virtio-net-pci,netdev=net,romfile=,mq=on,vectors=6" in _values(argv, "-device")
    assert _values(argv, "-smp") == ["2"]
    assert "virtio-net-pci,netdev=net,romfile=" in _values(ARGUMENTS.argv(), "-device")


def test_a_card_that_comes_later() -> None:
    """Verify: nothing of the network is on the command line."""
    argv = replace(ARGUMENTS, card=False).argv()
    assert not _values(argv, "-netdev")
    assert not _values(argv, "-device")
    assert not [value for value in _values(argv, "-chardev") if "vhost" in value]
