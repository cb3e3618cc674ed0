"""A small real world for the tests of the toolchain: repositories, series, components, checkouts with an own cache.

Nothing here is a stand-in: the repositories are git's, the series come from ``git format-patch``, and a checkout is
a copy of this one, whose tasks run in a process of their own.
"""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from reconnect.project import settings
from reconnect.project.workspace import ROOT, Workspace
from reconnect.toolchain.gitrepo import HERMETIC

AUTHOR = {
    "GIT_AUTHOR_NAME": "A Developer",
    "GIT_AUTHOR_EMAIL": "developer@example.invalid",
    "GIT_AUTHOR_DATE": "2020-02-02T02:02:02+00:00",
}

DEADLINE = 120.0
"""Seconds until a wait of a test is given up."""

Files = Mapping[str, str | bytes | None]
"""Contents by path; None removes the file."""


@dataclass(frozen=True)
class Repo:
    """A git repository with a work tree."""

    path: Path

    @classmethod
    def make(cls, path: Path, files: Files) -> Repo:
        """A repository with one commit."""
        path.mkdir(parents=True)
        repo = cls(path)
        repo.git("init", "--quiet", "--initial-branch=main", ".")
        repo.commit(files, "first")
        return repo

    @property
    def url(self) -> str:
        return self.path.as_uri()

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def git(self, *words: str | Path) -> str:
        argv = ["git", *map(str, words)]
        env = {**os.environ, **HERMETIC, **AUTHOR}
        done = subprocess.run(argv, cwd=self.path, env=env, capture_output=True, text=True, timeout=DEADLINE)
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def write(self, files: Files) -> None:
        """Change the work tree without a commit."""
        for name, content in files.items():
            path = self.path / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def commit(self, files: Files, message: str) -> str:
        """Change files and commit. Returns the commit's id."""
        self.write(files)
        self.git("add", "--all")
        return self.commit_index(message)

    def commit_index(self, message: str) -> str:
        """Commit what is staged, with a Signed-off-by. Returns the commit's id."""
        self.git("commit", "--quiet", "--signoff", "--allow-empty", "-m", message)
        return self.head

    def tag(self, name: str, message: str = "release") -> str:
        """Make (or move) an annotated tag at HEAD. Returns the id of the tag object."""
        self.git("tag", "--force", "--annotate", "-m", message, name)
        return self.git("rev-parse", f"refs/tags/{name}")

    def export(self, base: str, folder: Path, *, baseline: int | None = None) -> list[str]:
        """Export ``base..HEAD`` as a series, with ``# feature`` after that many patches. Returns the names."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        words = ("--zero-commit", "--full-index", "--no-signature", "--find-renames", "--binary", "--quiet")
        self.git("format-patch", *words, "-o", folder, f"{base}..HEAD")
        names = sorted(p.name for p in folder.glob("*.patch"))
        list_patches(folder, names, baseline)
        return names


def list_patches(folder: Path, names: Sequence[str], baseline: int | None = None) -> None:
    """Write the series file."""
    lines = [*names] if baseline is None else [*names[:baseline], "# feature", *names[baseline:]]
    (folder / "series").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


@dataclass(frozen=True)
class Ended:
    """A task that has ended."""

    code: int
    output: str
    seconds: float

    def expect(self, code: int, *texts: str) -> Ended:
        """Check the exit code, that each text was printed, and that no traceback was."""
        assert self.code == code, f"ended with {self.code}, not {code}:\n{self.output}"
        assert "Traceback" not in self.output, self.output
        for text in texts:
            assert text in self.output, f"{text!r} is not in:\n{self.output}"
        return self


@dataclass
class Task:
    """A task that is under way, with its output in a file."""

    process: subprocess.Popen[bytes]
    log: Path
    started: float = field(default_factory=time.monotonic)

    @property
    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def children(self) -> list[psutil.Process]:
        """All processes that it has started and that still run."""
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def interrupt(self, sig: int = signal.SIGINT) -> None:
        self.process.send_signal(sig)

    def wait(self) -> Ended:
        code = self.process.wait(DEADLINE)
        return Ended(code, self.output, time.monotonic() - self.started)

    def wait_for_output(self, text: str) -> None:
        """Wait until it has printed a text."""
        end = time.monotonic() + DEADLINE
        while text not in self.output:
            assert time.monotonic() < end, f"{text!r} was not printed:\n{self.output}"
            assert self.process.poll() is None, f"ended before {text!r} was printed:\n{self.output}"
            select.select([], [], [], 0.02)


@dataclass
class Checkout:
    """A copy of this checkout with a cache, a home and stacks of its own."""

    root: Path
    cache: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def patches(self) -> Path:
        return self.root / "patches"

    @property
    def workspace(self) -> Workspace:
        """The same folders, for calls of the package's functions in this process."""
        return Workspace(self.root, settings.load(self._environment({})))

    def source(self, component: str) -> Path:
        return self.workspace.work(component) / "source"

    def log(self, component: str, variant: str) -> str:
        """The log of the last build of a variant."""
        path = self.workspace.work(component) / "logs" / f"{variant}.log"
        return path.read_text(encoding="utf-8")

    def write_stacks(self, *tables: str) -> None:
        """Replace stacks.toml: the stack "small" of the components "tiny" and "other", and these tables."""
        (self.root / "stacks.toml").write_text("\n".join([STACKS_HEAD, *tables]), encoding="utf-8")

    def run(self, *words: str, **env: str) -> Ended:
        """Run a task to its end."""
        with self.start(*words, **env) as task:
            return task.wait()

    @contextmanager
    def start(self, *words: str, **env: str) -> Iterator[Task]:
        """Start a task; whatever is left of it is killed at the end of the block."""
        number = len(list(self.root.glob("task-*.log")))
        log = self.root / f"task-{number}.log"
        # A shell in the background ignores SIGINT, and what it starts inherits that.
        argv = ["env", "--default-signal=INT", sys.executable, "-m", "reconnect.program", *words]
        with log.open("wb") as output:
            process = subprocess.Popen(
                argv,
                cwd=self.root,
                env=self._environment(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        task = Task(process, log)
        try:
            yield task
        finally:
            children = task.children()
            process.kill()
            process.wait(DEADLINE)
            # They end by themselves then; to kill them first would leave what they have started meanwhile.
            _, alive = psutil.wait_procs(children, timeout=10)
            for left in alive:
                left.kill()

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root.parent),
            "PYTHONPATH": str(self.root),
            "RECONNECT_CACHE": str(self.cache),
            "RECONNECT_JOBS": "2",
            **self.env,
            **more,
        }


