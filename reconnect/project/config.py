"""stacks.toml read whole into frozen objects, and checked before any work starts."""

from __future__ import annotations

import re
import string
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from reconnect.kit import typed
from reconnect.kit.errors import ConfigError
from reconnect.kit.suggest import unknown

RECIPES = ("autotools", "meson")
HARNESSES = ("meson", "automake", "glib", "make")
PROGRAMS = ("qemu", "libvirt")
ANYWHERE = Path("/usr/local")
"""The prefix that relocatable programs are configured for; nothing is installed there."""

PLACEHOLDERS = ("meson", "ninja", "prefix", "state")
"""What configure options may hold in braces; :func:`reconnect.toolchain.recipes.options` fills it in."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]*")


@dataclass(frozen=True)
class Submodule:
    """A git submodule whose files become part of the component's base tree.

    ``path`` is its folder in the tree, ``commit`` the id that the superproject's own link must name.
    """

    path: str
    origins: tuple[str, ...]
    commit: str


@dataclass(frozen=True)
class GitSource:
    """A git repository, pinned by commit id; ``tag_object`` is the id of the signed tag, where there is one."""

    origins: tuple[str, ...]
    commit: str
    tag: str | None = None
    tag_object: str | None = None
    submodules: tuple[Submodule, ...] = ()

    @property
    def parts(self) -> tuple[GitSource | Submodule, ...]:
        """The repository itself, then its submodules: each has origins and a commit."""
        return (self, *self.submodules)


@dataclass(frozen=True)
class DebianSource:
    """A Debian source package, pinned by its upstream version; a mirror keeps only the newest point release of it."""

    package: str
    upstream: str


@dataclass(frozen=True)
class Build:
    """How a component is configured and compiled.

    :param recipe: ``autotools`` or ``meson``.
    :param script: for ``meson``: a script of the source that wraps ``meson setup`` (QEMU's configure).
    :param prepare: commands run once in the fresh source tree (a bootstrap), each an argument list.
    :param configure: options of the configure step; ``{meson}``, ``{ninja}``, ``{prefix}`` and
        ``{state}`` (see :attr:`reconnect.project.workspace.Workspace.state`) stand for paths.
    :param targets: what to compile; nothing means all.
    :param install: further words of the install command.
    :param install_also: for ``autotools``: the words of further ``make`` commands that install something.
    :param relocatable: the program finds its files from where it lies. It is then configured for :data:`ANYWHERE`,
        so that what it compiles to doesn't depend on the checkout's path, and checkouts share the compiler cache.
    :param firmware: folders with the firmware that the program loads, absolute or below the install prefix.
    :param products: files below the install prefix that must exist after the install.
    :param disk_mib: free disk in MiB that source, objects and install take.
    """

    recipe: str
    configure: tuple[str, ...]
    products: tuple[str, ...]
    disk_mib: int
    script: str | None = None
    prepare: tuple[tuple[str, ...], ...] = ()
    targets: tuple[str, ...] = ()
    install: tuple[str, ...] = ()
    install_also: tuple[tuple[str, ...], ...] = ()
    relocatable: bool = False
    firmware: tuple[str, ...] = ()


@dataclass(frozen=True)
class Suite:
    """A part of a program's own tests, found, compiled and run by one harness.

    :param harness: ``meson``, ``automake``, ``glib`` or ``make``: see :mod:`reconnect.toolchain.upstream.harnesses`.
    :param tests: shell patterns over the names of the tests; those that fit none of them are left out.
    :param lists: for all but ``meson``: the make variables that hold the names.
    :param folder: of that Makefile, below the object folder.
    :param targets: what to compile besides the tests.
    :param words: for ``glib``: more words for each program.
    :param environment: words ``NAME=value`` for the tests.
    :param deadline: seconds until a test is ended.
    """

    name: str
    harness: str
    tests: tuple[str, ...]
    deadline: int
    lists: tuple[str, ...] = ()
    folder: str = "."
    targets: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()


@dataclass(frozen=True)
class Need:
    """What some tests need of the machine; without it they are skipped.

    :param tests: shell patterns over their names.
    :param path: a file, or the name of a program.
    :param why: what it is and where it comes from, for the reason of the skip.
    """

    tests: tuple[str, ...]
    path: str
    why: str


@dataclass(frozen=True)
class Upstream:
    """The program's own tests, as ``test-upstream`` runs them.

    :param configure: options beside those of the build; with any, the tests get an object folder of their own.
    :param firmware: folders with more firmware than ``build.firmware`` names, which tests load.
    :param firmware_into: a folder below the object folder, where the program that lies there looks for firmware.
    """

    suites: tuple[Suite, ...]
    configure: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()
    firmware: tuple[str, ...] = ()
    firmware_into: str | None = None


@dataclass(frozen=True)
class Sanitize:
    """How the component is built with AddressSanitizer, and what its program is told then.

    :param configure: options beside those of the build.
    :param environment: words ``NAME=value`` for the program.
    :param slower: deadlines of the lab are stretched by this factor.
    """

    configure: tuple[str, ...]
    environment: tuple[str, ...]
    slower: int


@dataclass(frozen=True)
class Component:
    """One upstream program at one version."""

    name: str
    program: str
    version: str
    licence: str
    series: str
    build: Build
    git: GitSource | None = None
    debian: DebianSource | None = None
    upstream: Upstream | None = None
    sanitize: Sanitize | None = None

    @property
    def source(self) -> GitSource | DebianSource:
        """Where the component's source comes from."""
        source = self.git or self.debian
        assert source, "load() refuses a component without a source"
        return source


@dataclass(frozen=True)
class Stack:
    """The components that are tested together, by name."""

    name: str
    title: str
    qemu: str
    libvirt: str

    @property
    def components(self) -> tuple[str, ...]:
        """Names of its components, QEMU first."""
        return (self.qemu, self.libvirt)

    @property
    def by_role(self) -> dict[str, str]:
        """The same, by role: ``qemu``, ``libvirt``."""
        return {"qemu": self.qemu, "libvirt": self.libvirt}


@dataclass(frozen=True)
class GuestPackages:
    """The Debian packages that the test guest is made of; neither is installed on the host."""

    kernel: str
    busybox: str


@dataclass(frozen=True)
class Switch:
    """A switch that is taken from Debian's packages, unpacked and not installed.

    :param packages: what it consists of; the first one's version is the switch's.
    :param program: the switch itself, a path within them.
    :param libraries: packages of the host that bring the libraries which the program needs.
    """

    name: str
    packages: tuple[str, ...]
    program: str
    libraries: tuple[str, ...]


@dataclass(frozen=True)
class Config:
    """All of stacks.toml."""

    components: Mapping[str, Component]
    stacks: Mapping[str, Stack]
    guest: GuestPackages
    switches: Mapping[str, Switch]

    def component(self, name: str) -> Component:
        """The component of that name.

        :raises ConfigError: nobody knows it.
        """
        if name not in self.components:
            raise unknown("component", name, self.components)
        return self.components[name]

    def switch(self, name: str) -> Switch:
        """The switch of that name.

        :raises ConfigError: nobody knows it.
        """
        if name not in self.switches:
            raise unknown("switch", name, self.switches)
        return self.switches[name]

    def stack(self, name: str) -> Stack:
        """The stack of that name (``auto`` is not one: see :mod:`reconnect.toolchain.choice`).

        :raises ConfigError: nobody knows it.
        """
        if name not in self.stacks:
            raise unknown("stack", name, [*self.stacks, "auto"])
        return self.stacks[name]


_NAMED = ("component", "stack", "switch")
"""The tables whose entries have names."""


@dataclass(frozen=True)
class _File:
    """The top level of stacks.toml; its tables of tables are read one by one, for their names."""

    guest: GuestPackages


def load(path: Path, patches: Path) -> Config:
    """Read and check stacks.toml.

    :param patches: the folder with the series, so that a series that doesn't exist is refused here.
    :raises ConfigError: it is malformed, or a reference in it leads nowhere.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"can't read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name} is not valid TOML: {error}", hint=f"mend {path}") from error
    components = {
        name: _component(name, table, f"{path.name} [component.{name}]", patches)
        for name, table in _named(tables, "component", path)
    }
    stacks = {
        name: _stack(name, table, f"{path.name} [stack.{name}]", components)
        for name, table in _named(tables, "stack", path)
    }
    switches = {
        name: typed.read(Switch, table, f"{path.name} [switch.{name}]", name=name)
        for name, table in (_named(tables, "switch", path) if "switch" in tables else ())
    }
    rest = typed.read(_File, {k: v for k, v in tables.items() if k not in _NAMED}, path.name)
    return Config(MappingProxyType(components), MappingProxyType(stacks), rest.guest, MappingProxyType(switches))


def _named(tables: dict[str, object], key: str, path: Path) -> list[tuple[str, object]]:
    named = tables.get(key)
    if not isinstance(named, dict) or not named:
        raise ConfigError(f"{path.name} has no [{key}.NAME] table")
    return list(named.items())


def _component(name: str, table: object, where: str, patches: Path) -> Component:
    if not _NAME.fullmatch(name):  # it becomes a folder, a git ref, and a word between commas
        raise ConfigError(f"{where}: {name!r} is not a name", hint="use letters, digits, and . + _ - within")
    component = typed.read(Component, table, where, name=name)
    if component.program not in PROGRAMS:
        raise unknown("program", component.program, PROGRAMS, where)
    if component.build.recipe not in RECIPES:
        raise unknown("recipe", component.build.recipe, RECIPES, where)
    if (component.git is None) == (component.debian is None):
        raise ConfigError(f"{where} must have exactly one of the tables git and debian")
    if component.git:
        _check_git(component.git, where)
    if not component.build.products:
        raise ConfigError(f"{where}: build.products is empty", hint="name the program first, then what it needs")
    for option in component.build.configure:
        _check_placeholders(option, f"{where} build.configure")
    if component.upstream:
        _check_upstream(component.upstream, f"{where} upstream")
    if component.sanitize:
        _check_sanitize(component.sanitize, f"{where} sanitize")
    if not (patches / component.series / "series").is_file():
        known = [p.parent.name for p in patches.glob("*/series")]
        raise unknown("series", component.series, known, where)
    return component


def _check_git(git: GitSource, where: str) -> None:
    for what in git.parts:
        if not _COMMIT.fullmatch(what.commit):
            raise ConfigError(f"{where}: commit {what.commit!r} is not a commit id of 40 hexadecimal digits")
        if not what.origins:
            raise ConfigError(f"{where}: origins is empty", hint="name at least one URL")
    if git.tag_object:
        if not _COMMIT.fullmatch(git.tag_object):
            raise ConfigError(f"{where}: {git.tag_object!r} is not the id of a tag object of 40 hexadecimal digits")
        if not git.tag:
            raise ConfigError(f"{where}: tag_object without tag", hint="name the tag whose object it is")


def _check_upstream(upstream: Upstream, where: str) -> None:
    names = [suite.name for suite in upstream.suites]
    if not names:
        raise ConfigError(f"{where} has no suites", hint="leave the table out where nothing is to be tested")
    for suite in upstream.suites:
        here = f"{where} suite {suite.name!r}"
        if not _NAME.fullmatch(suite.name) or names.count(suite.name) > 1:
            raise ConfigError(f"{here}: that is not a name, or two suites have it")
        if suite.harness not in HARNESSES:
            raise unknown("harness", suite.harness, HARNESSES, here)
        if not suite.tests:
            raise ConfigError(f"{here}: tests is empty", hint='name patterns, ["*"] for all')
        if suite.deadline < 1:
            raise ConfigError(f"{here}: deadline must be a second at least")
        if (suite.harness == "meson") == bool(suite.lists):
            hint = "meson knows its tests itself; for the others name the make variables that hold them"
            raise ConfigError(f"{here}: lists does not fit the harness {suite.harness}", hint=hint)
        _check_environment(suite.environment, here)
    for option in upstream.configure:
        _check_placeholders(option, f"{where}.configure")


def _check_sanitize(sanitize: Sanitize, where: str) -> None:
    if not sanitize.configure:
        raise ConfigError(f"{where}: configure is empty", hint="name the options that compile the sanitizer in")
    if sanitize.slower < 1:
        raise ConfigError(f"{where}: slower must be 1 at least")
    _check_environment(sanitize.environment, where)
    for option in sanitize.configure:
        _check_placeholders(option, f"{where}.configure")


def _check_environment(words: tuple[str, ...], where: str) -> None:
    for word in words:
        if not word.partition("=")[1] or word.startswith("="):
            raise ConfigError(f"{where}: environment has {word!r}", hint="write NAME=value")


def _check_placeholders(option: str, where: str) -> None:
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(option) if name is not None]
    except ValueError as error:
        raise ConfigError(f"{where}: {option!r}: {error}", hint="write {{ and }} for braces") from error
    for name in names:
        if name not in PLACEHOLDERS:
            raise unknown("placeholder", name, PLACEHOLDERS, where)


def _stack(name: str, table: object, where: str, components: Mapping[str, Component]) -> Stack:
    stack = typed.read(Stack, table, where, name=name)
    for program, reference in (("qemu", stack.qemu), ("libvirt", stack.libvirt)):
        if reference not in components:
            raise unknown("component", reference, components, f"{where} {program}")
        if components[reference].program != program:
            raise ConfigError(f"{where}: {reference} is a {components[reference].program}, not a {program}")
    if name == "auto":
        raise ConfigError(f"{where}: a stack can't be called auto", hint="auto chooses among the stacks")
    return stack
