"""What pages tell to do by hand, done as they say, command by command, at a program that compiles in a moment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reconnect.project.workspace import ROOT
from tests.pages import Page
from tests.toolchain.conftest import Tiny
from tests.toolchain.world import AUTHOR, DEADLINE, Checkout, component, part

PAGE = Page(ROOT / "docs/patches.md")
COMPONENT, SUBJECT = "qemu-7.2", "one handshake per connection"
"""What the page edits."""

EDIT = "build/work/tiny/edit"


@pytest.fixture
def tiny_under_git(tiny: Tiny) -> Tiny:
    """The checkout as a repository of its own, as the page's reader has it."""
    for words in (["init", "--quiet"], ["add", "patches"], ["commit", "--quiet", "--message", "ours"]):
        subprocess.run(["git", *words], cwd=tiny.checkout.root, env=_environment(tiny), check=True, timeout=60)
    return tiny


def _environment(tiny: Tiny) -> dict[str, str]:
    """A user's, whose own settings would spoil an export."""
    home = tiny.checkout.root.parent
    (home / ".gitconfig").write_text("[format]\n\tsignature = mine\n\tnumbered = false\n\tsuffix = .mail\n")
    committer = {name.replace("AUTHOR", "COMMITTER"): value for name, value in AUTHOR.items()}
    own = {"HOME": str(home), "RECONNECT_CACHE": str(tiny.checkout.cache), "PYTHONPATH": str(tiny.checkout.root)}
    return {**os.environ, **AUTHOR, **committer, **own}


def _run(tiny: Tiny, text: str) -> str:
    """A command of the page, for our small component. Fails where the command does."""
    for shown, ours in ((COMPONENT, "tiny"), ("net/vhost-user", "part"), (SUBJECT, "count from two")):
        text = text.replace(shown, ours)
    text = text.replace("./inv ", f"{sys.executable} -m reconnect.program ")
    argv = ["bash", "-c", text]
    done = subprocess.run(
        argv, cwd=tiny.checkout.root, env=_environment(tiny), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"{text}: {done.stdout}{done.stderr}"
    return done.stdout


def test_a_series_is_edited_as_the_page_says(tiny_under_git: Tiny) -> None:
    """Steps: each command of the section in its turn, with an edit before each commit, and the new name in ``series``.

    Verify: before any edit the export gives the same bytes; in the end the series has the new patch and the changed
    one, and makes the tree that was edited; no tree and no branch are left.
    """
    tiny = tiny_under_git
    root, folder = tiny.checkout.root, tiny.checkout.patches / "tiny"
    before = {path.name: path.read_bytes() for path in folder.glob("*.patch")}
    commands = [command.text for command in PAGE.commands("Edit")]
    export = next(text for text in commands if "format-patch" in text)
    edits = iter([{"main.c": "\n"}, {"part.c": part(3)}])
    for text in commands:
        if " commit " in text:
            for name, content in next(edits).items():
                path = root / EDIT / name
                path.write_text(content if name == "part.c" else path.read_text() + content)
        if text.startswith("rm "):
            _rewritten_alike(tiny, before, export)
        _run(tiny, text)
        if text == export:
            _list(folder)
    after = {path.name: path.read_bytes() for path in folder.glob("*.patch")}
    assert len(after) == len(before) + 1
    assert after[tiny.names[0]] == before[tiny.names[0]].replace(b"PATCH 1/2", b"PATCH 1/3")
    assert b"return 3" in after[tiny.names[1]]
    assert not (root / EDIT).exists()
    assert "edit" not in _run(tiny, "git -C build/work/tiny/source branch --list edit")


@pytest.mark.compiler
def test_a_series_is_moved_to_a_new_source_as_the_page_says(tiny_under_git: Tiny) -> None:
    """Steps: the tree of one's own; a source that has changed beside what the patches change; the page's rebase.

    Verify: the series no longer applies (4), and the exported one does, onto the new source.
    """
    tiny = tiny_under_git
    edit = PAGE.commands("Edit")
    for command in edit[:2]:
        _run(tiny, command.text)
    old = tiny.base
    tiny.base = tiny.repo.commit({"part.c": part(0).replace("(void)", "(void) /* new */")}, "upstream goes on")
    tiny.stacks()
    tiny.checkout.run("patch", "--component", "tiny").expect(4, "does not apply: part.c")
    (rebase,) = (text for text in PAGE.code if text.startswith("git rebase --onto"))
    _run(tiny, f"cd {EDIT} && {rebase.replace('OLD_BASE', old)}")
    (export,) = (command.text for command in edit if "format-patch" in command.text)
    _run(tiny, f"rm patches/tiny/*.patch && {export}")
    tiny.checkout.run("build", "--component", "tiny").expect(0)
    assert subprocess.check_output([tiny.prints("patched")], text=True, timeout=60) == "part 2"


def _rewritten_alike(tiny: Tiny, before: dict[str, bytes], export: str) -> None:
    """The export of the commits that the series itself made is the series, byte by byte."""
    folder = tiny.checkout.patches / "tiny"
    for path in folder.glob("*.patch"):
        path.unlink()
    _run(tiny, export.replace("refs/reconnect/base..edit", "refs/reconnect/base..HEAD").replace("edit ", "source "))
    assert {path.name: path.read_bytes() for path in folder.glob("*.patch")} == before


def _list(folder: Path) -> None:
    names = sorted(path.name for path in folder.glob("*.patch"))
    (folder / "series").write_text("\n".join([names[0], "# feature", *names[1:], ""]), encoding="utf-8")


@pytest.mark.compiler
def test_a_component_is_added_as_the_page_says(tiny: Tiny) -> None:
    """Steps: its tables, then the page's commands: an empty series, and a build. Verify: the program as it came."""
    name = "qemu-8.2"
    page = Page(ROOT / "docs/add-a-component.md")
    assert name in page.blocks("toml")[0][1]
    tiny.checkout.write_stacks(
        component("tiny", [tiny.repo.url], tiny.base),
        component("other", [tiny.other.url], tiny.other.head, program="libvirt", series="other", recipe="meson"),
        component(name, [tiny.repo.url], tiny.base, series=name),
    )
    for command in page.commands("2. An empty series, and a build"):
        _run(tiny, command.text)
    assert subprocess.check_output([tiny.prints("patched", name)], text=True, timeout=60) == "part 0"


def test_hashes_are_looked_up_as_the_page_says(checkout: Checkout) -> None:
    """Steps: drop a package from the generated list, then the page's commands. Verify: it is there again, hashed."""
    commands = Page(ROOT / "CONTRIBUTING.md").commands("Python packages")
    assert len(commands) == 3
    lists = ("requirements.in", "requirements-checks.in", "pyproject.toml")
    for name in lists:
        shutil.copy2(ROOT / name, checkout.root / name)
    generated = checkout.root / "requirements.txt"
    generated.write_text("")
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command.text], cwd=checkout.root, capture_output=True, text=True, timeout=DEADLINE
        )
        assert done.returncode == 0, f"{command.text}: {done.stdout}{done.stderr}"
    for name in ("requirements.txt", "requirements-checks.txt"):
        # The index may have got further files of a version since.
        assert set((ROOT / name).read_text().split()) <= set((checkout.root / name).read_text().split())
