"""Building small real programs with both recipes, through the tasks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.toolchain.conftest import Tiny
from tests.toolchain.world import AUTOTOOLS, Ended, list_patches, part

pytestmark = pytest.mark.compiler

BUILD = ("build", "--component", "tiny")


def says(program: Path) -> str:
    return subprocess.run([program], capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def compiled(tiny: Tiny, variant: str) -> list[str]:
    """What the last build of a variant has compiled."""
    return re.findall(r"^COMPILE (\S+)", tiny.checkout.log("tiny", variant), re.MULTILINE)


def reasons(done: Ended) -> dict[str, str]:
    """Why each variant was built, as the task says it."""
    return dict(re.findall(r"==> build tiny (\w+)\n +(.*)", done.output))


def test_both_variants_of_both_recipes_then_nothing_to_do(tiny: Tiny) -> None:
    """Steps: build the stack twice. Verify: four programs that print their number; the second time "up to date"."""
    done = tiny.checkout.run("build", "--stack", "small").expect(0, "stack small: named on the command line")
    for name in ("tiny", "other"):
        assert says(tiny.prints("baseline", name)) == "part 1"
        assert says(tiny.prints("patched", name)) == "part 2"
        assert f"{name} patched: build/install/{name}/patched/bin/tiny" in done.output
    assert reasons(done) == {"baseline": "not done yet", "patched": "not done yet"}
    # One object folder for both variants: the second compiles only what its patch changed.
    assert sorted(compiled(tiny, "baseline")) == ["main.c", "part.c"]
    assert compiled(tiny, "patched") == ["part.c"]
    assert "CONFIGURED" not in tiny.checkout.log("tiny", "patched")

    again = tiny.checkout.run("build", "--stack", "small").expect(0)
    assert again.output.count("up to date") == 4
    assert "==>" not in again.output


def test_nothing_to_do_is_said_in_under_a_second(tiny: Tiny) -> None:
    """The processor's time of the task, since the machine may be busy with others."""
    tiny.checkout.run(*BUILD).expect(0)
    before = os.times()
    tiny.checkout.run(*BUILD).expect(0, "up to date")
    after = os.times()
    assert after.children_user - before.children_user + after.children_system - before.children_system < 1.0


def test_whatever_is_redone_says_why(tiny: Tiny) -> None:
    """Steps: change, one after the other, a patch, an option, the product, the series; build after each.

    Verify: the reason, and that only what depends on it is compiled.
    """
    tiny.checkout.run(*BUILD).expect(0)
    mail = tiny.checkout.patches / "tiny" / tiny.names[1]

    mail.write_text(mail.read_text().replace("+\treturn 2;", "+\treturn 3;"))
    done = tiny.checkout.run(*BUILD).expect(0, "tiny baseline: up to date")
    assert reasons(done) == {"patched": "changed: source (base or patches)"}
    assert compiled(tiny, "patched") == ["part.c"]
    assert says(tiny.prints("patched")) == "part 3"

    tiny.stacks(configure=["--with-something"])
    done = tiny.checkout.run(*BUILD).expect(0)
    assert reasons(done) == dict.fromkeys(("baseline", "patched"), "changed: configure options")
    assert sorted(compiled(tiny, "baseline")) == ["main.c", "part.c"]

    tiny.prints("patched").unlink()
    done = tiny.checkout.run(*BUILD).expect(0, "tiny baseline: up to date")
    assert reasons(done) == {"patched": "missing: bin/tiny"}
    assert says(tiny.prints("patched")) == "part 3"

    (tiny.checkout.workspace.work("tiny") / "patched.built.json").write_text('{"inputs": "damaged"')
    assert reasons(tiny.checkout.run(*BUILD).expect(0)) == {"patched": "not done yet"}


def test_a_series_without_features_has_one_variant(tiny: Tiny) -> None:
    list_patches(tiny.checkout.patches / "tiny", tiny.names, baseline=2)
    done = tiny.checkout.run(*BUILD).expect(0)
    assert list(reasons(done)) == ["patched"]
    assert says(tiny.prints("patched")) == "part 2"


def test_a_compile_error_shows_first_error_command_and_log(tiny: Tiny) -> None:
    """Steps: let a patch break the C; build; mend it; build. Verify: 5 and what one needs to know; then 0."""
    mail = tiny.checkout.patches / "tiny" / tiny.names[1]
    good = mail.read_text()
    mail.write_text(good.replace("+\treturn 2;", "+\treturn nothing_of_that_name;"))
    done = tiny.checkout.run(*BUILD)
    log = tiny.checkout.workspace.work("tiny") / "logs/patched.log"
    done.expect(
        5,
        "tiny patched: compile failed: ",
        "part.c:3:16: error: \N{LEFT SINGLE QUOTATION MARK}nothing_of_that_name",
        f"cd {tiny.checkout.workspace.work('tiny')}/objects && make -j2",
        "ended with exit code 2",
        f"read {log}",
    )
    assert "nothing_of_that_name" in log.read_text()
    assert says(tiny.prints("baseline")) == "part 1"
    assert not tiny.prints("patched").exists()
    mail.write_text(good)
    tiny.checkout.run(*BUILD).expect(0, "tiny baseline: up to date")
    assert says(tiny.prints("patched")) == "part 2"


