"""A series onto its base, with real repositories and real mails."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconnect.kit.errors import ConfigError, PatchError
from reconnect.toolchain import applying
from reconnect.toolchain.applying import Applied
from reconnect.toolchain.series import read
from tests.toolchain.conftest import Tiny
from tests.toolchain.world import Repo, list_patches, part

LINES = [f"line {n}" for n in range(1, 61)]
FILES = {"long.txt": "\n".join(LINES) + "\n", "other.txt": "other\n", "sub/gone.txt": "gone\n", "sub/old.txt": "old\n"}


@dataclass
class World:
    """``repo`` is where patches are made, ``tree`` the source tree that they are applied to."""

    repo: Repo
    tree: Repo
    base: str
    folder: Path

    def export(self, *changes: Callable[[Repo], object], baseline: int | None = None) -> list[str]:
        """Make one commit of each change, and the series of all of them."""
        self.repo.git("reset", "--quiet", "--hard", self.base)
        for number, change in enumerate(changes, 1):
            change(self.repo)
            self.repo.git("add", "--all")
            self.repo.commit_index(f"area: change {number}")
        return self.repo.export(self.base, self.folder, baseline=baseline)

    def apply(self) -> Applied:
        return applying.apply(read(self.folder), self.base, self.tree.path)

    def move(self) -> bool:
        """Apply and check out."""
        return applying.checkout(self.tree.path, self.apply().commits["patched"])

    def state(self) -> tuple[str, ...]:
        """All that an attempt that fails must leave as it was."""
        beside = sorted(p.name for p in self.tree.path.parent.iterdir() if p.name.startswith(".am-"))
        return (
            self.tree.head,
            self.tree.git("status", "--porcelain"),
            self.tree.git("for-each-ref"),
            self.tree.git("worktree", "list"),
            *beside,
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    repo = Repo.make(tmp_path / "repo", FILES)
    tree = Repo(tmp_path / "work/source")
    tree.path.mkdir(parents=True)
    tree.git("init", "--quiet", "--initial-branch=upstream", ".")
    tree.git("fetch", "--quiet", repo.url, f"{repo.head}:refs/reconnect/base")
    return World(repo, tree, repo.head, tmp_path / "patches")


def rewritten(number: int, text: str) -> dict[str, str]:
    """long.txt with another line."""
    lines = [*LINES]
    lines[number - 1] = text
    return {"long.txt": "\n".join(lines) + "\n"}


def test_gives_the_tree_that_was_exported_in_two_variants(world: World) -> None:
    world.export(lambda r: r.write(rewritten(3, "three")), lambda r: r.write({"other.txt": "changed\n"}), baseline=1)
    applied = world.apply()
    assert list(applied.commits) == ["baseline", "patched"]
    assert applied.trees["patched"] == world.repo.git("rev-parse", "HEAD^{tree}")
    assert applied.trees["baseline"] == world.repo.git("rev-parse", "HEAD~1^{tree}")
    log = world.tree.git("log", "--format=%an %ae %ad %cn %cd", "--date=iso", "-1", applied.commits["patched"])
    assert log == (
        "A Developer developer@example.invalid 2020-02-02 02:02:02 +0000 reconnect 2016-12-15 12:00:00 +0000"
    )


def test_keeps_every_kind_of_change(world: World) -> None:
    """New, deleted, renamed files, modes, links, binary files, CRLF, names with blanks, and a file of no bytes."""

    def executable(repo: Repo) -> None:
        (repo.path / "other.txt").chmod(0o755)

    def renamed(repo: Repo) -> None:
        (repo.path / "sub/old.txt").rename(repo.path / "new.txt")

    def linked(repo: Repo) -> None:
        (repo.path / "link").symlink_to("other.txt")

    world.export(
        lambda r: r.write({"a folder/new file.txt": "new\n", "empty": ""}),
        lambda r: r.write({"sub/gone.txt": None}),
        renamed,
        executable,
        linked,
        lambda r: r.write({"binary": bytes(range(256)) * 8}),
        lambda r: r.write({"dos.txt": b"one\r\ntwo\r\nthree\r\n"}),
        lambda r: r.write({"dos.txt": b"one\r\n2\r\nthree\r\n"}),
        lambda r: r.write({"other.txt": "no newline at its end"}),
    )
    assert world.move()
    assert world.tree.git("rev-parse", "HEAD^{tree}") == world.repo.git("rev-parse", "HEAD^{tree}")
    assert world.tree.git("status", "--porcelain") == ""
    assert (world.tree.path / "dos.txt").read_bytes() == b"one\r\n2\r\nthree\r\n"
    assert not (world.tree.path / "sub").exists()


def test_the_users_own_git_settings_change_nothing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps: apply in two trees, the second with a git configuration that signs, converts and forbids."""
    world.export(lambda r: r.write({"other.txt": "trailing blanks  \n\n\n"}), lambda r: r.write(rewritten(9, "nine")))
    plain = world.apply()
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for hook in ("applypatch-msg", "pre-applypatch", "post-checkout", "reference-transaction"):
        (hooks / hook).write_text("#!/bin/sh\nexit 1\n")
        (hooks / hook).chmod(0o755)
    hostile = tmp_path / "gitconfig"
    hostile.write_text(
        "[user]\n\tname = Somebody\n\temail = somebody@example.invalid\n\tuseConfigOnly = true\n"
        "[commit]\n\tgpgsign = true\n[gpg]\n\tprogram = false\n"
        "[core]\n\tautocrlf = true\n\teol = crlf\n\teditor = false\n\tfileMode = false\n"
        f"\thooksPath = {hooks}\n\tattributesFile = {tmp_path}/attributes\n\twhitespace = trailing-space\n"
        "[apply]\n\twhitespace = error\n[am]\n\tthreeWay = true\n\tmessageid = true\n"
        "[i18n]\n\tcommitEncoding = latin1\n"
        "[init]\n\tdefaultObjectFormat = sha256\n[log]\n\tshowSignature = true\n[rerere]\n\tenabled = true\n"
    )
    (tmp_path / "attributes").write_text("* text eol=crlf ident\n")
    hostile_env = {
        "GIT_CONFIG_GLOBAL": str(hostile),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "apply.whitespace",
        "GIT_CONFIG_VALUE_0": "error",
        "GIT_COMMITTER_DATE": "2001-01-01T00:00:00Z",
        "GIT_AUTHOR_NAME": "Somebody",
        "TZ": "Asia/Tokyo",
        "LC_ALL": "C",
    }
    for name, value in hostile_env.items():
        monkeypatch.setenv(name, value)
    for ref in world.tree.git("for-each-ref", "--format=%(refname)", "refs/reconnect").split():
        world.tree.git("update-ref", "-d", ref)
    again = world.apply()
    assert again.commits == plain.commits
    applying.checkout(world.tree.path, again.commits["patched"])
    assert (world.tree.path / "other.txt").read_bytes() == b"trailing blanks  \n\n\n"


