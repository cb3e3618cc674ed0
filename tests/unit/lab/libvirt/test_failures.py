"""What ends a cell through libvirt, with programs of our own in the place of libvirtd and virsh."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from reconnect.kit.deadline import Deadline
from reconnect.lab.binaries import Libvirt, Qemu
from reconnect.lab.guest.image import Guest
from reconnect.lab.libvirt.daemon import Libvirtd
from reconnect.lab.libvirt.domain import Domain
from reconnect.lab.libvirt.places import DOMAIN, places
from reconnect.lab.libvirt.shared_memory import SharedMemory
from reconnect.lab.libvirt.vm import LibvirtVm
from reconnect.lab.process.failure import CellError, CellFailed
from reconnect.lab.process.waiter import Waiter
from reconnect.lab.qemu.arguments import QemuArguments
from reconnect.lab.schemes import SCHEMES

LISTENS = f"""#!{sys.executable} -S
import re, socket, sys, time
folder = re.search('unix_sock_dir = "(.*)"', open(sys.argv[2]).read())[1]
listener = socket.socket(socket.AF_UNIX)
listener.bind(folder + "/libvirt-sock")
listener.listen()
time.sleep(600)
"""
HANGS = "#!/bin/sh\nexec sleep 600\n"
ANSWERS = "#!/bin/sh\nexit 0\n"


@pytest.fixture
def folder() -> Iterator[Path]:
    """With room for sockets' names."""
    with tempfile.TemporaryDirectory(prefix="t-") as name:
        yield Path(name)


def _enter(folder: Path, daemon: str, virsh: str, seconds: float = 20) -> None:
    """Start a libvirtd of two scripts, which asks it something, and leave."""
    for name, text in (("sbin/libvirtd", daemon), ("bin/virsh", virsh)):
        program = folder / name
        program.parent.mkdir(parents=True)
        program.write_text(text, encoding="utf-8")
        program.chmod(0o755)
    libvirt, runtime = Libvirt("libvirt", "9.0.0", folder, folder / "run"), folder / "r"
    runtime.mkdir()
    with ExitStack() as stack:
        made = stack.enter_context(places(runtime, libvirt.state, Deadline(5)))
        stack.enter_context(Libvirtd(libvirt, made, runtime, folder, Waiter(), Deadline(seconds)))


def test_a_good_one_answers(folder: Path) -> None:
    """Verify: no objection; without it the other tests here would show nothing."""
    _enter(folder, LISTENS, ANSWERS)


@pytest.mark.guards("libvirt/daemon.py Libvirtd.check: libvirtd ended by itself with")
def test_one_that_ends_is_an_error(folder: Path) -> None:
    """Verify: at once, with how it ended and what it said."""
    with pytest.raises(CellError, match="libvirtd ended by itself with exit code 3"):
        _enter(folder, "#!/bin/sh\necho no such setting\nexit 3\n", ANSWERS)


@pytest.mark.guards("libvirt/daemon.py Libvirtd.__enter__ waits for libvirtd to listen")
def test_one_that_never_listens_is_an_error(folder: Path) -> None:
    """Verify: at its deadline."""
    with pytest.raises(CellError, match="for libvirtd to listen"):
        _enter(folder, HANGS, ANSWERS, seconds=0.5)


@pytest.mark.guards(
    "libvirt/virsh.py Virsh.run: virsh#2",
    "libvirt/daemon.py Libvirtd.ask: {failure.what}",
    "libvirt/daemon.py Libvirtd._check_soon waits for libvirtd's end",
)
def test_a_command_that_is_refused_is_an_error(folder: Path) -> None:
    """Verify: libvirt's own words, after a look whether libvirtd has ended."""
    with pytest.raises(CellError, match="virsh list: no connection"):
        _enter(folder, LISTENS, "#!/bin/sh\necho error: no connection\nexit 1\n")


@pytest.mark.guards("libvirt/virsh.py Virsh.run: virsh")
def test_a_command_that_does_not_end_is_an_error(folder: Path) -> None:
    """Verify: its deadline."""
    with pytest.raises(CellError, match="virsh list did not end"):
        _enter(folder, LISTENS, HANGS, seconds=3)


