"""The import contracts of pyproject.toml: each fails on an import that it forbids."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from reconnect.project.workspace import ROOT

PLANTS = {
    "kit imports nothing of ours": ("kit/lock.py", "from reconnect.project import settings"),
    "project imports only kit": ("project/settings.py", "import reconnect.report.results"),
    "toolchain and lab know nothing of each other": ("lab/run.py", "from reconnect.toolchain.apt import Apt"),
    "report knows neither toolchain nor lab": ("report/table.py", "import reconnect.lab"),
    "lab.stub stands alone": ("lab/stub/wire.py", "from reconnect.kit import sockets"),
    "only jobs and ship see toolchain and lab": ("program.py", "import reconnect.lab.run"),
    "nothing imports tasks": ("jobs/doctor.py", "import tasks"),
}
"""By contract: a module and the line that is planted there."""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package and its contracts, to be spoilt."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "reconnect", tmp_path / "reconnect", ignore=ignore)
    (tmp_path / "tests").mkdir()
    for name in ("pyproject.toml", "tasks.py", "tests/__init__.py", "tests/contracts.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def lint(folder: Path) -> tuple[int, list[str]]:
    """import-linter's exit code and output in a checkout."""
    linter = Path(sys.executable).with_name("lint-imports")
    argv = [str(linter), "--no-cache", "--no-logo"]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, (done.stdout + done.stderr).splitlines()


def test_the_package_keeps_them(copy: Path) -> None:
    code, lines = lint(copy)
    assert code == 0, lines
    assert {f"{name} KEPT" for name in PLANTS} <= set(lines)


def test_each_contract_has_a_plant() -> None:
    """A new contract fails here until an import is planted that breaks it."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert [contract["name"] for contract in contracts] == list(PLANTS)


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_import_breaks_its_contract(copy: Path, name: str) -> None:
    module, line = PLANTS[name]
    spoilt = copy / "reconnect" / module
    spoilt.write_text(f"{spoilt.read_text()}\n\ndef planted() -> None:\n    {line}\n")
    code, lines = lint(copy)
    assert code == 1, lines
    assert f"{name} BROKEN" in lines


def test_a_contract_about_a_package_that_is_gone_is_a_mistake(copy: Path) -> None:
    """A renamed package doesn't leave a contract behind that holds for ever."""
    pyproject = copy / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace('"reconnect.lab.stub"', '"reconnect.lab.stubs"'))
    code, lines = lint(copy)
    assert code != 0
    assert any("there is no module reconnect.lab.stubs" in line for line in lines), lines
