"""The series file and the mails: what is read, and what ``patch --check`` finds."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reconnect.kit.errors import PatchError
from reconnect.project.workspace import ROOT
from reconnect.toolchain import linting, series

MAIL = """From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
From: A Developer <developer@example.invalid>
Date: Sun, 22 Nov 2026 12:00:00 +0000
Subject: [PATCH] area: change a thing

Why it is changed.

Signed-off-by: A Developer <developer@example.invalid>
---
 a.c | 2 +-
 1 file changed, 1 insertion(+), 1 deletion(-)

diff --git a/a.c b/a.c
index 0123456789012345678901234567890123456789..9876543210987654321098765432109876543210 100644
--- a/a.c
+++ b/a.c
@@ -1,3 +1,3 @@
 one
-two
+three
 four
"""


def make(folder: Path, text: str, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "series").write_text(text)
    for name in names:
        (folder / name).write_text(MAIL)
    return folder


def test_order_comments_and_the_feature_line(tmp_path: Path) -> None:
    folder = make(
        tmp_path / "s", "# the base\nb.patch # why\n\n  # feature \na.patch\n#c.patch\n", "a.patch", "b.patch"
    )
    read = series.read(folder)
    assert [p.name for p in read.baseline] == ["b.patch"]
    assert [p.name for p in read.feature] == ["a.patch"]
    assert [p.name for p in read.patches] == ["b.patch", "a.patch"]
    assert read.variants == ("baseline", "patched")
    assert read.upto("baseline") == read.baseline
    assert read.upto("patched") == read.patches


@pytest.mark.parametrize(
    ("text", "baseline", "feature", "variants"),
    [
        ("a.patch\n", 0, 1, ("baseline", "patched")),  # without the line all of it is what the project is for
        ("# feature\na.patch\n", 0, 1, ("baseline", "patched")),
        ("a.patch\n# feature\n", 1, 0, ("patched",)),
        ("", 0, 0, ("patched",)),
        ("# feature\n", 0, 0, ("patched",)),
        ("a.patch\n# fixes\nb.patch\n# feature\n", 1, 1, ("baseline", "patched")),
    ],
)
def test_the_division(tmp_path: Path, text: str, baseline: int, feature: int, variants: tuple[str, ...]) -> None:
    read = series.read(make(tmp_path / "s", text, "a.patch", "b.patch"))
    assert (len(read.baseline), len(read.feature), read.variants) == (baseline, feature, variants)


def test_the_digest_tells_order_division_and_content(tmp_path: Path) -> None:
    def digest(text: str) -> str:
        return series.read(make(tmp_path / "s", text, "a.patch", "b.patch")).digest()

    digests = {digest(t) for t in ("a.patch\nb.patch", "b.patch\na.patch", "a.patch\n# feature\nb.patch", "a.patch")}
    assert len(digests) == 4
    assert digest("a.patch\n") == digest("# a comment\na.patch\n")
    (tmp_path / "s/a.patch").write_text(MAIL + " ")
    assert series.read(tmp_path / "s").digest() not in digests


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("gone.patch\n", "s/series lists gone.patch, which does not exist"),
        ("a.patch\na.patch\n", "s/series lists a.patch twice"),
        ("a.patch\n# feature\na.patch\n", "s/series lists a.patch twice"),
        ("a.patch -p1\n", "s/series lists a.patch -p1, which does not exist"),
        ("a.patch\ngone.patch\na.patch\nlost.patch\n", "s/series lists lost.patch, which does not exist"),
    ],
)
def test_a_malformed_series_is_refused_and_linted(tmp_path: Path, text: str, problem: str) -> None:
    folder = make(tmp_path / "s", text, "a.patch")
    with pytest.raises(PatchError) as caught:
        series.read(folder)
    assert problem in caught.value.why.splitlines()
    assert problem in series.lint(folder)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\n"])
def test_a_series_file_that_can_not_be_read(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "series").write_bytes(content)
    with pytest.raises(PatchError, match="can't read"):
        series.read(tmp_path)
    assert series.lint(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("Subject: [PATCH] area: change a thing\n", "", "has no Subject"),
        ("area: change a thing", "", "has no Subject"),
        ("A Developer <developer@example.invalid>\nDate", "A Developer\nDate", "has no From with an address"),
        ("Date: Sun, 22 Nov 2026 12:00:00 +0000\n", "", "has no Date: its commit id would change with the time"),
        ("Date: Sun, 22 Nov 2026 12:00:00 +0000\n", "Date: soon\n", "has no Date: its commit id would change"),
        ("Signed-off-by:", "Signed:", "has no Signed-off-by in its message"),
        ("From 0000", "From 1234", "does not start with a zero commit"),
        ("@@ -1,3 +1,3 @@", "@@ -1,9 +1,9 @@", "can't be parsed: "),
        (MAIL[MAIL.index("diff ") :], "", "changes no file"),
    ],
)
def test_a_mail_with_a_fault_is_linted(tmp_path: Path, old: str, new: str, problem: str) -> None:
    folder = make(tmp_path / "s", "a.patch\n", "a.patch")
    assert series.lint(folder) == []
    assert old in MAIL
    (folder / "a.patch").write_text(MAIL.replace(old, new, 1))
    found = series.lint(folder)
    assert len(found) == 1
    assert found[0].startswith(f"s/a.patch: {problem}")


def test_a_signed_off_by_in_the_diff_does_not_count(tmp_path: Path) -> None:
    folder = make(tmp_path / "s", "a.patch\n")
    line = "Signed-off-by: A Developer <developer@example.invalid>\n"
    (folder / "a.patch").write_text(MAIL.replace(line, "").replace("+three\n", f"+{line}"))
    assert series.lint(folder) == ["s/a.patch: has no Signed-off-by in its message"]


def test_all_problems_of_all_series_are_listed(tmp_path: Path) -> None:
    make(tmp_path / "one", "a.patch\n", "a.patch", "unlisted.patch")
    make(tmp_path / "two", "gone.patch\n")
    with pytest.raises(PatchError, match="2 problems in the series") as caught:
        linting.check([tmp_path / "one", tmp_path / "two"])
    assert caught.value.why.splitlines() == [
        "one/unlisted.patch is not listed in series",
        "two/series lists gone.patch, which does not exist",
    ]


def test_touched_names_both_ends_of_a_rename(tmp_path: Path) -> None:
    path = tmp_path / "a.patch"
    path.write_text(
        MAIL.partition("diff ")[0] + "diff --git a/old.c b/new.c\nsimilarity index 100%\n"
        "rename from old.c\nrename to new.c\n"
        "diff --git a/gone.c b/gone.c\ndeleted file mode 100644\n--- a/gone.c\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
    )
    assert series.Patch(path).touched == {"old.c", "new.c", "gone.c"}


@pytest.mark.parametrize("folder", sorted(p.parent for p in ROOT.glob("patches/*/series")), ids=lambda p: p.name)
def test_our_own_series_are_clean(folder: Path) -> None:
    assert series.lint(folder) == []


@example(b"long" * 100, b"")
@given(st.binary() | st.text().map(str.encode), st.text().map(str.encode) | st.binary())
def test_no_text_causes_another_error(listing: bytes, diff: bytes) -> None:
    """Whatever the files hold, reading and linting end with a result or a PatchError."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "s"
        make(folder, "a.patch\n")
        (folder / "a.patch").write_bytes(MAIL.partition("diff ")[0].encode() + b"diff --git a/a.c b/a.c\n" + diff)
        series.lint(folder)
        (folder / "a.patch").write_bytes(diff)
        series.lint(folder)
        (folder / "series").write_bytes(listing)
        with contextlib.suppress(PatchError):
            series.read(folder)
        series.lint(folder)