class _Daemon:
    """A libvirtd whose answers are given: by virsh's command its output, or an error."""

    def __init__(self, folder: Path, **answers: str | CellError) -> None:
        self.places = SimpleNamespace(qemu_logs=folder)
        self.log = folder / "libvirtd.log"
        self._answers = answers

    def ask(self, *words: object, deadline: Deadline) -> str:
        """See :meth:`Libvirtd.ask`."""
        answer = self._answers.get("stored" if "--inactive" in words else str(words[0]), "")
        if isinstance(answer, CellError):
            raise answer
        return answer


def _vm(folder: Path, daemon: _Daemon, attach: bool = False) -> LibvirtVm:
    qemu, guest = Qemu("qemu", "1", folder, (), "c", (), "t"), Guest(folder, folder, "6")
    vhost, qmp, probe, console = (folder / name for name in ("vhost", "qmp", "probe", "console"))
    arguments = QemuArguments(qemu, guest, vhost, qmp, probe, console)
    domain = Domain(arguments, SCHEMES["explicit"], SharedMemory("memfd", "a test"), attach)
    return LibvirtVm(cast("Libvirtd", daemon), domain, folder, Waiter(), Deadline(5))


@pytest.mark.guards("libvirt/vm.py LibvirtVm._launch: {failure.what}")
def test_a_domain_that_does_not_start_is_an_error_with_qemus_words(folder: Path) -> None:
    """Verify: libvirt's error, and below it what QEMU had said."""
    (folder / f"{DOMAIN}.log").write_text("qemu: no such device\n", encoding="utf-8")
    with pytest.raises(CellError, match="virsh start: no") as caught:
        _vm(folder, _Daemon(folder, start=CellError("virsh start: no"))).__enter__()
    assert caught.value.details[-1] == "qemu: no such device"


def _xml(reconnect: str) -> str:
    return f"<domain><interface type='vhostuser'><source>{reconnect}</source></interface></domain>"


GOOD, NONE = _xml("<reconnect enabled='yes' timeout='1'/>"), _xml("")
OTHER = _xml("<reconnect enabled='yes' timeout='2'/>")


@pytest.mark.guards(
    "libvirt/vm.py _expect: {f'{where} says {_worded(seconds)}, and should say {_worded(expected)}'}",
)
@pytest.mark.parametrize(
    ("live", "stored", "told", "why"),
    [
        (OTHER, GOOD, "reconnect=1", "the live XML says reconnect 2, and should say reconnect 1"),
        (GOOD, NONE, "reconnect=1", "the stored XML says no reconnect setting, and should say reconnect 1"),
        (GOOD, GOOD, "nothing", "what libvirt told QEMU says no reconnect setting, and should say reconnect 1"),
    ],
)
def test_libvirt_must_have_done_its_part(folder: Path, live: str, stored: str, told: str, why: str) -> None:
    """Steps: an XML that lost its setting, live or stored; a QEMU that was not told of it.

    Verify: wrong, not just broken: QEMU's own default would bring the network back too.
    """
    (folder / "qemu.cmd").write_text(f"qemu -chardev socket,id=c,{told}\n", encoding="utf-8")
    with pytest.raises(CellFailed, match=why):
        _vm(folder, _Daemon(folder, dumpxml=live, stored=stored)).verify()


def test_a_libvirt_that_has_done_its_part_passes(folder: Path) -> None:
    """Verify: the control of the above."""
    (folder / "qemu.cmd").write_text("qemu -chardev socket,id=c,reconnect=1\n", encoding="utf-8")
    _vm(folder, _Daemon(folder, dumpxml=GOOD, stored=GOOD)).verify()


def test_a_card_that_is_refused_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify: libvirt's error comes through, after a look whether QEMU has ended."""
    looked: list[Any] = []
    monkeypatch.setattr(LibvirtVm, "check_soon", lambda vm: looked.append(vm))  # noqa: PLW0108  # a method
    refusal = CellError("virsh attach-device: no")
    vm = _vm(folder, _Daemon(folder, **{"attach-device": refusal}), attach=True)
    with pytest.raises(CellError, match="virsh attach-device: no"):
        vm.plug(Deadline(5))
    assert looked == [vm]
