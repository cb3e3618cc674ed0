"""What the harnesses write, read. The files in ``recorded/`` were written by meson, automake and GLib themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reconnect.toolchain.upstream import tap
from reconnect.toolchain.upstream.harnesses import automake, meson
from reconnect.toolchain.upstream.outcome import Outcome, Result

RECORDED = Path(__file__).parent / "recorded"

Told = dict[str, tuple[str, str]]


def told(results: list[Result]) -> Told:
    """Outcome and reason by case."""
    return {result.case: (str(result.outcome), result.why) for result in results}


MESON: dict[str, Told] = {
    "good": {"": ("pass", "")},
    "bad": {"": ("fail", "FAIL, exit code 3")},
    "away": {"": ("skip", "the test says so")},
    "hard": {"": ("fail", "ERROR, exit code 99")},
    "expected": {"": ("pass", "")},
    "unexpected": {"": ("fail", "UNEXPECTEDPASS, exit code 0")},
    "killed": {"": ("fail", "FAIL, signal 11")},
    "slow": {"": ("timeout", "no end after 1 s")},
    "tap-good": {"/a/one": ("pass", ""), "/a/two": ("pass", "")},
    "tap": {
        "/a/good": ("pass", ""),
        "/a/bad": ("fail", "not ok"),
        "/a/away": ("skip", "no such device"),
        "/a/later": ("pass", ""),
    },
    "tap-crash": {"/a/one": ("pass", ""), "": ("fail", "1 of 3 cases were run, ERROR, signal 6")},
    "tap-slow": {"/a/one": ("pass", ""), "": ("timeout", "no end after 1 s after /a/one")},
    "tap-none": {"": ("skip", "no network")},
}


@pytest.mark.parametrize("test", MESON)
def test_mesons_log(test: str) -> None:
    records = [json.loads(line) for line in (RECORDED / "meson.json").read_text().splitlines()]
    (record,) = [record for record in records if record["name"].endswith(f":{test}")]
    assert told(meson.read("s", test, record, has_cases=test.startswith("tap"))) == MESON[test]


@pytest.mark.parametrize(
    ("test", "outcome", "why"),
    [
        ("good", "pass", ""),
        ("good2.test", "pass", ""),
        ("bad", "fail", "FAIL, exit code 3"),
        ("away", "skip", "the test says so"),
        ("hard", "fail", "ERROR, exit code 99"),
        ("expected", "pass", ""),
        ("unexpected", "fail", "XPASS, exit code 0"),
        ("killed", "fail", "FAIL, exit code 139"),
        ("slow", "timeout", "FAIL, exit code 124"),
        ("gone", "fail", "it left no result"),
    ],
)
def test_automakes_files(test: str, outcome: str, why: str) -> None:
    files = automake.files(RECORDED / "automake", test)
    assert told(automake.read("s", test, *files)) == {"": (outcome, why)}


def test_a_result_file_that_is_empty_is_a_failure(tmp_path: Path) -> None:
    """As make leaves it that was killed while a test wrote it."""
    trs, log = tmp_path / "x.trs", tmp_path / "x.log"
    trs.touch()
    assert told(automake.read("s", "x", trs, log)) == {"": ("fail", "x.trs holds no result")}


TINY: Told = {"/tiny/good": ("pass", ""), "/tiny/away": ("skip", "no such device"), "/tiny/later": ("pass", "")}


@pytest.mark.parametrize(
    ("mode", "ending", "more"),
    [
        ("good", "", {"/tiny/last": ("pass", "")}),
        ("good", "signal SIGSEGV", {"/tiny/last": ("pass", ""), "": ("fail", "signal SIGSEGV")}),
        ("bad", "exit code 1", {"/tiny/bad": ("fail", "not ok"), "/tiny/last": ("pass", "")}),
        (
            "crash",
            "signal SIGABRT",
            {"": ("fail", "Bail out! ERROR:t.c:8:crash: assertion failed (1 == 2): (1 == 2), signal SIGABRT")},
        ),
        ("hang", "exit code 1", {"": ("fail", "3 of 5 cases were run, exit code 1")}),
    ],
)
def test_glibs_output(mode: str, ending: str, more: Told) -> None:
    assert told(tap.read("s", "t", (RECORDED / f"glib-{mode}.tap").read_text(), ending)) == TINY | more


def test_a_program_that_hangs_names_the_last_case_that_ended() -> None:
    found = tap.read("s", "t", (RECORDED / "glib-hang.tap").read_text(), "no end after 2 s", out_of_time=True)
    assert told(found)[""] == ("timeout", "no end after 2 s after /tiny/later")


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("", {"": ("fail", "it printed no plan")}),
        ("1..1\nok 1 - a name # with a number sign\n", {"a name": ("pass", "")}),
        ("ok\nnot ok\n1..2\n", {"case 1": ("pass", ""), "case 2": ("fail", "not ok")}),
        ("1..2\nok 1 a\nok 2 a\n", {"a": ("pass", ""), "a #2": ("pass", "")}),
        ("1..1\nokay then\nok 1 a\n", {"a": ("pass", "")}),
        ("1..1\nok 1 a # skip\n", {"a": ("skip", "skipped")}),
        ("1..2\nok 1 a\nok 2 b\nok 3 c\n", {"a": ("pass", ""), "b": ("pass", ""), "c": ("pass", ""),
                                          "": ("fail", "3 of 2 cases were run")}),
    ],
)  # fmt: skip
def test_forms_of_tap(output: str, expected: Told) -> None:
    assert told(tap.read("s", "t", output, "")) == expected


def test_outcomes_that_are_bad() -> None:
    assert [outcome for outcome in Outcome if outcome.bad] == [Outcome.FAIL, Outcome.TIMEOUT]