def test_an_install_that_was_good_outlives_a_build_that_fails(tiny: Tiny) -> None:
    tiny.checkout.run(*BUILD).expect(0)
    mail = tiny.checkout.patches / "tiny" / tiny.names[1]
    mail.write_text(mail.read_text().replace("+\treturn 2;", "+\treturn oops;"))
    tiny.checkout.run(*BUILD).expect(5)
    assert says(tiny.prints("patched")) == "part 2"
    tiny.checkout.run(*BUILD).expect(5)  # it isn't taken for the wanted one


def test_a_configure_error_is_shown_and_configure_is_run_again(tiny: Tiny) -> None:
    tiny.stacks(configure=["--with-nothing"])
    for _ in range(2):
        done = tiny.checkout.run(*BUILD)
        done.expect(5, "tiny baseline: configure failed: ERROR: there is no such library", "exit code 1")
    tiny.stacks()
    tiny.checkout.run(*BUILD).expect(0)


def test_a_source_without_configure_is_a_build_error(tiny: Tiny) -> None:
    tiny.repo.commit({"configure": None}, "no configure")
    tiny.stacks(commit=tiny.repo.head)
    tiny.checkout.run(*BUILD).expect(5, "configure failed", "No such file or directory")


def test_a_product_that_the_install_lacks_is_named(tiny: Tiny) -> None:
    tiny.stacks(products=["bin/tiny", "share/firmware.bin"])
    tiny.checkout.run(*BUILD).expect(5, "tiny was installed without share/firmware.bin", "build.products")
    assert not tiny.checkout.workspace.install("tiny", "baseline").exists()


def test_a_meson_error_is_shown(tiny: Tiny) -> None:
    base = tiny.other.head
    tiny.other.commit({"meson.build": "project('tiny', 'c')\ndependency('there-is-no-such-library')\n"}, "broken")
    tiny.other.export(base, tiny.checkout.patches / "other")
    tiny.other.git("reset", "--quiet", "--hard", base)
    done = tiny.checkout.run("build", "--component", "other")
    done.expect(5, "other patched: compile failed: ", 'ERROR: Dependency "there-is-no-such-library" not found')


@pytest.mark.parametrize("task", ["build", "patch"])
def test_too_little_disk_is_said_before_any_work(tiny: Tiny, task: str) -> None:
    tiny.stacks(disk_mib=900_000_000)
    done = tiny.checkout.run(task, "--component", "tiny")
    done.expect(6, "tiny needs 900000000 MiB of disk in", "MiB are free", "clean --cache")
    assert "==>" not in done.output
    assert not tiny.checkout.source("tiny").exists()


def test_too_little_disk_for_the_objects_of_a_source_that_is_there(tiny: Tiny) -> None:
    tiny.checkout.run("patch", "--component", "tiny").expect(0)
    tiny.stacks(disk_mib=900_000_000)
    done = tiny.checkout.run(*BUILD).expect(6, "building tiny needs 450000000 MiB of disk")
    assert "==>" not in done.output


def test_a_damaged_index_is_said_with_what_to_do(tiny: Tiny) -> None:
    """Steps: build; damage the index of the source tree; change the series; build; do what is said; build.

    Verify: 6 and no traceback; then 0.
    """
    tiny.checkout.run(*BUILD).expect(0)
    tree = tiny.checkout.source("tiny")
    (tree / ".git/index").write_bytes(b"no index")
    tiny.checkout.run("patch", "--component", "tiny").expect(6, "index", f"rm -r {tree}")
    shutil.rmtree(tree)
    tiny.checkout.run(*BUILD).expect(0)


def test_edits_by_hand_stop_a_build_and_are_kept(tiny: Tiny) -> None:
    tiny.checkout.run(*BUILD).expect(0)
    mine = tiny.checkout.source("tiny") / "main.c"
    mine.write_text(AUTOTOOLS["main.c"].replace("part %d", "my edit %d"))
    tiny.prints("patched").unlink()
    tiny.checkout.run(*BUILD).expect(2, "has edits that are in no patch: main.c", "my.patch")
    assert "my edit" in mine.read_text()


