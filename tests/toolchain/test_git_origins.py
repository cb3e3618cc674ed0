"""Git origins: several servers, one pinned commit, its id the only proof. The servers are repositories on disk."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconnect.kit.errors import SourceError
from reconnect.toolchain.gitrepo import git
from reconnect.toolchain.origins import git as origin
from reconnect.toolchain.origins.git import Pin
from tests.toolchain.conftest import Tiny
from tests.toolchain.world import AUTOTOOLS, Checkout, Repo

FILES = {"noise.txt": AUTOTOOLS["noise.txt"], **{f"file-{n}.txt": f"content {n}\n" for n in range(20)}}


@dataclass
class Served:
    """A repository of three commits. The second one is pinned, tagged v1, and no server's tip."""

    repo: Repo
    commit: str
    tag_object: str

    @property
    def pin(self) -> Pin:
        return Pin(self.commit, "v1", self.tag_object)


@pytest.fixture
def served(tmp_path: Path) -> Served:
    repo = Repo.make(tmp_path / "served", FILES)
    commit = repo.commit({"file-1.txt": "the pinned content\n"}, "second")
    tag_object = repo.tag("v1")
    repo.commit({"file-1.txt": "newer\n"}, "third")
    return Served(repo, commit, tag_object)


@pytest.fixture
def into(tmp_path: Path) -> Path:
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache/pinned.git"


def fetch(pin: Pin, urls: list[str], into: Path) -> str:
    return origin.fetch(pin, urls, into, lambda _: None)


def partials(into: Path) -> list[str]:
    return [p.name for p in into.parent.iterdir() if p.name.endswith(".partial")]


def commits(repository: Path) -> int:
    return int(git("rev-list", "--all", "--count", cwd=repository).output)


@pytest.mark.parametrize("kind", ["tag object", "tag", "commit"])
def test_fetches_one_commit_where_the_server_lets_one(served: Served, into: Path, kind: str) -> None:
    pin = {"tag object": served.pin, "tag": Pin(served.commit, "v1"), "commit": Pin(served.commit)}[kind]
    assert fetch(pin, [served.repo.url], into) == served.repo.url
    origin.check_deep(pin, into)
    assert commits(into) == 1
    assert not partials(into)


