"""A run that can't go on still writes its results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from reconnect.kit.errors import HostError
from reconnect.lab import run as run_module
from reconnect.lab.backends.testpmd import Testpmd
from reconnect.lab.binaries import Binaries, Qemu
from reconnect.lab.cell import Cell
from reconnect.lab.cells import select
from reconnect.lab.guest.image import Guest
from reconnect.lab.options import Options
from reconnect.lab.run import run_cells
from reconnect.report.results import CellResult, ComponentInfo, StackInfo, load

NOWHERE = Path("/nonexistent")
QEMU = Qemu("qemu-7.2", "7.2.22", NOWHERE, (), "c" * 40, (), "t" * 40)
BINARIES = Binaries(QEMU, QEMU)
GUEST = Guest(NOWHERE, NOWHERE, "6.1.0")
STACK = StackInfo("debian-12", "named", "", {"qemu": ComponentInfo("7.2.22", "c" * 40, (), "t" * 40)})


@pytest.fixture(autouse=True)
def _any_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests start no backend: let them run where none is installed."""
    monkeypatch.setattr(Testpmd, "require", classmethod(lambda cls: None))


def _cells(schemes: str) -> Sequence[Cell]:
    return select(schemes)


def test_a_path_too_long_ends_the_run_with_its_results(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps: run a cell with a TMPDIR so long that no socket can be made below it.

    Verify: a machine error that names TMPDIR; results.json and junit.xml have the cell as an error; nothing is left.
    """
    long = tmp_path_factory.mktemp("l" * 100)
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.setattr("tempfile.tempdir", None)
    with pytest.raises(HostError, match="too long for a unix socket") as caught:
        run_cells(_cells("default,explicit"), BINARIES, GUEST, STACK, tmp_path / "run")
    assert "TMPDIR" in caught.value.hint
    (cell,) = load(tmp_path / "run").cells
    assert cell.verdict == "error"
    assert "too long" in cell.why
    assert cell.logs == ("default-testpmd-crash-1/failure.txt",)
    assert len(ElementTree.parse(tmp_path / "run" / "junit.xml").findall(".//error")) == 1
    assert not list(long.iterdir())


@pytest.mark.parametrize(
    ("error", "why"), [(KeyboardInterrupt(), "interrupted"), (ZeroDivisionError("x"), "internal error: Zero")]
)
def test_what_was_finished_survives_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, why: str
) -> None:
    """Steps: the second of three cells is interrupted, or meets a bug.

    Verify: the exception goes on; results.json has the first cell's result, the second as an error, no third.
    """

    def fake(cell: Cell, binaries: Binaries, guest: Guest, folder: Path, options: Options) -> CellResult:
        if cell.scheme == "server":
            raise error
        return CellResult(cell.scheme, cell.backend, cell.fault, cell.repeat, "dead", "permanent", "pass", "")

    monkeypatch.setattr(run_module, "run_cell", fake)
    with pytest.raises(type(error)):
        run_cells(_cells("baseline,server,default"), BINARIES, GUEST, STACK, tmp_path)
    first, second = load(tmp_path).cells
    assert first.verdict == "pass"
    assert (second.scheme, second.verdict) == ("server", "error")
    assert second.why.startswith(why)


@pytest.mark.parametrize(
    ("error", "why"), [(KeyboardInterrupt(), "interrupted"), (ZeroDivisionError("x"), "internal error: Zero")]
)
def test_the_entry_under_way_is_in_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, why: str
) -> None:
    """Steps: the second of three cases of the matrix is interrupted, or meets a bug.

    Verify: the exception goes on; results.json has the first, the second as an error with what it should show, no
    third.
    """

    def fake(cells: Sequence[Cell], *_: object) -> Iterator[CellResult]:
        yield CellResult("default", "stub", cells[0].fault, 1, "recovers", "permanent", "pass", "")
        raise error

    monkeypatch.setattr(run_module, "run_matrix", fake)
    cases = select("default", "stub", "rehearse@set-link,rehearse@reboot,rehearse@quit")
    with pytest.raises(type(error)):
        run_cells(cases, BINARIES, GUEST, STACK, tmp_path)
    first, second = load(tmp_path).cells
    assert (first.fault, first.verdict) == ("rehearse@set-link", "pass")
    assert (second.fault, second.verdict, second.expected) == ("rehearse@reboot", "error", "recovers")
    assert second.why.startswith(why)
    assert second.logs == ("default-stub-rehearse-reboot-1/failure.txt",)


def test_a_run_names_nothing_of_its_machine() -> None:
    """Verify: facts that figures depend on, and neither a host's name nor a path."""
    facts = run_module.host_facts(Options(), GUEST)
    assert set(facts) == {"system", "kernel", "guest_kernel", "processors", "memory_mib", "accelerator", "load"}


def test_run_ids_sort_by_time() -> None:
    """Verify: the form that makes the newest folder the last one."""
    assert run_module.new_run_id() <= run_module.new_run_id()
    assert len(run_module.new_run_id()) == len("20261122T120000Z")