def test_a_new_base_is_built_anew(tiny: Tiny) -> None:
    """Steps: build; pin another commit, with a series of its own; build. Verify: the new program; the tree moved."""
    tiny.checkout.run(*BUILD).expect(0)
    tiny.repo.commit({"main.c": AUTOTOOLS["main.c"].replace("part", "PART").replace("PART(", "part(")}, "newer")
    tiny.stacks(commit=tiny.repo.head)
    done = tiny.checkout.run(*BUILD).expect(0, "fetch tiny", "unpack tiny")
    assert reasons(done) == dict.fromkeys(("baseline", "patched"), "changed: source (base or patches)")
    assert says(tiny.prints("patched")) == "PART 2"
    assert part(2) == (tiny.checkout.source("tiny") / "part.c").read_text()


def test_status_tells_how_far_each_component_is(tiny: Tiny) -> None:
    row = r"^tiny +small +{} +{} +{} +{}$"
    pin, patched = tiny.base[:12], r"[0-9a-f]{12} \(1\+1 patches\)"
    for words, expected in (
        ((), row.format("not asked", "no", r"no \(1\+1 patches\)", "no")),
        (("fetch", "--component", "tiny"), row.format("cached", pin, r"no \(1\+1 patches\)", "no")),
        (("patch", "--component", "tiny"), row.format("cached", pin, patched, "no")),
        (BUILD, row.format("cached", pin, patched, "baseline, patched")),
    ):
        if words:
            tiny.checkout.run(*words).expect(0)
        done = tiny.checkout.run("status", "--offline", COLUMNS="300").expect(0)
        assert re.search(expected, "\n".join(x.rstrip() for x in done.output.splitlines()), re.MULTILINE), done.output


def test_status_tells_which_builds_are_outdated_and_by_what(tiny: Tiny) -> None:
    """Steps: build; change, one after the other, a patch, an option, the product, the pin. Verify: what is said."""
    tiny.checkout.run(*BUILD).expect(0)

    def built() -> str:
        done = tiny.checkout.run("status", "--offline", COLUMNS="300").expect(0)
        (row,) = (line for line in done.output.splitlines() if line.startswith("tiny "))
        return row[row.index("baseline") :].rstrip()

    assert built() == "baseline, patched"
    mail = tiny.checkout.patches / "tiny" / tiny.names[1]
    good = mail.read_text()
    mail.write_text(good.replace("+\treturn 2;", "+\treturn 3;"))
    source = "(outdated: changed: source (base or patches))"
    assert built() == f"baseline {source}, patched {source}"
    # Once it is applied, it is known that the baseline is the same.
    tiny.checkout.run("patch", "--component", "tiny").expect(0)
    assert built() == f"baseline, patched {source}"
    mail.write_text(good)
    tiny.checkout.run(*BUILD).expect(0)
    tiny.stacks(configure=["--with-something"])
    options = "(outdated: changed: configure options)"
    assert built() == f"baseline {options}, patched {options}"
    tiny.stacks()
    tiny.prints("baseline").unlink()
    assert built() == "baseline (outdated: missing: bin/tiny), patched"
    tiny.repo.commit({"noise.txt": "new"}, "newer")
    tiny.stacks(commit=tiny.repo.head)
    tiny.checkout.run("fetch", "--component", "tiny").expect(0)
    assert built() == f"baseline {source}, patched {source}"


def test_a_sanitized_build_lies_beside_the_ordinary_one(tiny: Tiny) -> None:
    """Steps: build; build with the sanitizer, twice; build the stack with it.

    Verify: both are there, from objects of their own; the second time there is nothing to do; a component without
    a sanitizer is refused by name, and left out of the stack.
    """
    tiny.checkout.run(*BUILD).expect(0)
    with (tiny.checkout.root / "stacks.toml").open("a") as stacks:
        stacks.write('\n[component.tiny.sanitize]\nconfigure = ["--asan"]\nenvironment = ["A=1"]\nslower = 3\n')
    done = tiny.checkout.run(*BUILD, "--sanitize").expect(0, "build/install/tiny/patched-asan/bin/tiny")
    assert "==> build tiny baseline-asan" in done.output
    assert says(tiny.checkout.workspace.install("tiny", "patched-asan") / "bin/tiny") == "part 2"
    assert says(tiny.prints("patched")) == "part 2"
    assert "--asan" in tiny.checkout.log("tiny", "baseline-asan")
    assert (tiny.checkout.workspace.work("tiny") / "objects-asan").is_dir()
    assert tiny.checkout.run("build", "--stack", "small", "--sanitize").expect(0).output.count("up to date") == 2
    assert tiny.checkout.run(*BUILD).expect(0).output.count("up to date") == 2
    tiny.checkout.run("build", "--component", "other", "--sanitize").expect(2, "how other is built with a sanitizer")