def test_a_patch_that_does_not_apply_is_named_with_file_and_hunk(world: World) -> None:
    """Steps: apply one patch; add a second, one of whose hunks fits nothing; apply.

    Verify: patch, file and hunk are named; tree, refs and work trees are as before.
    """
    first = lambda r: r.write({"other.txt": "fine\n"})  # noqa: E731  # one of the two below
    world.export(first)
    world.move()
    before = world.state()
    names = world.export(
        first, lambda r: r.write({"long.txt": rewritten(5, "five")["long.txt"].replace("line 50", "L")})
    )
    mail = world.folder / names[1]
    mail.write_text(mail.read_text().replace("-line 50\n", "-line that is not there\n"))
    with pytest.raises(PatchError) as caught:
        world.apply()
    assert f"patches/{names[1]} does not apply: long.txt hunk 2 of 2 (at line 47)" in caught.value.what
    assert "nothing was changed" in caught.value.hint
    assert world.state() == before


@pytest.mark.parametrize(
    ("needle", "replacement", "said"),
    [
        ("other.txt", "unheard-of.txt", "unheard-of.txt (the source has no such file)"),
        ("line 3", "line three", "long.txt hunk 1 of 1 (at line 1)"),
    ],
)
def test_other_reasons_why_a_patch_does_not_apply(world: World, needle: str, replacement: str, said: str) -> None:
    change = {"other.txt": "x\n"} if needle == "other.txt" else rewritten(4, "four")
    (name,) = world.export(lambda r: r.write(change))
    mail = world.folder / name
    mail.write_text(mail.read_text().replace(needle, replacement))
    with pytest.raises(PatchError) as caught:
        world.apply()
    assert said in caught.value.what


