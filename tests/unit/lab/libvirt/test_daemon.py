"""libvirtd's configuration, folders and words, without a libvirtd."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconnect.kit.deadline import Deadline
from reconnect.kit.errors import HostError
from reconnect.lab.libvirt.daemon import LibvirtdSettings, errors_in
from reconnect.lab.libvirt.places import places, require
from reconnect.lab.libvirt.virsh import said
from reconnect.lab.libvirt.vm import qemus_own, reconnect_in, told_in


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path leaves room for sockets."""
    with tempfile.TemporaryDirectory(prefix="t-") as folder:
        yield Path(folder)


def test_settings_are_written_as_libvirt_reads_them() -> None:
    """Verify: numbers, strings, lists; an empty list is one."""
    assert (
        LibvirtdSettings({"a": 1, "b": "x", "c": ["y", "z"], "d": []}).text()
        == 'a = 1\nb = "x"\nc = [ "y", "z" ]\nd = [ ]\n'
    )


def as_user(monkeypatch: pytest.MonkeyPatch, uid: int) -> None:
    monkeypatch.setattr("reconnect.lab.libvirt.places.os.geteuid", lambda: uid)


def test_an_ordinary_user_keeps_all_below_the_runtime_folder(monkeypatch: pytest.MonkeyPatch, short: Path) -> None:
    """Verify: a session; every folder and variable points below it; the compiled-in folder is not touched."""
    as_user(monkeypatch, 1000)
    runtime, state = short / "r", short / "state"
    runtime.mkdir()
    with places(runtime, state, Deadline(1)) as made:
        assert made.driver == "session"
        assert all(Path(value).is_relative_to(runtime) for value in made.env.values())
        assert made.config.is_dir()
        assert made.uri == f"qemu+unix:///session?socket={runtime}/v/s/libvirt-sock"
        assert not state.is_symlink()


def test_root_has_a_link_where_libvirtd_looks(monkeypatch: pytest.MonkeyPatch, short: Path) -> None:
    """Verify: the system's driver; the link leads to the runtime folder, replaces a stale one, and is gone after."""
    as_user(monkeypatch, 0)
    runtime, state = short / "r", short / "s"
    runtime.mkdir()
    state.symlink_to(short / "left by a killed run")
    with places(runtime, state, Deadline(1)) as made:
        assert made.driver == "system"
        assert (state / "etc/libvirt").resolve() == made.config
    assert not state.is_symlink()


def test_one_libvirtd_of_roots_at_a_time(monkeypatch: pytest.MonkeyPatch, short: Path) -> None:
    """Verify: the second one is refused after its deadline, and its own link is not there."""
    as_user(monkeypatch, 0)
    state = short / "s"
    for name in ("1", "2"):
        (short / name).mkdir()
    with (
        places(short / "1", state, Deadline(1)),
        pytest.raises(HostError, match="another run of this checkout"),
        places(short / "2", state, Deadline(0.1)),
    ):
        pass
    with (short / ".s.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("uid", [0, 1000])
def test_paths_too_long_for_a_socket_are_said_before_libvirtd_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, uid: int
) -> None:
    """Verify: QEMU's monitor is the longest; the figure, and the way out for root and for others."""
    as_user(monkeypatch, uid)
    long = tmp_path / ("x" * 90)
    long.mkdir()
    refused = pytest.raises(HostError, match=r"monitor\.sock is too long for a unix socket")
    with refused as caught, places(long, long / "run", Deadline(1)):
        pass
    assert "the kernel takes 107" in caught.value.why
    assert ("TMPDIR" if uid else "shorter path") in caught.value.hint


def test_they_are_said_before_anything_is_built_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify: root's depends on the checkout: 52 bytes are the most; the next one is refused."""
    as_user(monkeypatch, 0)
    require(Path("/" + "x" * 51) / "build/run")
    with pytest.raises(HostError, match="too long"):
        require(Path("/" + "x" * 52) / "build/run")


def test_a_user_without_a_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify: libvirt looks its user's name up; who runs these tests has one."""
    require(Path("/b/run"))
    as_user(monkeypatch, 3_999_999_999)
    with pytest.raises(HostError, match="the user 3999999999: it has no entry in /etc/passwd") as caught:
        require(Path("/b/run"))
    assert "--launcher qemu" in caught.value.hint
    assert os.getuid() != 3_999_999_999


def test_the_errors_of_a_log_are_those_that_it_calls_so() -> None:
    """Verify: without stamps and function names; warnings and other lines don't count."""
    log = [
        "2026-11-22 16:49:04.935+0000: 17433: info : libvirt version: 9.0.0",
        "2026-11-22 16:49:04.937+0000: 17433: warning : virFoo:1 : mind",
        "2026-11-22 16:49:04.937+0000: 17433: error : virBar:760 : invalid argument: a : b",
        "not a line of libvirt's",
    ]
    assert errors_in(log) == ["invalid argument: a : b"]


def test_virshs_errors_become_one_line() -> None:
    """Verify: both of its lines, without the words that each begins with."""
    assert said("error: Failed to define domain\nerror: XML error: no\n\n") == "Failed to define domain: XML error: no"
    assert said("") == "it failed without a word"


@pytest.mark.parametrize(
    ("source", "seconds"),
    [
        ("", None),
        ("<reconnect enabled='yes' timeout='7'/>", 7),
        ("<reconnect enabled='no'/>", 0),
    ],
)
def test_what_xml_says_of_reconnect(source: str, seconds: int | None) -> None:
    """Verify: a time, off, and nothing are three; another interface's doesn't count."""
    other = "<interface type='user'><source><reconnect enabled='yes' timeout='9'/></source></interface>"
    mine = f"<interface type='vhostuser'><source>{source}</source></interface>"
    assert reconnect_in(f"<domain><devices>{other}{mine}</devices></domain>") == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("-chardev socket,id=charnet0,path=/tmp/reconnect-1/vhost.sock,reconnect=2 -netdev x", 2),
        ('buf={"execute":"chardev-add","arguments":{"backend":{"data":{"reconnect":3}}}}', 3),
        ('{"server":false,"reconnect":0}', 0),
        ("-append 'reconnect.peer=192.0.2.1 reconnect.interval=20000 reconnect.hotplug=1'", None),
        ('"path":"/tmp/reconnect-5/vhost.sock"', None),
    ],
)
def test_what_qemu_was_told_of_reconnect(text: str, seconds: int | None) -> None:
    """Verify: options and JSON; the words of our guest and the names of our folders are neither."""
    assert told_in(text) == seconds


def test_a_log_of_a_domain_holds_more_than_qemus_words() -> None:
    """Verify: libvirt's lines, the environment and the command are left out."""
    log = [
        "2026-11-22 17:04:59.100+0000: starting up libvirt version: 9.0.0, qemu version: 7.2.22",
        "LC_ALL=C \\",
        "/q/bin/qemu-system-x86_64 \\",
        "-name guest=guest \\",
        "2026-11-22T17:05:11.388689Z qemu-system-x86_64: vhost VQ 0 ring restore failed",
        "Domain id=1 is tainted: custom-argv",
        "2026-11-22 17:05:14.147+0000: shutting down, reason=destroyed",
    ]
    assert qemus_own(log) == ["2026-11-22T17:05:11.388689Z qemu-system-x86_64: vhost VQ 0 ring restore failed"]