def copy_checkout(into: Path) -> Checkout:
    """Copy what git tracks of this checkout and the tasks need; compiled Python with it, for speed."""
    into.mkdir(parents=True)
    lists = ("debian-packages.txt", "requirements.txt", "requirements-checks.txt")
    for name in ("inv", "tasks.py", "stacks.toml", *lists):
        shutil.copy2(ROOT / name, into / name)
    shutil.copytree(ROOT / "reconnect", into / "reconnect")
    shutil.copytree(ROOT / "patches", into / "patches")
    (into / "build").mkdir()
    shutil.copy2(ROOT / "build/.gitignore", into / "build/.gitignore")
    return Checkout(into, into.parent / "cache")


STACKS_HEAD = """
[stack.small]
title = "two programs that compile in a moment"
qemu = "tiny"
libvirt = "other"

[guest]
kernel = "linux-image-cloud-amd64"
busybox = "busybox-static"
"""


def component(
    name: str,
    origins: Sequence[str],
    commit: str,
    *,
    program: str = "qemu",
    series: str = "tiny",
    recipe: str = "autotools",
    tag: str = "",
    tag_object: str = "",
    configure: Sequence[str] = (),
    disk_mib: int = 1,
    products: Sequence[str] = ("bin/tiny",),
    submodules: Sequence[tuple[str, str, str]] = (),
) -> str:
    """The tables of a git component in stacks.toml. ``submodules``: path, URL and commit of each."""
    git: dict[str, object] = {"origins": list(origins), "commit": commit}
    git |= {"tag": tag} if tag else {}
    git |= {"tag_object": tag_object} if tag_object else {}
    build = {
        "recipe": recipe,
        "configure": list(configure),
        "disk_mib": disk_mib,
        "products": list(products),
    }
    head = {"program": program, "version": "1.0", "licence": "GPL-2.0-or-later", "series": series}
    tables = [_table(f'component."{name}"', head), _table(f'component."{name}".git', git)]
    for path, url, pin in submodules:
        row = {"path": path, "origins": [url], "commit": pin}
        tables.append(_table(f'component."{name}".git.submodules', row, array=True))
    tables.append(_table(f'component."{name}".build', build))
    return "\n".join(tables)


def debian_component(name: str, package: str, upstream: str, *, program: str = "libvirt", series: str = "none") -> str:
    """The tables of a Debian component in stacks.toml."""
    head = {"program": program, "version": upstream, "licence": "LGPL-2.1-or-later", "series": series}
    build = {"recipe": "autotools", "configure": [], "disk_mib": 1, "products": ["bin/x"]}
    debian = {"package": package, "upstream": upstream}
    tables: dict[str, Mapping[str, object]] = {"": head, ".debian": debian, ".build": build}
    return "\n".join(_table(f'component."{name}"{sub}', values) for sub, values in tables.items())


