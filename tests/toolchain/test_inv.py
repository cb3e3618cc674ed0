"""./inv and ``doctor``: what a machine lacks, said with the command that mends it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconnect.project.workspace import ROOT
from tests.toolchain.world import DEADLINE, Checkout, Ended, copy_checkout
from tests.wheels import NO_INDEX, make_wheel

NOBODY = 65534
GONE = "reconnect-no-such-package"


def without_rights(argv: list[str]) -> list[str]:
    """The command as a user without any right."""
    drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if os.geteuid() == 0 else []
    return [*drop, *argv]


def as_nobody(argv: list[str], cwd: Path, **env: str) -> Ended:
    """Run a command as a user without any right."""
    done = subprocess.run(
        without_rights(argv),
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "HOME": str(cwd), **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    return Ended(done.returncode, done.stdout, 0)


@pytest.fixture
def nobodys() -> Iterator[Checkout]:
    """A checkout that belongs to nobody, where that user can reach it."""
    with tempfile.TemporaryDirectory(prefix="reconnect-test-", dir="/tmp") as folder:
        checkout = copy_checkout(Path(folder) / "checkout")
        if os.geteuid() == 0:
            for path in [Path(folder), *Path(folder).rglob("*")]:
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        yield checkout


def lack(checkout: Checkout) -> None:
    """Let the list of packages name one that is not there."""
    with (checkout.root / "debian-packages.txt").open("a") as listed:
        listed.write(f"\n[test]\n{GONE}  # nobody has it\n")


def test_without_root_the_exact_command_is_printed_and_nothing_installed(nobodys: Checkout) -> None:
    """Steps: call ./inv as nobody with a package missing. Verify: 6, the command, no apt, no environment."""
    lack(nobodys)
    done = as_nobody(["./inv", "status"], nobodys.root)
    done.expect(
        6,
        f"error: Debian packages are missing: {GONE}",
        "why: installing them needs root",
        f"do : sudo apt-get update && sudo apt-get install --no-install-recommends --yes {GONE}\n",
    )
    assert not (nobodys.root / ".venv").exists()
    assert not (nobodys.root / "build/packages.log").exists()


def test_a_checkout_that_one_may_not_write_to(nobodys: Checkout) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder to another user")
    os.chown(nobodys.root / "build", 0, 0)
    as_nobody(["./inv", "status"], nobodys.root).expect(6, "build", "belongs to another user")


def test_a_system_that_is_not_debian(nobodys: Checkout) -> None:
    """Steps: call ./inv with a PATH of all that it uses but dpkg-query. Verify: 6 and what to use."""
    for name in ("sh", "sed", "tr", "dirname", "readlink", "mkdir", "flock", "id", "grep", "printf"):
        (nobodys.root / "bin").mkdir(exist_ok=True)
        (nobodys.root / "bin" / name).symlink_to(shutil.which(name) or f"/bin/{name}")
    done = subprocess.run(
        ["./inv"],
        cwd=nobodys.root,
        env={"PATH": f"{nobodys.root}/bin"},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert done.returncode == 6
    assert "dpkg-query is missing" in done.stderr


def test_an_old_python_is_refused(nobodys: Checkout) -> None:
    old = nobodys.root / "old-python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    as_nobody(["./inv", "status"], nobodys.root, PYTHON=str(old)).expect(6, "is older than Python 3.11", "PYTHON=")


def test_a_package_index_that_is_not_there_leaves_no_half_environment(nobodys: Checkout) -> None:
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:1/simple", "PIP_RETRIES": "0", "PIP_CONFIG_FILE": "/dev/null"}
    done = as_nobody(["./inv", "status"], nobodys.root, PYTHON="/usr/bin/python3", **nowhere)
    done.expect(6, "the Python environment could not be made", "build/venv.log", "pip config list")
    assert "No matching distribution" in done.output
    assert not (nobodys.root / ".venv").exists()


@pytest.mark.parametrize("listed", ["requirements.txt", "requirements-checks.txt"])
def test_a_python_package_that_is_not_the_pinned_file_is_refused(nobodys: Checkout, listed: str) -> None:
    """Steps: let the index serve another file under a pinned version. Verify: 6, and nothing is left installed."""
    wheels = nobodys.root / "wheels"
    for name, package in (("requirements.txt", "first"), ("requirements-checks.txt", "second")):
        (nobodys.root / name).write_text(make_wheel(wheels, package))
    (nobodys.root / listed).write_text(re.sub("[0-9a-f]{64}", "0" * 64, (nobodys.root / listed).read_text()))
    env = {**NO_INDEX, "PIP_FIND_LINKS": str(wheels), "PYTHON": "/usr/bin/python3"}
    done = as_nobody(["./inv", "status"], nobodys.root, **env)
    done.expect(6, "DO NOT MATCH THE HASHES", "the Python environment could not be made")
    assert not (nobodys.root / ".venv").exists()


def test_a_python_package_without_a_hash_is_refused(nobodys: Checkout) -> None:
    wheels = nobodys.root / "wheels"
    (nobodys.root / "requirements.txt").write_text(make_wheel(wheels, "first").split()[0])
    (nobodys.root / "requirements-checks.txt").write_text("")
    env = {**NO_INDEX, "PIP_FIND_LINKS": str(wheels), "PYTHON": "/usr/bin/python3"}
    done = as_nobody(["./inv", "status"], nobodys.root, **env)
    done.expect(6, "Hashes are required", "the Python environment could not be made")
    assert not (nobodys.root / ".venv").exists()


def installed(checkout: Checkout, program: str) -> dict[str, str]:
    """A checkout whose requirements are one package; ``invoke`` is a program that runs ``program`` in its place."""
    wheels = checkout.root / "wheels"
    (checkout.root / "requirements.txt").write_text(make_wheel(wheels, "first"))
    (checkout.root / "requirements-checks.txt").write_text("")
    (checkout.root / "reconnect/program.py").write_text(program)
    return {**NO_INDEX, "PIP_FIND_LINKS": str(wheels), "PYTHON": "/usr/bin/python3"}


def test_an_environment_is_made_beside_one_that_is_in_use(nobodys: Checkout) -> None:
    """Steps: a task runs; meanwhile the requirements change and another task is called; the first one ends; once more.

    Verify: the first still has its environment, which goes when it has ended and the requirements change again; .venv
    is always the newest.
    """
    gate = nobodys.root / "gate"
    os.mkfifo(gate)
    gate.chmod(0o666)
    waits = "import sys; print(sys.prefix, flush=True); sys.argv[1:] == ['wait'] and open('gate').read()"
    env = installed(nobodys, waits)
    with subprocess.Popen(
        without_rights(["./inv", "wait"]),
        cwd=nobodys.root,
        env={"PATH": os.environ["PATH"], "HOME": str(nobodys.root), **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as first:
        assert first.stdout is not None
        old = nobodys.root / next(line for line in first.stdout if ".venvs" in line).strip()
        assert (nobodys.root / ".venv").resolve() == old.resolve()
        (nobodys.root / "requirements-checks.txt").write_text(make_wheel(nobodys.root / "wheels", "second"))
        as_nobody(["./inv", "status"], nobodys.root, **env).expect(0)
        new = (nobodys.root / ".venv").resolve()
        assert new != old.resolve()
        assert (old / "bin/python").exists()
        gate.write_text("go")
        assert first.wait(DEADLINE) == 0
    (nobodys.root / "requirements-checks.txt").write_text("")
    (nobodys.root / "requirements.txt").write_text(make_wheel(nobodys.root / "wheels", "third"))
    as_nobody(["./inv", "status"], nobodys.root, **env).expect(0)
    assert [path.resolve() for path in (nobodys.root / "build/.venvs").iterdir()] == [
        (nobodys.root / ".venv").resolve()
    ]


def test_a_folder_of_an_older_version_makes_room_for_the_link(nobodys: Checkout) -> None:
    """Steps: a .venv that is a folder, as it was; a task. Verify: the link is there, the folder has moved."""
    env = installed(nobodys, "print('ran')")
    (nobodys.root / ".venv/bin").mkdir(parents=True)
    if os.geteuid() == 0:
        os.chown(nobodys.root / ".venv", NOBODY, NOBODY)
    as_nobody(["./inv", "status"], nobodys.root, **env).expect(0, "ran")
    assert (nobodys.root / ".venv").is_symlink()
    assert len(list((nobodys.root / "build/.venvs").glob("before.*/bin"))) == 1


def test_our_shell_is_clean() -> None:
    """What the Dockerfile runs in its own lines is checked with it, by hadolint."""
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not on this machine")
    docker = [path for path in sorted((ROOT / "docker").iterdir()) if path.read_bytes().startswith(b"#!/bin/sh\n")]
    assert {path.name for path in docker} >= {"entrypoint", "install-packages"}
    scripts = [ROOT / "inv", ROOT / ".ci/run", *docker, *sorted((ROOT / "reconnect/lab/probe").glob("*.sh"))]
    done = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stdout


def test_doctor_names_what_is_missing_and_the_command(checkout: Checkout) -> None:
    lack(checkout)
    done = checkout.run("doctor", COLUMNS="300")
    done.expect(6, "checks failed", f"do : apt-get install --no-install-recommends {GONE}", "Debian packages [test]")
    rows = [line.split() for line in done.output.splitlines()]
    assert ["missing", "Debian", "packages", "[test]", GONE] in rows


def test_doctor_refuses_a_malformed_list(checkout: Checkout) -> None:
    with (checkout.root / "debian-packages.txt").open("a") as listed:
        listed.write("two words # why\n")
    checkout.run("doctor").expect(2, "debian-packages.txt:", "is not 'package  # why' below a [section]")


def test_doctor_on_this_machine(checkout: Checkout) -> None:
    """All that the list names is here, since ./inv has installed it."""
    (checkout.root / "debian-packages.txt").write_text("[one]\ndpkg # every Debian has it\n")
    done = checkout.run("doctor", COLUMNS="300")
    for check in ("Debian packages [one]", "processors", "memory", "disk below build/", "KVM", "apt sources", "cache"):
        assert check in done.output
    assert f"{checkout.cache} (empty)" in done.output
    checkout.run("doctor", RECONNECT_OFFLINE="1", COLUMNS="300")


def test_doctor_of_a_temporary_folder_with_a_long_name(checkout: Checkout, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    (checkout.root / "debian-packages.txt").write_text("[one]\ndpkg # every Debian has it\n")
    checkout.run("doctor", TMPDIR=str(long)).expect(6, "unix sockets", "set TMPDIR to a short directory")
