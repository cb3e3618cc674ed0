"""Our own series are what the page's export makes of the commits that they themselves make: the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconnect.kit.errors import SourceError
from reconnect.project import config, settings
from reconnect.project.config import Component
from reconnect.project.workspace import ROOT, Workspace
from reconnect.toolchain import applying, fetching
from reconnect.toolchain.base import BASE, import_base, resolve
from reconnect.toolchain.gitrepo import git
from reconnect.toolchain.series import read
from reconnect.toolchain.workbench import source_tree
from tests.pages import Page

WORKSPACE = Workspace(ROOT, settings.load())
STACKS = config.load(WORKSPACE.stacks, WORKSPACE.patches)


def export(tree: Path, base: str, commit: str, folder: Path) -> dict[str, bytes]:
    """The mails of some commits, by the options that the page gives."""
    (command,) = (c.text for c in Page(ROOT / "docs/patches.md").commands("Edit") if "format-patch" in c.text)
    options = command.partition("format-patch")[2].partition("--output-directory")[0].replace("\\\n", " ").split()
    assert "--zero-commit" in options
    git("format-patch", *options, "--output-directory", folder, f"{base}..{commit}", cwd=tree)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def borrowed(component: Component, tree: Path, *, unpack: bool) -> str:
    """A repository of our own that has the component's base, where its source is there; else an empty word.

    :param unpack: the cache will do as well: half a minute for a source package.
    """
    made = source_tree(WORKSPACE, component)
    git("init", "--quiet", "--initial-branch=upstream", ".", cwd=tree)
    if base := resolve(made, BASE):
        # Objects are only ever added to it: no lock is needed to read them.
        (tree / ".git/objects/info/alternates").write_text(f"{made / '.git/objects'}\n", encoding="utf-8")
        git("update-ref", BASE, base, cwd=tree)
        return base
    if not unpack:
        return ""
    try:
        return import_base(fetching.cached(WORKSPACE, component), tree)
    except SourceError:
        return ""


@pytest.mark.parametrize("name", list(STACKS.components))
def test_a_series_is_what_its_own_commits_export(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Steps: git am of all patches, git format-patch. Verify: the same names and the same bytes."""
    component = STACKS.component(name)
    tree = tmp_path / "work/source"
    tree.mkdir(parents=True)
    quick = request.config.getoption("--quick")
    base = borrowed(component, tree, unpack=not quick)
    if not base:
        pytest.skip(f"the source of {name} is not {'unpacked, and the run is --quick' if quick else 'in the cache'}")
    series = read(WORKSPACE.patches / component.series)
    commit = applying.apply(series, base, tree).commits["patched"]
    exported = export(tree, base, commit, tmp_path / "exported")
    assert series.patches
    assert sorted(exported) == [patch.name for patch in series.patches]
    differing = [patch.name for patch in series.patches if exported[patch.name] != patch.path.read_bytes()]
    assert not differing
