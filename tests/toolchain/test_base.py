"""The base tree: pristine source as one commit, the same id wherever it is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconnect.kit.errors import SourceError
from reconnect.project import config
from reconnect.project.config import Component
from reconnect.project.workspace import Workspace
from reconnect.toolchain.base import BASE, import_base, resolve
from reconnect.toolchain.fetching import fetch
from reconnect.toolchain.gitrepo import git
from tests.toolchain.world import Checkout, Repo, component


@pytest.fixture
def module(tmp_path: Path) -> Repo:
    """The repository of a submodule."""
    return Repo.make(tmp_path / "module", {"lib/m.c": "int m;\n", "README": "of the module\n"})


@pytest.fixture
def super_(tmp_path: Path, module: Repo) -> Repo:
    """A repository that links the module as ``deps/m``."""
    repo = Repo.make(tmp_path / "super", {"main.c": "int main;\n", "deps/README": "beside the module\n"})
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{module.head},deps/m")
    repo.commit_index("link the module")
    return repo


def load(checkout: Checkout, super_: Repo, module: Repo, pin: str = "") -> tuple[Workspace, Component]:
    checkout.write_stacks(
        component(
            "tiny",
            [super_.url],
            super_.head,
            series="qemu-7.2",
            submodules=[("deps/m", module.url, pin or module.head)],
        ),
        component("other", [super_.url], super_.head, program="libvirt", series="qemu-7.2"),
    )
    workspace = checkout.workspace
    return workspace, config.load(workspace.stacks, workspace.patches).component("tiny")


def test_a_submodules_files_take_the_place_of_its_link(
    checkout: Checkout, super_: Repo, module: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps: import twice, into two places, with another name, date and umask of the user the second time.

    Verify: the tree has all files; both imports have the same commit id; the import leaves no work tree.
    """
    workspace, tiny = load(checkout, super_, module)
    fetched = fetch(workspace, tiny)
    first = workspace.work("tiny") / "source"
    commit = import_base(fetched, first)
    files = git("ls-tree", "-r", "--name-only", commit, cwd=first).output.split()
    assert files == ["deps/README", "deps/m/README", "deps/m/lib/m.c", "main.c"]
    assert resolve(first, BASE) == commit
    assert [p.name for p in first.iterdir()] == [".git"]

    monkeypatch.setenv("GIT_AUTHOR_NAME", "somebody")
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2001-01-01T00:00:00Z")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    second = workspace.work("again") / "source"
    assert import_base(fetched, second) == commit
    assert import_base(fetched, second) == commit  # from its marker


def test_a_pin_that_is_not_the_linked_commit_is_refused(checkout: Checkout, super_: Repo, module: Repo) -> None:
    linked = module.head
    moved = module.commit({"lib/m.c": "int other;\n"}, "moved")
    workspace, tiny = load(checkout, super_, module, moved)
    fetched = fetch(workspace, tiny)
    tree = workspace.work("tiny") / "source"
    with pytest.raises(SourceError) as caught:
        import_base(fetched, tree)
    text = str(caught.value)
    assert "the submodule deps/m of tiny is not the one that its commit names" in text
    assert linked in text
    assert moved in text
    assert resolve(tree, BASE) == ""


def test_a_pin_where_nothing_is_linked_is_refused(checkout: Checkout, module: Repo, tmp_path: Path) -> None:
    plain = Repo.make(tmp_path / "plain", {"main.c": "int main;\n"})
    workspace, tiny = load(checkout, plain, module)
    with pytest.raises(SourceError, match="links nothing there"):
        import_base(fetch(workspace, tiny), workspace.work("tiny") / "source")


@pytest.mark.parametrize("left", ["an empty .git", "a .git without a marker"])
def test_an_interrupted_import_is_done_again(checkout: Checkout, super_: Repo, module: Repo, left: str) -> None:
    workspace, tiny = load(checkout, super_, module)
    fetched = fetch(workspace, tiny)
    tree = workspace.work("tiny") / "source"
    if left == "an empty .git":
        (tree / ".git").mkdir(parents=True)
    else:
        import_base(fetched, tree)
        for ref in git("for-each-ref", "--format=%(refname)", "refs/reconnect", cwd=tree).output.split():
            git("update-ref", "-d", ref, cwd=tree)
        (tree / ".git/index.base").write_bytes(b"half")
    commit = import_base(fetched, tree)
    assert resolve(tree, BASE) == commit
    assert "deps/m/lib/m.c" in git("ls-tree", "-r", "--name-only", commit, cwd=tree).output
