"""Both trees of a component through its suites, one after the other in one object folder, then the comparison."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

from reconnect.kit import disk
from reconnect.kit.console import say, step
from reconnect.kit.errors import ConfigError
from reconnect.kit.lock import exclusive
from reconnect.kit.suggest import unknown
from reconnect.project.config import Component, Suite, Upstream
from reconnect.project.workspace import Workspace
from reconnect.toolchain import building
from reconnect.toolchain.building import Patched
from reconnect.toolchain.series import BASELINE, PATCHED
from reconnect.toolchain.upstream import harnesses
from reconnect.toolchain.upstream.compare import Row, compare, reclassify_flaky
from reconnect.toolchain.upstream.outcome import Outcome, Result
from reconnect.toolchain.workbench import ORDINARY, Flavour, Workbench


@dataclass
class Verdict:
    """One component, tested.

    :param commits: by variant.
    :param rows: see :func:`reconnect.toolchain.upstream.compare.compare`.
    """

    component: Component
    version: str
    commits: Mapping[str, str]
    started: str
    rows: list[Row] = field(default_factory=list)

    @property
    def bad(self) -> list[Row]:
        """What counts against the patches."""
        return [row for row in self.rows if row.change.bad]


def results_folder(workspace: Workspace, component: Component) -> Path:
    """Takes the results and the logs of the component's last run."""
    return workspace.build / "upstream" / component.name


def run(workspace: Workspace, component: Component, only: str = "") -> Verdict:
    """Compile and run the tests of both trees, and those that are worse once more.

    :param only: shell patterns over names of tests, with commas between: just these.
    :raises ConfigError: the component has no tests, or nothing has such a name.
    :raises BuildError: the tests of a tree don't compile.
    """
    upstream = component.upstream
    if upstream is None:
        raise ConfigError(f"stacks.toml names no tests of {component.name}", hint="give it an upstream table there")
    flavour = Flavour("tests", upstream.configure) if upstream.configure else ORDINARY
    with exclusive(workspace.work(component.name), f"test-upstream {component.name}"):
        patched = building.prepare(workspace, component)
        disk.require(workspace.build, component.build.disk_mib // 2, f"testing {component.name}")
        tested = Verdict(
            component,
            patched.fetched.version,
            patched.applied.commits,
            datetime.now(UTC).isoformat(timespec="seconds"),
        )
        folder = results_folder(workspace, component)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        trees = {
            v: _Tree(Workbench(workspace, component, v, flavour, folder / f"{v}.log"), upstream, only)
            for v in (BASELINE, PATCHED)
        }
        if BASELINE not in patched.applied.trees:
            say(f"the series {component.series} has no patch of a feature: its one tree is tested, once")
            found = dict.fromkeys(trees, _test(trees[PATCHED], patched, PATCHED))
        else:
            found = {variant: _test(tree, patched, variant) for variant, tree in trees.items()}
        tested.rows = compare(found[BASELINE], found[PATCHED])
        if tested.bad:
            tested.rows = _again(tested, trees[PATCHED], found[BASELINE])
    return tested


def _test(tree: _Tree, patched: Patched, variant: str) -> list[Result]:
    component = patched.fetched.component
    with step(f"test {component.name} {variant}") as current:
        tree.bench.begin(patched.applied.commits[variant], current)
        tree.prepare()
        results = list(tree.run())
        current.done(counts(results))
    return results


def _again(tested: Verdict, tree: _Tree, before: Sequence[Result]) -> list[Row]:
    """Run the tests again that are worse, each alone: a failure that doesn't come back is not the patches'."""
    names = list(dict.fromkeys((row.suite, row.test) for row in tested.bad))
    with step(f"once more, each alone: {', '.join(test for _, test in names)}") as current:
        tree.bench.step = current
        results = [result for suite, test in names for result in tree.run_one(suite, test)]
        rows = compare([r for r in before if (r.suite, r.test) in names], results)
        told = reclassify_flaky(tested.rows, rows)
        current.done(f"{sum(row.change.bad for row in told)} still worse")
    return told


def counts(results: Sequence[Result]) -> str:
    """``12 pass, 1 fail``."""
    found = [(outcome, sum(r.outcome is outcome for r in results)) for outcome in Outcome]
    return ", ".join(f"{number} {outcome}" for outcome, number in found if number) or "nothing was run"


class _Tree:
    """The suites of one variant."""

    def __init__(self, bench: Workbench, upstream: Upstream, only: str) -> None:
        self.bench, self._upstream = bench, upstream
        self._only = [word.strip() for word in only.split(",") if word.strip()]
        self._chosen: dict[str, list[str]] = {}
        self._skipped: list[Result] = []

    def prepare(self) -> None:
        """Find and compile the tests.

        :raises ConfigError: ``only`` fits nothing.
        """
        known: list[str] = []
        self._chosen, self._skipped = {}, []
        for suite in self._upstream.suites:
            names = [n for n in harnesses.find(self.bench, suite).find() if _fits(n, suite.tests)]
            known += names
            self._choose(suite, [n for n in names if not self._only or _fits(n, self._only)])
        for word in self._only:
            if not any(_fits(name, [word]) for name in known):
                raise unknown("test", word, known, "--only")
        for suite in self._upstream.suites:
            if self._chosen[suite.name]:
                harnesses.find(self.bench, suite).compile(self._chosen[suite.name])
        self._link_firmware()

    def run(self) -> Iterator[Result]:
        """Run all that was compiled."""
        yield from self._skipped
        for suite in self._upstream.suites:
            if chosen := self._chosen[suite.name]:
                say(f"    {suite.name}: {len(chosen)} tests")
                yield from harnesses.find(self.bench, suite).run(chosen)

    def run_one(self, suite_name: str, test: str) -> list[Result]:
        """Run one test."""
        suite = next(s for s in self._upstream.suites if s.name == suite_name)
        return harnesses.find(self.bench, suite).run([test]) if test in self._chosen[suite_name] else []

    def _choose(self, suite: Suite, names: Sequence[str]) -> None:
        chosen = self._chosen[suite.name] = []
        for name in names:
            lacking = [n for n in self._upstream.needs if _fits(name, n.tests) and not _is_there(n.path)]
            if lacking:
                why = "; ".join(f"{need.path} is missing: {need.why}" for need in lacking)
                self._skipped.append(Result(suite.name, name, "", Outcome.SKIP, why))
            else:
                chosen.append(name)

    def _link_firmware(self) -> None:
        """Put the machine's firmware where the program looks that lies in the object folder."""
        if not self._upstream.firmware_into:
            return
        into = self.bench.place.objects / self._upstream.firmware_into
        into.mkdir(parents=True, exist_ok=True)
        for folder in map(Path, (*self.bench.component.build.firmware, *self._upstream.firmware)):
            for file in folder.iterdir() if folder.is_dir() else ():
                link = into / file.name
                if file.is_file() and not os.path.lexists(link):
                    link.symlink_to(file)


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _is_there(path: str) -> bool:
    return Path(path).exists() if "/" in path else shutil.which(path) is not None