@pytest.mark.parametrize("tag", [None, "v-unknown"])
def test_fetches_everything_where_the_server_does_not(
    served: Served, into: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tag: str | None
) -> None:
    """Git's first protocol serves only what a ref points to; the pinned commit is below one."""
    served.repo.git("tag", "--delete", "v1")
    old = tmp_path / "gitconfig"
    old.write_text("[protocol]\n\tversion = 0\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(old))
    pin = Pin(served.commit, tag)
    said: list[str] = []
    origin.fetch(pin, [served.repo.url], into, said.append)
    assert said[-1] == f"{served.repo.url}: whole history"
    origin.check_deep(pin, into)
    assert commits(into) == 3


def test_all_origins_unreachable_are_listed_with_reasons_and_ways_out(into: Path, tmp_path: Path) -> None:
    urls = [f"file://{tmp_path}/gone-1.git", "git://127.0.0.1:1/gone-2.git", f"file://{tmp_path}/gone-3.git"]
    with pytest.raises(SourceError) as caught:
        fetch(Pin("0" * 40, "v1"), urls, into)
    text = str(caught.value)
    assert "no origin served commit 0000000000000000000000000000000000000000 (v1)" in text
    lines = caught.value.why.splitlines()
    assert [line.split(": ")[0] for line in lines] == urls
    assert "does not appear to be a git repository" in lines[0]
    assert "Connection refused" in lines[1]
    for way in ("RECONNECT_PREMIRRORS", "RECONNECT_CACHE", "--stack debian-12"):
        assert way in caught.value.hint
    assert list(into.parent.iterdir()) == []


def test_another_commit_under_the_right_tag_is_refused_and_the_next_origin_taken(
    served: Served, into: Path, tmp_path: Path
) -> None:
    evil = Repo.make(tmp_path / "evil", {**FILES, "file-1.txt": "tampered\n"})
    evil.tag("v1")
    with pytest.raises(SourceError) as caught:
        fetch(served.pin, [evil.url], into)
    assert f"{evil.url}: serves commit {evil.head} under the tag v1, not the pinned {served.commit}" in str(
        caught.value
    )
    assert fetch(served.pin, [evil.url, served.repo.url], into) == served.repo.url
    assert git("cat-file", "blob", f"{served.commit}:file-1.txt", cwd=into).output == "the pinned content\n"


def test_another_tag_object_of_the_same_commit_is_refused(served: Served, into: Path) -> None:
    served.repo.git("checkout", "--quiet", "--detach", served.commit)
    other = served.repo.tag("v1", "signed by somebody else")
    assert other != served.tag_object
    with pytest.raises(SourceError, match=f"serves tag object {other} as v1, not the pinned signed one"):
        fetch(served.pin, [served.repo.url], into)


def test_a_pinned_tag_object_must_be_served(served: Served, into: Path) -> None:
    served.repo.git("tag", "--delete", "v1")
    with pytest.raises(SourceError, match="v1"):
        fetch(served.pin, [served.repo.url], into)


def test_an_origin_without_the_commit_is_named(served: Served, into: Path, tmp_path: Path) -> None:
    other = Repo.make(tmp_path / "other", {"a": "b"})
    with pytest.raises(SourceError) as caught:
        fetch(Pin(served.commit), [other.url], into)
    assert f"{other.url}: " in caught.value.why


def test_a_pack_that_is_cut_short_is_found_and_fetched_again(served: Served, into: Path) -> None:
    """Steps: fetch; cut the pack file; check; fetch again. Verify: the check names the repository, the fetch mends."""
    fetch(served.pin, [served.repo.url], into)
    (pack,) = (into / "objects/pack").glob("*.pack")
    pack.chmod(0o644)
    os.truncate(pack, pack.stat().st_size // 2)
    with pytest.raises(SourceError, match="is cut short or was changed"):
        origin.check(served.pin, into)
    fetch(served.pin, [served.repo.url], into)
    origin.check_deep(served.pin, into)


def test_a_byte_that_was_flipped_is_found_by_the_deep_check(served: Served, into: Path) -> None:
    """The size stays; only the objects' hashes tell. What is damaged is fetched anew by the next call."""
    fetch(served.pin, [served.repo.url], into)
    (pack,) = (into / "objects/pack").glob("*.pack")
    pack.chmod(0o644)
    content = bytearray(pack.read_bytes())
    content[len(content) // 2] ^= 0xFF
    pack.write_bytes(content)
    with pytest.raises(SourceError, match="is damaged") as caught:
        origin.check_deep(served.pin, into)
    assert "again" in caught.value.hint
    with pytest.raises(SourceError, match="not a finished download"):
        origin.check(served.pin, into)


@pytest.mark.parametrize("damage", ["missing", "no manifest", "manifest is no JSON", "manifest is a list"])
def test_what_is_no_finished_download_is_refused(served: Served, into: Path, damage: str) -> None:
    fetch(served.pin, [served.repo.url], into)
    manifest = into / origin.MANIFEST
    if damage == "missing":
        into.rename(into.with_name("elsewhere"))
    elif damage == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text("{" if damage == "manifest is no JSON" else "[]")
    with pytest.raises(SourceError, match=r"is not a finished download|is not in the cache"):
        origin.check(served.pin, into)


def test_a_cache_that_belongs_to_another_user_is_of_use(served: Served, into: Path) -> None:
    """A container that mounts a cache of the host; git by itself refuses repositories of somebody else."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder to another user")
    fetch(served.pin, [served.repo.url], into)
    for path in [into, *into.rglob("*")]:
        os.chown(path, 65534, 65534)
    origin.check_deep(served.pin, into)


def test_a_killed_fetch_leaves_a_partial_that_the_next_one_replaces(served: Served, into: Path) -> None:
    partial = into.with_name(f".{into.name}.partial")
    (partial / "objects/pack").mkdir(parents=True)
    (partial / "objects/pack/tmp_pack_x").write_bytes(b"half")
    (partial / "HEAD").write_text("nonsense")
    fetch(served.pin, [served.repo.url], into)
    origin.check_deep(served.pin, into)
    assert not partials(into)


def test_mirrors_are_tried_first_and_come_up_in_the_origin(tiny: Tiny, tmp_path: Path) -> None:
    """Steps: name an origin that is not there, and a premirror that is. Verify: it is fetched from the mirror."""
    tiny.stacks(origins=["https://nowhere.invalid/tiny.git"])
    done = tiny.checkout.run(
        "fetch", "--component", "tiny", RECONNECT_PREMIRRORS=f"https://nowhere.invalid/(.*).git file://{tmp_path}/\\1"
    )
    done.expect(0, f"from {tiny.repo.url}")


def test_fetch_of_unreachable_origins_ends_with_3(tiny: Tiny, tmp_path: Path) -> None:
    gone = [f"file://{tmp_path}/gone-1", f"file://{tmp_path}/gone-2"]
    tiny.stacks(origins=gone)
    done = tiny.checkout.run("fetch", "--component", "tiny")
    done.expect(3, *(f"{url}: " for url in gone), "does not appear to be a git repository", "RECONNECT_PREMIRRORS")


def test_fetch_of_a_tampered_source_ends_with_3(tiny: Tiny) -> None:
    tiny.repo.tag("v1")
    tiny.stacks(tag="v1", commit="1234567890" * 4)
    tiny.checkout.run("fetch", "--component", "tiny").expect(
        3, f"serves commit {tiny.base} under the tag v1, not the pinned {'1234567890' * 4}"
    )


def test_a_cut_cache_offline_ends_with_3_and_is_fetched_again_online(tiny: Tiny) -> None:
    """Steps: fetch; cut the pack; fetch offline; fetch online. Verify: 3 and the repository's path; then 0."""
    fetch_tiny = ("fetch", "--component", "tiny")
    tiny.checkout.run(*fetch_tiny).expect(0)
    (pack,) = tiny.checkout.cache.glob("git/*.git/objects/pack/*.pack")
    pack.chmod(0o644)
    os.truncate(pack, pack.stat().st_size - 30)
    done = tiny.checkout.run(*fetch_tiny, RECONNECT_OFFLINE="1")
    done.expect(3, str(pack.parents[2]), "is cut short or was changed", "RECONNECT_OFFLINE is set")
    tiny.checkout.run(*fetch_tiny).expect(0, tiny.repo.url)
    tiny.checkout.run(*fetch_tiny, RECONNECT_OFFLINE="1").expect(0)


def test_a_damaged_object_ends_with_3_and_the_next_call_fetches_again(tiny: Tiny) -> None:
    """Steps: fetch; flip a byte; patch twice. Verify: 3, says that it is damaged; the second call mends it."""
    tiny.checkout.run("fetch", "--component", "tiny").expect(0)
    (pack,) = tiny.checkout.cache.glob("git/*.git/objects/pack/*.pack")
    pack.chmod(0o644)
    content = bytearray(pack.read_bytes())
    content[len(content) // 2] ^= 0xFF
    pack.write_bytes(content)
    tiny.checkout.run("patch", "--component", "tiny").expect(3, "is damaged", "again")
    tiny.checkout.run("patch", "--component", "tiny").expect(0, "fetch tiny")


def test_origins_that_are_there_or_not_are_told_by_status(tiny: Tiny, tmp_path: Path) -> None:
    tiny.stacks(origins=[f"file://{tmp_path}/gone"])
    done = tiny.checkout.run("status", COLUMNS="200").expect(0, "last run: none", "does not appear")
    rows = {line.split()[0]: line for line in done.output.splitlines() if line.strip()}
    assert " yes " in rows["other"]
    assert "not asked" in tiny.checkout.run("status", "--offline").expect(0).output


def test_a_mirror_whose_head_names_no_branch_is_there(served: Served, tmp_path: Path, into: Path) -> None:
    """Steps: a bare mirror with a HEAD that leads nowhere, as of a server with another default branch.

    Verify: it is reachable and serves the pin; an empty one is not.
    """
    served.repo.git("clone", "--quiet", "--mirror", served.repo.path, tmp_path / "mirror")
    (tmp_path / "mirror/HEAD").write_text("ref: refs/heads/no-such-branch\n")
    url = (tmp_path / "mirror").as_uri()
    assert origin.reachable(url) == ""
    assert fetch(served.pin, [url], into) == url
    served.repo.git("init", "--quiet", "--bare", tmp_path / "empty")
    assert origin.reachable((tmp_path / "empty").as_uri()) == "it has no branch and no tag"


def test_an_origin_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """git says nothing then: the reason is that its time was up."""
    monkeypatch.setattr(origin, "CONNECT_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert origin.reachable(f"git://127.0.0.1:{server.getsockname()[1]}/silent") == "no end after 1 s"


def test_checkouts_share_the_cache(checkout: Checkout) -> None:
    """The cache is marked as one, so that backup programs leave it out and ``clean`` knows it for ours."""
    checkout.workspace.cache_dir("git")
    assert (checkout.cache / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55")
