"""A sanitizer's report, read from recorded ones and from a real program's end."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from reconnect.kit.deadline import Deadline
from reconnect.lab.binaries import Binaries, Qemu
from reconnect.lab.guest.image import Guest
from reconnect.lab.options import Options
from reconnect.lab.process.failure import CellError, CellFailed
from reconnect.lab.process.waiter import Waiter
from reconnect.lab.qemu import sanitizer
from reconnect.lab.qemu.arguments import QemuArguments
from reconnect.lab.qemu.vm import Vm

DATA = Path(__file__).parent / "data"

BROKEN = """
#include <stdlib.h>
static int vectors(int *queue) { return *queue; }
int main(void)
{
    int *queue = malloc(sizeof(*queue));
    free(queue);
    return vectors(queue);
}
"""


@pytest.mark.parametrize(
    ("log", "told", "last"),
    [
        (
            "sanitizer-uaf.log",
            "AddressSanitizer: heap-use-after-free in vectors (uaf.c:6) < main (uaf.c:13)",
            "SUMMARY: AddressSanitizer: heap-use-after-free /src/hw/net/uaf.c:6 in vectors",
        ),
        (
            "sanitizer-leak.log",
            "LeakSanitizer: detected memory leaks in started (uaf.c:4) < main (uaf.c:9)",
            "SUMMARY: AddressSanitizer: 64 byte(s) leaked in 1 allocation(s).",
        ),
    ],
)
def test_a_report_in_one_line(log: str, told: str, last: str) -> None:
    """Verify: what was found and the innermost functions, without the sanitizer's own; the rest is kept."""
    report = sanitizer.report_in(DATA / log)
    assert sanitizer.told(report) == told
    assert last in report
    assert "a line before" not in "".join(report)


def test_logs_without_a_report(tmp_path: Path) -> None:
    assert sanitizer.report_in(tmp_path / "none") == []
    log = tmp_path / "log"
    log.write_text("qemu: warning: ERROR: no sanitizer\n==12==WARNING: ASan is ignoring requested\n")
    assert sanitizer.report_in(log) == []


def test_a_report_that_was_cut_off(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"==1==ERROR: AddressSanitizer: SEGV on unknown address 0x0 (pc 0x1\n    #0 0x55 in \xff")
    assert sanitizer.told(sanitizer.report_in(log)) == "AddressSanitizer: SEGV in ?".replace(
        "?", "\N{REPLACEMENT CHARACTER}"
    )


def _vm(tmp_path: Path, compile_with: str) -> Vm:
    (tmp_path / "qemu.c").write_text(BROKEN)
    program = tmp_path / "qemu"
    subprocess.run(["gcc", "-g", *compile_with.split(), "-o", program, tmp_path / "qemu.c"], check=True, timeout=60)
    environment = ("ASAN_OPTIONS=exitcode=86",)
    qemu = Qemu("qemu", "1", program, (), "c", (), "t", environment)
    guest = Guest(tmp_path, tmp_path, "6")
    vhost, qmp, probe = (tmp_path / name for name in ("vhost", "qmp", "probe"))
    return Vm(QemuArguments(qemu, guest, vhost, qmp, probe, tmp_path / "console"), tmp_path, Waiter(), Deadline(30))


@pytest.mark.guards("qemu/virtual_machine.py VirtualMachine._check_memory: {sanitizer.told(report)}")
@pytest.mark.compiler
def test_a_program_that_a_sanitizer_ends_fails_its_cell_with_the_report(tmp_path: Path) -> None:
    """Steps: start a program in QEMU's place that reads memory which it has freed.

    Verify: the cell is wrong, not just broken, as the report says; its details are the report's lines.
    """
    with pytest.raises(
        CellFailed, match=r"^AddressSanitizer: heap-use-after-free in vectors \(qemu\.c:3\) < main"
    ) as caught:
        _vm(tmp_path, "-fsanitize=address").__enter__()
    assert any("freed by thread T0" in line for line in caught.value.details)


@pytest.mark.compiler
def test_the_same_without_a_sanitizer_is_just_an_end(tmp_path: Path) -> None:
    with pytest.raises(CellError, match="QEMU ended by itself"):
        _vm(tmp_path, "-w").__enter__()


def test_a_slower_qemu_gets_more_time_and_is_measured_alike() -> None:
    slow = Options().slowed(3)
    assert (slow.boot, slow.fault, slow.recovery) == (360.0, 45.0, 90.0)
    assert (slow.dead, slow.interval_us, slow.steady) == (10.0, 20_000, 50)


def test_both_builds_are_told() -> None:
    qemu = Qemu("qemu", "1", Path("qemu"), (), "c", (), "t")
    told = Binaries(qemu, qemu).with_environment(("A=1",))
    assert told.baseline.environment == told.patched.environment == ("A=1",)