def _table(name: str, values: Mapping[str, object], *, array: bool = False) -> str:
    # Strings, numbers and lists of these are written alike in JSON and TOML.
    lines = [f"[[{name}]]" if array else f"[{name}]", *(f"{k} = {json.dumps(v)}" for k, v in values.items())]
    return "\n".join(lines) + "\n"


class Gate:
    """Two FIFOs with which a command of a test says that it has come somewhere, and waits until it may go on.

    In a shell: ``echo x >"$GATE.reached"; read go <"$GATE.go"``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ends = []
        for suffix in ("reached", "go"):
            fifo = path.with_name(f"{path.name}.{suffix}")
            os.mkfifo(fifo)
            # Open at both ends here, so that no open() blocks, whoever comes first.
            self._ends.append(os.open(fifo, os.O_RDWR | os.O_NONBLOCK))

    def wait_until_reached(self, task: Task) -> None:
        """Wait until a command of a task has come to the gate."""
        end = time.monotonic() + DEADLINE
        while not select.select([self._ends[0]], [], [], 0.1)[0]:
            assert task.process.poll() is None, f"ended before the gate:\n{task.output}"
            assert time.monotonic() < end, f"nothing came to the gate:\n{task.output}"
        os.read(self._ends[0], 2)

    def open(self) -> None:
        """Let one command through."""
        os.write(self._ends[1], b"go\n")

    def close(self) -> None:
        for end in self._ends:
            os.close(end)


GATE = 'if [ -n "$$GATE" ]; then echo x >"$$GATE.reached"; read go <"$$GATE.go"; fi'
"""The gate's commands as a line of a Makefile; without the variable GATE it does nothing."""

AUTOTOOLS: dict[str, str] = {
    "configure": r"""#!/bin/sh
set -e
src=$(cd "$(dirname "$0")" && pwd)
prefix=/usr/local
for word in "$@"; do
    case $word in
        --prefix=*) prefix=${word#*=} ;;
        --with-nothing) echo "ERROR: there is no such library" >&2; exit 1 ;;
    esac
done
printf 'SRC = %s\nPREFIX = %s\nCC = %s\ninclude $(SRC)/rules.mk\n' "$src" "$prefix" "${CC:-gcc}" >Makefile
echo CONFIGURED
""",
    "rules.mk": f"""
all: tiny
%.o: $(SRC)/%.c
\t@{GATE}
\t@echo COMPILE $*.c
\t$(CC) -I$(SRC) -c -o $@ $<
tiny: main.o part.o
\t$(CC) -o $@ $^
install:
\tinstall -D tiny $(DESTDIR)$(PREFIX)/bin/tiny
""",
    "noise.txt": random.Random(1).randbytes(20_000).hex(),
    "main.c": '#include <stdio.h>\nint part(void);\nint main(void)\n{\n\tprintf("part %d", part());\n\treturn 0;\n}\n',
    "part.c": "int part(void)\n{\n\treturn 0;\n}\n",
}
"""A program that is configured and compiled in a moment. It prints the number that part.c returns.

The noise takes most of its pack file, so that a byte in the middle of that belongs to it.
"""

MESON: dict[str, str] = {
    "meson.build": "project('tiny', 'c')\nexecutable('tiny', 'main.c', 'part.c', install: true)\n",
    "main.c": AUTOTOOLS["main.c"],
    "part.c": AUTOTOOLS["part.c"],
}


def part(number: int) -> str:
    """part.c of :data:`AUTOTOOLS` with another number."""
    return AUTOTOOLS["part.c"].replace("0", str(number))


def tiny_repo(path: Path, files: Mapping[str, str] = AUTOTOOLS) -> Repo:
    """A repository of the small program, whose configure can be run."""
    repo = Repo.make(path, files)
    if "configure" in files:
        (path / "configure").chmod(0o755)
        repo.git("add", "configure")
        repo.git("commit", "--quiet", "--amend", "--no-edit")
    return repo


def tiny_series(repo: Repo, folder: Path) -> list[str]:
    """Two patches onto HEAD, one in each part of the series: the baseline prints 1, the patched program 2."""
    base = repo.head
    repo.commit({"part.c": part(1)}, "part: count from one")
    repo.commit({"part.c": part(2)}, "part: count from two")
    names = repo.export(base, folder, baseline=1)
    repo.git("reset", "--quiet", "--hard", base)
    return names
