"""Where a component is compiled: its source at one variant, an object folder, and commands that run there with a log.

All variants of one flavour share an object folder; each flavour has one of its own.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from reconnect.kit import command, stamp
from reconnect.kit.command import CommandError, pasteable
from reconnect.kit.console import Step
from reconnect.kit.errors import BuildError, ConfigError
from reconnect.project.config import ANYWHERE, Component
from reconnect.project.workspace import Workspace
from reconnect.toolchain import applying
from reconnect.toolchain.recipes import Argv, BuildPaths, Recipe, find
from reconnect.toolchain.series import PATCHED

COMPILE_SECONDS = 5400.0
"""Deadline of one compile; a slow machine takes half an hour."""

_ERROR = re.compile(
    r": (?:fatal )?error: |: undefined reference to|(?:^|: )ERROR: |: \*\*\* |^\S+Error: |multiple definition of"
)


@dataclass(frozen=True)
class Flavour:
    """One way of configuring a component.

    :param name: part of the names of its folders and logs; empty for the ordinary one.
    :param configure: options after those of ``build.configure``.
    """

    name: str = ""
    configure: tuple[str, ...] = ()

    @property
    def suffix(self) -> str:
        """What tells its folders from those of the ordinary flavour."""
        return f"-{self.name}" if self.name else ""


ORDINARY = Flavour()


def sanitized(component: Component) -> Flavour:
    """The flavour with AddressSanitizer.

    :raises ConfigError: stacks.toml doesn't say how this component is built with it.
    """
    if component.sanitize is None:
        raise ConfigError(
            f"stacks.toml does not say how {component.name} is built with a sanitizer",
            hint="give it a sanitize table there, or name another component",
        )
    return Flavour("asan", component.sanitize.configure)


@dataclass(frozen=True)
class Attempt:
    """A command that was allowed to fail: what it printed, how it ended (empty: well), and whether its time was up."""

    output: str
    ending: str
    out_of_time: bool


def source_tree(workspace: Workspace, component: Component) -> Path:
    """The component's source tree, shared by all variants and flavours."""
    return workspace.work(component.name) / "source"