def test_a_checkout_that_converted_the_line_ends_is_said_to_have_done_so(tmp_path: Path) -> None:
    """Verify: the lint names CRLF and core.autocrlf; a line with CR that a patch adds is no reason."""
    folder = make(tmp_path / "x", "0001.patch\n0002.patch\n")
    (folder / "0001.patch").write_bytes(MAIL.replace("\n", "\r\n").encode())
    (folder / "0002.patch").write_bytes(MAIL.replace("+three\n", "+three\r\n").encode())
    (problem,) = [p for p in series.lint(folder) if "CRLF" in p]
    assert problem.startswith("x/0001.patch: has lines that end with CRLF")
    assert "core.autocrlf" in problem


def test_a_clone_keeps_every_byte_whatever_the_users_git_converts(tmp_path: Path) -> None:
    git = ["git", "-c", "core.autocrlf=true", "-c", "init.defaultBranch=main"]
    subprocess.run([*git, "init", "--quiet", tmp_path], check=True)
    shutil.copy2(ROOT / ".gitattributes", tmp_path)
    (tmp_path / "0001.patch").write_bytes(MAIL.encode())
    subprocess.run([*git, "-C", tmp_path, "add", "--all"], check=True)
    (tmp_path / "0001.patch").unlink()
    subprocess.run([*git, "-C", tmp_path, "checkout", "--quiet", "0001.patch"], check=True)
    assert (tmp_path / "0001.patch").read_bytes() == MAIL.encode()