def test_a_patch_that_makes_a_file_which_is_there_is_refused(world: World) -> None:
    (name,) = world.export(lambda r: r.write({"new.txt": "new\n"}))
    mail = world.folder / name
    mail.write_text(mail.read_text().replace("new.txt", "other.txt"))
    with pytest.raises(PatchError, match=r"does not apply: other\.txt \(already exists"):
        world.apply()


def test_context_that_moved_is_no_fuzz_but_changed_context_is_refused(world: World) -> None:
    """git am takes a hunk at another line when all its context is there; context that differs is refused."""
    (name,) = world.export(lambda r: r.write(rewritten(30, "thirty")))
    mail = world.folder / name
    text = mail.read_text()
    mail.write_text(text.replace(" line 27\n", " line twenty-seven\n"))
    with pytest.raises(PatchError, match="hunk 1 of 1"):
        world.apply()


def test_a_mail_that_holds_no_patch_is_refused(world: World) -> None:
    (name,) = world.export(lambda r: r.write({"other.txt": "x\n"}))
    mail = world.folder / name
    mail.write_text(mail.read_text().partition("\ndiff ")[0] + "\n")
    before = world.tree.git("worktree", "list")
    with pytest.raises(PatchError):
        world.apply()
    assert world.tree.git("worktree", "list") == before


def test_changing_one_patch_rewrites_only_its_files(world: World) -> None:
    """Steps: check out; change the second patch; check out. Verify: dates of the files that it doesn't touch stay."""
    world.export(lambda r: r.write({"other.txt": "1\n"}), lambda r: r.write(rewritten(3, "three")))
    assert world.move()
    old = 1_000_000_000
    for path in world.tree.path.rglob("*.txt"):
        os.utime(path, (old, old))
    assert not world.move()
    world.export(lambda r: r.write({"other.txt": "1\n"}), lambda r: r.write(rewritten(3, "THREE")))
    assert world.move()
    changed = {p.name for p in world.tree.path.rglob("*.txt") if p.stat().st_mtime != old}
    assert changed == {"long.txt"}
    assert (world.tree.path / "long.txt").read_text().splitlines()[2] == "THREE"


def test_edits_by_hand_are_kept_and_refused(world: World) -> None:
    world.export(lambda r: r.write({"other.txt": "1\n"}))
    world.move()
    mine = world.tree.path / "sub/old.txt"
    mine.write_text("my own edit\n")
    world.export(lambda r: r.write({"other.txt": "2\n"}))
    for _ in range(2):
        with pytest.raises(ConfigError) as caught:
            world.move()
        assert "has edits that are in no patch: sub/old.txt" in caught.value.what
        assert "diff HEAD > my.patch" in caught.value.hint
        assert mine.read_text() == "my own edit\n"
    world.tree.git("checkout", "--force", "HEAD")  # the hint
    assert world.move()


