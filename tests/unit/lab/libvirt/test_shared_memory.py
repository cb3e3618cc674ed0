"""Which shared memory a domain gets, and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconnect.lab.libvirt import shared_memory as module
from reconnect.lab.libvirt.shared_memory import hugepages_lack, shared_memory, version


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("9.0.0-4+deb12u2", (9, 0)),
        ("v3.0.0", (3, 0)),
        ("1:7.2+dfsg-7", (7, 2)),
        ("4.10.0", (4, 10)),
        ("nonsense", (0, 0)),
    ],
)
def test_versions_are_compared_as_numbers(text: str, numbers: tuple[int, int]) -> None:
    assert version(text) == numbers


def host(tmp_path: Path, pages: int, mounts: str) -> tuple[Path, Path]:
    free, table = tmp_path / "free", tmp_path / "mounts"
    free.write_text(f"{pages}\n")
    table.write_text(mounts)
    return free, table


def test_hugepages_need_pages_and_a_place(tmp_path: Path) -> None:
    """Verify: what lacks is said with figures; a mount of another size, or a read-only place, is none."""
    good = f"hugetlbfs {tmp_path} hugetlbfs rw,relatime,pagesize=2M 0 0\n"
    assert hugepages_lack(256, *host(tmp_path, 128, good)) == ""
    few = hugepages_lack(256, *host(tmp_path, 127, good))
    assert few == "127 hugepages of 2 MiB are free, 128 are needed"
    assert "3 hugepages" in hugepages_lack(257, *host(tmp_path, 3, good))
    for mounts in (good.replace("2M", "1024M"), good.replace(str(tmp_path), "/nowhere"), "tmpfs /tmp tmpfs rw 0 0\n"):
        assert hugepages_lack(2, *host(tmp_path, 128, mounts)) == "no hugetlbfs is mounted where we may write"


def test_a_machine_without_hugepages_has_none_free(tmp_path: Path) -> None:
    assert "0 hugepages" in hugepages_lack(2, tmp_path / "gone")


@pytest.mark.parametrize(("libvirt", "kind"), [("4.9.0", "file"), ("v3.0.0", "file"), ("4.10.0", "memfd")])
def test_without_hugepages_it_depends_on_libvirt(monkeypatch: pytest.MonkeyPatch, libvirt: str, kind: str) -> None:
    """Verify: memfd where libvirt knows it, else QEMU is told; the reason is said; no host mount is looked for."""
    monkeypatch.setattr(module, "hugepages_lack", lambda mib: "none")
    with shared_memory(16, libvirt) as chosen:
        assert (chosen.kind, bool(chosen.backing), bool(chosen.arguments)) == (kind, kind == "memfd", kind == "file")
        assert str(chosen).startswith(f"{kind}: none")
        assert chosen.settings == {"hugetlbfs_mount": []}


def test_hugepages_are_had_in_a_folder_of_our_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Verify: NUMA, pages and the folder agree; the folder is gone afterwards."""
    monkeypatch.setattr(module, "hugepages_lack", lambda mib: "")
    monkeypatch.setattr(module, "_mount", lambda: tmp_path)
    with shared_memory(16, "3.0.0") as chosen:
        folder = Path(str(chosen.settings["hugetlbfs_mount"]))
        assert folder.is_dir()
        assert folder.parent == tmp_path
        assert "memAccess='shared'" in chosen.cpu
        assert "memory='16'" in chosen.cpu
        assert "size='2048'" in chosen.backing
    assert not folder.exists()
