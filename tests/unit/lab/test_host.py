"""What the machine may lack: KVM, room for memory, a compiler."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from reconnect.jobs import doctor
from reconnect.kit.errors import ConfigError, HostError, SourceError
from reconnect.lab.guest.image import build_guest, compile_probe
from reconnect.lab.qemu import accel, kvm_trial
from reconnect.lab.qemu.accel import check_accelerator, try_guest
from reconnect.lab.qemu.memory_backend import memory_folder

KVM = Path("/dev/kvm")


def test_kvm_that_is_absent_is_a_machine_error(tmp_path: Path) -> None:
    """Verify: exit code 6, the device's name, and that tcg needs nothing."""
    with pytest.raises(HostError, match="there is no") as caught:
        check_accelerator("kvm", tmp_path / "kvm")
    assert caught.value.exit_code == 6
    assert "tcg" in caught.value.hint


def test_a_device_that_is_not_kvm_is_a_machine_error(tmp_path: Path) -> None:
    """Verify: a file in its place is found out by asking it."""
    (tmp_path / "kvm").write_bytes(b"")
    with pytest.raises(HostError, match="is not KVM's device"):
        check_accelerator("kvm", tmp_path / "kvm")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open everything")
def test_a_device_that_may_not_be_opened_is_a_machine_error(tmp_path: Path) -> None:
    """Verify: the hint names the group."""
    (tmp_path / "kvm").write_bytes(b"")
    (tmp_path / "kvm").chmod(0)
    with pytest.raises(HostError, match="can't be opened") as caught:
        check_accelerator("kvm", tmp_path / "kvm")
    assert "kvm" in caught.value.hint


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("sleep 600", "did not end"),
        ("echo 'the guest did not halt: reason 17'; exit 1", "reason 17"),
        ("kill -SEGV $$", "did not end"),
    ],
)
def test_a_device_under_which_no_guest_runs_is_a_machine_error(script: str, why: str) -> None:
    """Steps: trials that hang, that KVM refuses, that crash.

    Verify: exit code 6 at once, what was seen, and the way out.
    """
    with pytest.raises(HostError, match="no guest runs under it") as caught:
        try_guest(["sh", "-c", script], 0.3)
    assert caught.value.exit_code == 6
    assert why in caught.value.why
    assert "tcg" in caught.value.hint
    try_guest(["true"])


@pytest.mark.skipif(not os.access(KVM, os.R_OK | os.W_OK), reason="there is no /dev/kvm for us")
def test_the_trial_runs_a_guest() -> None:
    """Verify: with few instructions it halts, whether a processor runs them or the kernel emulates them."""
    assert kvm_trial.exit_reason(str(KVM), 100) == kvm_trial.KVM_EXIT_HLT


def test_the_trial_says_why_it_could_not(capsys: pytest.CaptureFixture[str]) -> None:
    """Verify: a device that is not KVM's; one line, exit code 1."""
    assert kvm_trial.main("/dev/null") == 1
    assert capsys.readouterr().out.startswith("/dev/null: ")


def test_the_device_alone_is_not_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify: where the device answers as KVM's does, a guest is tried, and its failure counts."""

    def none(*_: object) -> None:
        raise HostError("no guest runs under it")

    monkeypatch.setattr(accel, "try_guest", none)
    monkeypatch.setattr(fcntl, "ioctl", lambda *_: 12)
    (tmp_path / "kvm").touch()
    with pytest.raises(HostError, match="no guest runs"):
        check_accelerator("kvm", tmp_path / "kvm")


def test_doctor_says_whether_a_guest_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify: no note where one runs; why not where none does, and that nothing needs it."""
    monkeypatch.setattr(doctor, "check_accelerator", lambda _: None)
    (usable,) = [found for found in doctor._privileges() if found.what == "KVM"]
    assert usable.state == doctor.OK

    def none(_: str) -> None:
        raise HostError("KVM was asked for, and no guest runs under it here")

    monkeypatch.setattr(doctor, "check_accelerator", none)
    (useless,) = [found for found in doctor._privileges() if found.what == "KVM"]
    assert useless.state == doctor.NOTE
    assert useless.detail == "no guest runs under it here; the tests run under TCG"


def test_an_unknown_accelerator_is_refused() -> None:
    """Verify: exit code 2, with the nearest one; tcg is always there."""
    with pytest.raises(ConfigError) as caught:
        check_accelerator("kvmm")
    assert "did you mean 'kvm'" in caught.value.hint
    check_accelerator("tcg")


def test_too_little_room_for_the_guest_is_said_with_the_figures(tmp_path: Path) -> None:
    """Verify: a container's small /dev/shm is no SIGBUS in the middle of a boot, but an error before it."""
    assert memory_folder(1, [tmp_path]) == tmp_path
    with pytest.raises(HostError, match="no room") as caught:
        memory_folder(2**40, [tmp_path])
    assert f"{tmp_path} has" in caught.value.why
    assert "--shm-size" in caught.value.hint


def test_a_missing_compiler_names_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps: compile the probe with a PATH on which there is nothing.

    Verify: exit code 6 and the package.
    """
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="no C compiler") as caught:
        compile_probe(tmp_path / "probe")
    assert "apt-get install gcc" in caught.value.hint
    assert caught.value.exit_code == 6


def test_a_compiler_that_fails_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify: what it said is in the error, and which package holds what the probe needs."""
    (tmp_path / "gcc").write_text("#!/bin/sh\necho cannot find -lc\nexit 1\n", encoding="utf-8")
    (tmp_path / "gcc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(HostError, match="does not compile") as caught:
        compile_probe(tmp_path / "probe")
    assert "cannot find -lc" in caught.value.why
    assert "libc6-dev" in caught.value.hint


def test_a_damaged_package_leaves_no_guest(tmp_path: Path) -> None:
    """Steps: build a guest from a file that is no package.

    Verify: exit code 3, the file's name, and no half-made image in the cache.
    """
    deb = tmp_path / "linux-image.deb"
    deb.write_bytes(b"!<arch>\n")
    with pytest.raises(SourceError, match=r"linux-image\.deb"):
        build_guest(deb, deb, tmp_path / "guests")
    assert not list((tmp_path / "guests").iterdir())
