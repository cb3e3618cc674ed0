"""test-upstream with small real programs: their own tests, run by each harness on both trees."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.processes import assert_ended
from tests.toolchain.conftest import Tiny
from tests.toolchain.world import AUTOTOOLS, Checkout, Gate, Repo, component, list_patches, part

pytestmark = pytest.mark.compiler

TEST = ("test-upstream", "--component", "tiny")

RULES = """
TESTS = $(notdir $(wildcard $(SRC)/check-*))
check-%: $(SRC)/check-% tiny
\tinstall $< $@
test-expects-%: tiny
\ttest "$$(./tiny)" = "part $*"
SCHEMAS = expects-0 expects-1 expects-2
check-expects-%: test-expects-%
\t@true
"""
"""Test programs in shell, and test targets; the baseline prints "part 1", the patched program "part 2"."""


def prints(number: int) -> str:
    """A test program of one case that wants the number."""
    return f'echo 1..1\n[ "$(./tiny)" = "part {number}" ] || printf "not "\necho ok 1 /prints/{number}\n'


def write_tests(tiny: Tiny, tests: dict[str, str], suite: str = "", more: str = "") -> None:
    """Give the small program test programs, and stacks.toml a suite of them; ``more`` goes into its table."""
    files: dict[str, str | bytes | None] = {"rules.mk": AUTOTOOLS["rules.mk"] + RULES}
    files |= {f"check-{name}": f"#!/bin/sh\n{text}" for name, text in tests.items()}
    tiny.repo.commit(files, "tests")
    tiny.stacks(commit=tiny.repo.head)
    suite = suite or 'harness = "glib"\nlists = ["TESTS"]\ntests = ["check-*"]\ndeadline = 60\n'
    add_suite(tiny.checkout, "tiny", suite + more)


def add_suite(checkout: Checkout, name: str, text: str) -> None:
    with (checkout.root / "stacks.toml").open("a") as stacks:
        stacks.write(f'\n[[component.{name}.upstream.suites]]\nname = "suite"\n{text}')


def results(checkout: Checkout, name: str = "tiny") -> dict[str, tuple[str | None, str | None, str]]:
    """Outcomes and change by the name of the test."""
    written: dict[str, Any] = json.loads((checkout.workspace.build / f"upstream/{name}/results.json").read_text())
    return {f"{t['test']} {t['case']}".strip(): (t["unpatched"], t["patched"], t["change"]) for t in written["tests"]}


def test_a_test_that_fails_with_the_patches_alone_is_held_against_them(tiny: Tiny) -> None:
    """Steps: three tests, of which one wants what the baseline prints, one the patched program, one neither.

    Verify: 7 and the name of the first; the others are told as better and as failed before; the failure was run again.
    """
    write_tests(tiny, {"old": prints(1), "new": prints(2), "none": prints(0)})
    done = tiny.checkout.run(*TEST).expect(
        7,
        "1 upstream tests are worse with the patches than without",
        "tiny: check-old /prints/1: not ok",
        "once more, each alone: check-old",
        "1 still worse",
        "fails unpatched too: check-none /prints/0 (not ok)",
        "unpatched 1 pass, 2 fail; patched 1 pass, 2 fail; 0 new, 1 better, 1 worse, 0 lost, 0 flaky, 1 failed before",
    )
    assert done.output.count("==> test tiny ") == 2
    assert results(tiny.checkout) == {
        "check-new /prints/2": ("fail", "pass", "better"),
        "check-none /prints/0": ("fail", "fail", "failed before"),
        "check-old /prints/1": ("pass", "fail", "worse"),
    }
    assert "<failure" in (tiny.checkout.workspace.build / "upstream/tiny/junit.xml").read_text()


def test_only_some_tests(tiny: Tiny) -> None:
    """Steps: name the two good tests of three; then one that nobody knows. Verify: 0, just they ran; then 2."""
    write_tests(tiny, {"old": prints(1), "new": prints(2), "none": prints(0)})
    tiny.checkout.run(*TEST, "--only", "check-n*").expect(0, "0 worse")
    assert list(results(tiny.checkout)) == ["check-new /prints/2", "check-none /prints/0"]
    tiny.checkout.run(*TEST, "--only", "check-odl").expect(2, "unknown test 'check-odl'", "did you mean 'check-old'?")


def test_a_test_that_the_patches_bring_must_pass(tiny: Tiny) -> None:
    """Steps: a series whose last patch adds a good test and a bad one. Verify: new, and worse."""
    write_tests(tiny, {"old": prints(0)})
    base = tiny.repo.head
    tiny.repo.commit({"part.c": part(1)}, "part: count from one")
    good, bad = f"#!/bin/sh\n{prints(2)}", f"#!/bin/sh\n{prints(3)}"
    tiny.repo.commit({"part.c": part(2), "check-good": good, "check-bad": bad}, "part: count from two")
    tiny.repo.export(base, tiny.checkout.patches / "tiny", baseline=1)
    tiny.checkout.run(*TEST).expect(7, "check-bad /prints/3: new with the patches: not ok")
    assert results(tiny.checkout) == {
        "check-bad /prints/3": (None, "fail", "worse"),
        "check-good /prints/2": (None, "pass", "new"),
        "check-old /prints/0": ("fail", "fail", "failed before"),
    }


ONCE = """
echo 1..1
if ./tiny | grep -q 2 && ! [ -e been-here ]; then
    touch been-here
    printf "not "
