"""The Test Anything Protocol, as GLib's tests print it with ``--tap`` (testanything.org, versions 12 to 14)."""

from __future__ import annotations

import re

from reconnect.toolchain.upstream.outcome import Outcome, Result, number_duplicates

_PLAN = re.compile(r"1\.\.(\d+)\b(?:\s*#\s*(?:(?i:skip\S*)\s*)?(.*))?")
_POINT = re.compile(r"(not )?ok\b\s*(\d+)?\s*(?:- )?(.*?)\s*(?:(?<!\\)#\s*(.*))?")
_BAIL_OUT = "Bail out!"


def read(suite: str, test: str, output: str, ending: str, *, out_of_time: bool = False) -> list[Result]:
    """The cases in a test program's output, and the program itself where that ended worse than they did.

    :param ending: how the program ended, where it was not with exit code 0.
    :param out_of_time: it was ended because it took too long.
    """
    cases: list[Result] = []
    planned: int | None = None
    wrong = ""
    for line in output.splitlines():
        if plan := _PLAN.fullmatch(line.rstrip()):
            planned = int(plan[1])
            if planned == 0:
                return [Result(suite, test, "", Outcome.SKIP, plan[2] or "it has no cases")]
        elif line.startswith(_BAIL_OUT):
            wrong = " ".join(line.split())
        elif point := _POINT.fullmatch(line):
            cases.append(_case(suite, test, point, len(cases) + 1))
    if out_of_time:
        after = f" after {cases[-1].case}" if cases else ""
        return number_duplicates([*cases, Result(suite, test, "", Outcome.TIMEOUT, f"{ending}{after}")])
    if not wrong and planned is None:
        wrong = "it printed no plan"
    elif not wrong and planned != len(cases):
        wrong = f"{len(cases)} of {planned} cases were run"
    # GLib ends with 1 where a case failed: that says nothing new.
    if ending and not (wrong or any(case.outcome.bad for case in cases)):
        wrong = ending
    if wrong:
        cases.append(Result(suite, test, "", Outcome.FAIL, ", ".join(dict.fromkeys(filter(None, (wrong, ending))))))
    return number_duplicates(cases)


def _case(suite: str, test: str, point: re.Match[str], number: int) -> Result:
    failed, _, name, directive = point.groups()
    name = name or f"case {number}"
    word, _, reason = (directive or "").partition(" ")
    if word.upper().startswith("SKIP"):
        return Result(suite, test, name, Outcome.SKIP, reason or "skipped")
    if word.upper() == "TODO":
        # What is known not to work yet: a failure is expected, and its end would be good news, not a failure.
        return Result(suite, test, name, Outcome.PASS)
    if failed:
        return Result(suite, test, name, Outcome.FAIL, directive or "not ok")
    return Result(suite, test, name, Outcome.PASS)
