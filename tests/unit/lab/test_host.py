"""What the machine may lack: KVM, room for memory, a compiler."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reconnect.kit.errors import ConfigError, HostError, SourceError
from reconnect.lab.guest.image import build_guest, compile_probe
from reconnect.lab.qemu.accel import check_accelerator
from reconnect.lab.qemu.memory_backend import memory_folder


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