fi
echo ok 1 /once
"""
"""Fails on the patched tree, the first time."""


def test_a_failure_that_does_not_come_back_is_told_and_forgiven(tiny: Tiny) -> None:
    write_tests(tiny, {"once": ONCE})
    tiny.checkout.run(*TEST).expect(0, "check-once /once: flaky: not ok; passed when run again, alone", "1 flaky")
    assert results(tiny.checkout) == {"check-once /once": ("pass", "fail", "flaky")}


def test_a_test_that_hangs_is_ended_with_all_that_it_started(tiny: Tiny) -> None:
    """Steps: a test that starts a daemon in a session of its own, and hangs with the patches.

    Verify: 7, a timeout that names the last case that ended; the daemons of both trees are gone, too.
    """
    hangs = "setsid sleep 86399 &\necho 1..2\necho ok 1 /first\n./tiny | grep -q 1 || sleep 86398\necho ok 2 /last\n"
    write_tests(tiny, {"hangs": hangs}, 'harness = "glib"\nlists = ["TESTS"]\ntests = ["*"]\ndeadline = 2\n')
    tiny.checkout.run(*TEST).expect(7, "check-hangs: new with the patches: no end after 2 s after /first")
    assert results(tiny.checkout)["check-hangs /last"] == ("pass", None, "lost")
    assert not [p for p in psutil.process_iter(["cmdline"]) if set(p.info["cmdline"] or ()) & {"86399", "86398"}]


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_tests_and_what_they_started(tiny: Tiny, gate: Gate, sig: int) -> None:
    """Steps: interrupt a test that has started a daemon. Verify: 130, nothing is left; the next call runs."""
    reach = 'if [ -n "$GATE" ]; then setsid sleep 86397 & echo x >"$GATE.reached"; read go <"$GATE.go"; fi\n'
    write_tests(tiny, {"waits": reach + prints(1)})
    tiny.checkout.run("build", "--component", "tiny").expect(0)
    with tiny.checkout.start(*TEST, GATE=str(gate.path)) as task:
        gate.wait_until_reached(task)  # the baseline's
        gate.open()
        gate.wait_until_reached(task)
        children = [p.pid for p in task.children()]
        assert children
        task.interrupt(sig)
        task.wait().expect(130, "interrupted: everything that was started has been ended")
    assert_ended(children)
    assert not [p for p in psutil.process_iter(["cmdline"]) if "86397" in (p.info["cmdline"] or ())]
    tiny.checkout.run(*TEST).expect(7, "check-waits /prints/1")


def test_what_the_machine_lacks_is_a_reason_to_skip(tiny: Tiny) -> None:
    write_tests(tiny, {"old": prints(1), "new": prints(2)})
    with (tiny.checkout.root / "stacks.toml").open("a") as stacks:
        need = 'tests = ["check-old"]\npath = "/nowhere/efi.rom"\nwhy = "a ROM"\n'
        stacks.write(f"[[component.tiny.upstream.needs]]\n{need}")
    tiny.checkout.run(*TEST).expect(0, "skipped, on both trees: 1 (/nowhere/efi.rom is missing: a ROM)")
    assert results(tiny.checkout)["check-old"] == ("skip", "skip", "same")


def test_targets_of_make(tiny: Tiny) -> None:
    suite = 'harness = "make"\nlists = ["SCHEMAS"]\ntests = ["*"]\ndeadline = 60\n'
    write_tests(tiny, {}, suite)
    tiny.checkout.run(*TEST).expect(7, "tiny: expects-1: exit code 2", "1 worse", "1 failed before")
    assert [change for _, _, change in results(tiny.checkout).values()] == ["failed before", "worse", "better"]


def test_meson_in_a_flavour_of_its_own(tiny: Tiny) -> None:
    """Steps: a meson program that is built without its tests; test it.

    Verify: the tests were compiled in another object folder, with the option; the ordinary build is as it was.
    """
    build = (
        "project('tiny', 'c')\nexe = executable('tiny', 'main.c', 'part.c', install: true)\n"
        "if get_option('tests')\n  foreach n : ['0', '1', '2']\n"
        "    test('wants ' + n, find_program('wants.sh'), args: [n, exe])\n  endforeach\nendif\n"
    )
    option = "option('tests', type: 'boolean', value: false)\n"
    wants = '#!/bin/sh\n[ "$("$2")" = "part $1" ]\n'
    tiny.other.commit({"meson.build": build, "meson_options.txt": option, "wants.sh": wants}, "tests")
    (tiny.other.path / "wants.sh").chmod(0o755)
    tiny.other.git("commit", "--quiet", "--all", "--amend", "--no-edit")
    tiny.stacks()
    suite = '[component.other.upstream]\nconfigure = ["-Dtests=true"]\n'
    with (tiny.checkout.root / "stacks.toml").open("a") as stacks:
        stacks.write(suite)
    add_suite(tiny.checkout, "other", 'harness = "meson"\ntests = ["wants*"]\ndeadline = 60\n')
    tiny.checkout.run("build", "--component", "other").expect(0)
    tiny.checkout.run("test-upstream", "--component", "other").expect(
        7, "other: wants 1: FAIL, exit code 1", "1 better"
    )
    assert [change for _, _, change in results(tiny.checkout, "other").values()] == ["failed before", "worse", "better"]
    assert (tiny.checkout.workspace.work("other") / "objects-tests").is_dir()
    tiny.checkout.run("build", "--component", "other").expect(0, "other patched: up to date")


def test_automake_and_a_series_that_changes_nothing(tiny: Tiny, tmp_path: Path) -> None:
    """Steps: a program of automake with good and bad tests, and patches of the baseline alone.

    Verify: its one tree is tested once, and said so; 0, as what fails is not the patches'.
    """
    files = {
        "configure.ac": "AC_INIT([tiny],[1])\nAM_INIT_AUTOMAKE([foreign])\n"
        "AC_CONFIG_FILES([Makefile tests/Makefile])\nAC_OUTPUT\n",
        "Makefile.am": "SUBDIRS = . tests\nbin_SCRIPTS = tiny\n",
        "tiny": "#!/bin/sh\n",
        "tests/Makefile.am": "TESTS = good bad away slow.test\n",
        "tests/good": "#!/bin/sh\nexit 0\n",
        "tests/bad": "#!/bin/sh\nexit 3\n",
        "tests/away": "#!/bin/sh\nexit 77\n",
        "tests/slow.test": "#!/bin/sh\nexec sleep 86396\n",
    }
    repo = Repo.make(tmp_path / "automake", files)
    for name in ("good", "bad", "away", "slow.test"):
        (repo.path / "tests" / name).chmod(0o755)
    repo.git("commit", "--quiet", "--all", "--amend", "--no-edit")
    base = repo.head
    repo.commit({"README": "read\n"}, "readme")
    names = repo.export(base, tiny.checkout.patches / "tiny")
    list_patches(tiny.checkout.patches / "tiny", names, baseline=1)
    tables = component("tiny", [repo.url], base) + 'prepare = [["autoreconf", "--install"]]\n'
    other = component("other", [tiny.other.url], tiny.other.head, program="libvirt", series="other", recipe="meson")
    tiny.checkout.write_stacks(other, tables)
    suite = 'harness = "automake"\nfolder = "tests"\nlists = ["TESTS"]\ntests = ["*"]\ndeadline = 2\n'
    add_suite(tiny.checkout, "tiny", suite)
    done = tiny.checkout.run(*TEST).expect(0, "fails unpatched too: bad (FAIL, exit code 3)", "no patch of a feature")
    assert done.output.count("==> test tiny ") == 1
    assert {name: new for name, (_, new, _) in results(tiny.checkout).items()} == {
        "good": "pass",
        "bad": "fail",
        "away": "skip",
        "slow.test": "timeout",
    }


def test_tests_that_do_not_compile(tiny: Tiny) -> None:
    write_tests(tiny, {"old": prints(1)}, more='targets = ["nothing-of-that-name"]\n')
    tiny.checkout.run(*TEST).expect(5, "tiny baseline: compile tests failed", "No rule to make target")


def test_a_component_without_tests(tiny: Tiny) -> None:
    tiny.checkout.run(*TEST).expect(2, "stacks.toml names no tests of tiny")