def test_an_untracked_file_in_the_way_is_kept_and_refused(world: World) -> None:
    world.export(lambda r: r.write({"other.txt": "1\n"}))
    world.move()
    mine = world.tree.path / "added.txt"
    mine.write_text("my own file\n")
    world.export(lambda r: r.write({"added.txt": "of a patch\n"}))
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"added\.txt"):
            world.move()
        assert mine.read_text() == "my own file\n"
    mine.unlink()
    assert world.move()


def test_an_interrupted_checkout_goes_on(world: World) -> None:
    """Steps: leave what a checkout that was killed half-way leaves: its marker, git's lock, half the files."""
    world.export(lambda r: r.write({"other.txt": "1\n"}), lambda r: r.write(rewritten(3, "three")))
    world.move()
    world.export(lambda r: r.write({"other.txt": "2\n"}), lambda r: r.write(rewritten(3, "THREE")))
    (world.tree.path / "other.txt").write_text("2\n")
    (world.tree.path / "long.txt").write_text("ha")
    (world.tree.path / ".git/index.lock").write_bytes(b"")
    (world.tree.path / ".git/reconnect-checkout").touch()
    assert world.move()
    assert world.tree.git("status", "--porcelain") == ""
    assert (world.tree.path / "long.txt").read_text().splitlines()[2] == "THREE"
    assert not world.move()


def test_what_a_killed_attempt_left_is_cleared(world: World) -> None:
    """Steps: leave a scratch work tree with a half-applied series; apply. Verify: it is gone, also for git."""
    world.export(lambda r: r.write({"other.txt": "1\n"}))
    left = world.tree.path.parent / ".am-killed"
    world.tree.git("worktree", "add", "--quiet", "--detach", left, world.base)
    world.move()
    assert not left.exists()
    assert len(world.tree.git("worktree", "list").splitlines()) == 1


def test_an_empty_series_gives_the_base(world: World) -> None:
    world.folder.mkdir()
    (world.folder / "series").write_text("# nothing has to be changed\n")
    assert world.apply().commits == {"patched": world.base}


def test_the_order_of_the_series_file_counts(world: World) -> None:
    names = world.export(lambda r: r.write({"other.txt": "1\n"}), lambda r: r.write({"other.txt": "2\n"}))
    world.apply()
    list_patches(world.folder, names[::-1])
    with pytest.raises(PatchError, match=names[1]):
        world.apply()


def test_what_a_series_was_before_does_not_stay_in_the_repository(world: World) -> None:
    """Steps: edit a patch ten times, and apply and check out each time. Verify: objects and refs do not grow.

    One state may stay: it is still checked out when the next one is made.
    """
    objects = []
    for number in range(10):
        world.export(
            lambda r, n=number: r.write(rewritten(3, f"three {n}")),  # type: ignore[misc]
            lambda r, n=number: r.write({"other.txt": f"{n}\n"}),  # type: ignore[misc]
            baseline=1,
        )
        assert world.move()
        objects.append(int(world.tree.git("count-objects").split()[0]))
    assert objects[9] == objects[2], objects
    assert len(world.tree.git("for-each-ref", "refs/reconnect/applied").splitlines()) == 2
    # What is needed is whole: the base, the applied commits, and the tree that is checked out.
    world.tree.git("fsck", "--full", "--strict")
    assert world.tree.git("status", "--porcelain") == ""


def test_patches_with_crlf_are_named_as_converted(world: World) -> None:
    """Steps: convert the mails as a clone with core.autocrlf does; apply; convert them back; apply.

    Verify: the first patch is named with the cause, nothing was changed; then it applies.
    """
    world.export()
    world.move()
    names = world.export(lambda r: r.write({"other.txt": "1\n"}), lambda r: r.write(rewritten(3, "three")))
    mails = [world.folder / name for name in names]
    good = [mail.read_bytes() for mail in mails]
    for mail in mails:
        mail.write_bytes(mail.read_bytes().replace(b"\n", b"\r\n"))
    before = world.state()
    with pytest.raises(PatchError, match=f"lines that end with CRLF: {names[0]}") as caught:
        world.apply()
    assert "autocrlf" in caught.value.hint
    assert "Debian" not in str(caught.value)
    assert world.state() == before
    for mail, content in zip(mails, good, strict=True):
        mail.write_bytes(content)
    assert world.move()