class Workbench:
    """One variant of a component in one flavour. Whoever uses it holds the component's lock.

    :ivar name: variant and flavour, for example ``patched-asan``.
    :ivar place: the folders.
    :ivar stamp: what the install was made from, written when it is there.
    :ivar log: takes the output of all commands since :meth:`begin`.
    :ivar step: shows the progress of all commands.
    """

    step: Step

    def __init__(
        self,
        workspace: Workspace,
        component: Component,
        variant: str,
        flavour: Flavour = ORDINARY,
        log: Path | None = None,
    ) -> None:
        work = workspace.work(component.name)
        self.component = component
        self.name = variant + flavour.suffix
        self.build = dataclasses.replace(component.build, configure=(*component.build.configure, *flavour.configure))
        self.recipe: Recipe = find(component.build.recipe)
        self.place = BuildPaths(
            source=source_tree(workspace, component),
            objects=work / f"objects{flavour.suffix}",
            # All variants share their objects, and so their configured prefix: a baseline that isn't relocatable can
            # be looked at, but runs with the patched variant's files.
            prefix=ANYWHERE
            if component.build.relocatable
            else workspace.install(component.name, PATCHED + flavour.suffix),
            destdir=work / f"stage-{self.name}",
            programs=workspace.programs,
            state=workspace.state,
            jobs=workspace.settings.jobs,
        )
        self.log = log or work / "logs" / f"{self.name}.log"
        self.environment = _environment(workspace)
        self.stamp = work / f"{self.name}.built.json"
        self._configured = work / f"configured{flavour.suffix}.json"

    @cached_property
    def configure_inputs(self) -> dict[str, str]:
        """What a configure step depends on; a change of any of these makes the objects worthless."""
        return {
            "configure options": stamp.digest(
                *self.recipe.configure(self.build, self.place), *(word for argv in self.build.prepare for word in argv)
            ),
            "compiler": command.run(["gcc", "-dumpfullversion", "-dumpmachine"], check=False).output.strip(),
            "component version": self.component.version,
        }

    def begin(self, commit: str, current: Step) -> None:
        """Bring the source to a commit, begin the log anew, and configure where that isn't done yet.

        :param current: becomes :attr:`step`.
        :raises BuildError: the configure step failed.
        """
        self.step = current
        applying.checkout(self.place.source, commit)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.unlink(missing_ok=True)
        if not stamp.why_redo(self._configured, self.configure_inputs, {"objects": self.place.objects}):
            return
        self._configured.unlink(missing_ok=True)
        shutil.rmtree(self.place.objects, ignore_errors=True)
        self.place.objects.mkdir(parents=True)
        for argv in self.build.prepare:
            self.run("prepare", list(argv), self.place.source)
        self.run("configure", self.recipe.configure(self.build, self.place))
        stamp.write(self._configured, self.configure_inputs)

    def run(self, what: str, argv: Argv, cwd: Path | None = None) -> str:
        """Run a command of the build.

        :param what: ``configure``, ``compile``, for messages.
        :param cwd: the object folder, unless another one is named.
        :returns: its output.
        :raises BuildError: it failed; shows the first error and the log.
        """
        try:
            return command.run(
                argv,
                cwd=cwd or self.place.objects,
                env=self.environment,
                log=self.log,
                timeout=COMPILE_SECONDS,
                on_line=self.progress(what),
                subreaper=True,
            ).output
        except CommandError as error:
            raise self._failure(what, error) from error

    def attempt(
        self,
        argv: Argv,
        seconds: float,
        environment: Iterable[str] = (),
        cwd: Path | None = None,
    ) -> Attempt:
        """Run a command that may well fail and leave processes behind: tests. Nothing of it outlives the call.

        :param seconds: until it is ended.
        :param environment: words ``NAME=value``, more of them for the command.
        :param cwd: the object folder, unless another one is named.
        """
        try:
            done = command.run(
                argv,
                cwd=cwd or self.place.objects,
                env={**self.environment, **dict(word.split("=", 1) for word in environment)},
                log=self.log,
                timeout=seconds,
                check=False,
                on_line=self.progress("test"),
                subreaper=True,
            )
        except CommandError as error:
            return Attempt(error.output, error.ending, error.out_of_time)
        return Attempt(done.output, command.describe_exit(done.returncode) if done.returncode else "", False)

    def progress(self, what: str) -> Callable[[str], None]:
        """Show that something begins, and with each line how far it is."""
        self.step.progress(what)
        return lambda line: self.step.progress(f"{what} {line}")

    def _failure(self, what: str, error: CommandError) -> BuildError:
        log = self.log
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else list(error.tail)
        first = next((line.strip() for line in lines if _ERROR.search(line)), "")
        tail = "\n".join(f"| {line}" for line in error.tail[-6:])
        return BuildError(
            f"{self.component.name} {self.name}: {what} failed" + (f": {first}" if first else ""),
            why=f"{pasteable(error.argv, error.cwd)}\nended with {error.ending}; last lines:\n{tail}",
            hint=f"read {log}\nwhat has been compiled is kept: the same command goes on from here",
        )


def _environment(workspace: Workspace) -> Mapping[str, str]:
    return {
        "CC": "ccache gcc",
        "CXX": "ccache g++",
        "CCACHE_DIR": str(workspace.cache_dir("ccache")),
        # Two checkouts share what they compile: paths below the build folder are hashed as relative ones.
        "CCACHE_BASEDIR": str(workspace.build),
        "CCACHE_NOHASHDIR": "1",
        "CCACHE_MAXSIZE": "5G",
        # The programs of our own environment (meson, ninja) first, for build scripts that look for them.
        "PATH": f"{workspace.programs}:{os.environ.get('PATH', '/usr/bin:/bin')}",
        "LC_ALL": "C.UTF-8",
        "MAKEFLAGS": "",
    }