def test_patch_of_what_does_not_apply_ends_with_4(tiny: Tiny) -> None:
    """Steps: patch; break the second patch; patch; mend it; patch. Verify: 0, 4 with its name, 0."""
    tiny.checkout.run("patch", "--component", "tiny").expect(0, "tiny baseline: ", "tiny patched: ")
    source = tiny.checkout.source("tiny")
    assert (source / "part.c").read_text() == part(2)
    mail = tiny.checkout.patches / "tiny" / tiny.names[1]
    text = mail.read_text()
    mail.write_text(text.replace("-\treturn 1;", "-\treturn 7;"))
    done = tiny.checkout.run("patch", "--component", "tiny")
    done.expect(4, f"tiny/{tiny.names[1]} does not apply: part.c hunk 1 of 1", "nothing was changed")
    assert (source / "part.c").read_text() == part(2)
    mail.write_text(text)
    tiny.checkout.run("patch", "--component", "tiny").expect(0)


def test_a_missing_patch_ends_with_4_before_any_fetch(tiny: Tiny) -> None:
    (tiny.checkout.patches / "tiny" / tiny.names[0]).unlink()
    done = tiny.checkout.run("patch", "--component", "tiny")
    done.expect(4, f"tiny/series lists {tiny.names[0]}, which does not exist")
    assert "fetch" not in done.output


def test_called_from_a_git_hook_the_callers_repository_is_left_alone(tiny: Tiny, tmp_path: Path) -> None:
    """git gives its hooks GIT_DIR and GIT_INDEX_FILE; our own git commands must not act on that repository."""
    mine = Repo.make(tmp_path / "mine", {"a": "b"})
    before = (mine.git("for-each-ref"), mine.git("status", "--porcelain"), sorted(mine.path.rglob("*")))
    hook = {
        "GIT_DIR": str(mine.path / ".git"),
        "GIT_INDEX_FILE": str(mine.path / ".git/index"),
        "GIT_WORK_TREE": str(mine.path),
    }
    tiny.checkout.run("patch", "--component", "tiny", **hook).expect(0)
    assert (tiny.checkout.source("tiny") / "part.c").read_text() == part(2)
    assert (mine.git("for-each-ref"), mine.git("status", "--porcelain"), sorted(mine.path.rglob("*"))) == before


def test_patch_that_is_killed_goes_on(tiny: Tiny) -> None:
    """Steps: kill a patch task with SIGKILL at the unpacking; call it again. Verify: the tree is the patched one."""
    with tiny.checkout.start("patch", "--component", "tiny") as task:
        task.wait_for_output("unpack tiny")
    tiny.checkout.run("patch", "--component", "tiny").expect(0)
    assert (tiny.checkout.source("tiny") / "part.c").read_text() == part(2)


def test_locks_of_git_commands_that_were_killed_are_no_hindrance(tiny: Tiny) -> None:
    """Steps: leave git's lock files where each of our commands takes one; patch. Verify: 0, and they are gone."""
    dot = tiny.checkout.source("tiny") / ".git"
    refs = dot / f"refs/reconnect/imported/tiny/{tiny.base}.lock"
    locks = [dot / "config.lock", dot / "index.lock", dot / "packed-refs.lock", dot / "HEAD.lock", refs]
    for path in locks:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    tiny.checkout.run("patch", "--component", "tiny").expect(0)
    assert (tiny.checkout.source("tiny") / "part.c").read_text() == part(2)
    assert not any(path.exists() for path in locks)
