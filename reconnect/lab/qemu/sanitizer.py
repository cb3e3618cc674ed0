"""What a sanitizer has said when it ended the program that it was compiled into.

AddressSanitizer and LeakSanitizer write a report to standard error: a headline, then the stack of the access, then
those of the block's release and its allocation. The formats are those of GCC's libsanitizer.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path

LINES = 60
"""So much of a report is kept: enough for the three stacks."""

FRAMES = 5
"""So many frames are told in one line."""

_HEAD = re.compile(r"==\d+==ERROR: (\w+Sanitizer: .*)")
_FRAME = re.compile(r"\s*#(\d+) 0x[0-9a-f]+ in (\S+)(?: (\S*?)([^/\s]+))?$")
_NOT_TOLD = re.compile(r"__(?:interceptor|asan|lsan|libc)_|_start$|g_(?:malloc|free|realloc)")
"""Functions of the sanitizer, the C library and GLib that say nothing about the program."""


def report_in(log: Path) -> list[str]:
    """The first report in a log, without blank lines; empty where there is none."""
    with contextlib.suppress(OSError):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        for number, line in enumerate(lines):
            if _HEAD.search(line):
                return [text.rstrip() for text in lines[number:] if text.strip()][:LINES]
    return []


def told(report: Sequence[str]) -> str:
    """A report in one line: what was found, and the functions of the first stack, the innermost first."""
    head = _HEAD.search(report[0])
    what = head[1] if head else report[0]
    # The addresses are other ones each time.
    what = re.sub(r" (?:on (?:unknown )?address|at pc) .*", "", what)
    frames: list[str] = []
    for line in report[1:]:
        frame = _FRAME.match(line)
        if frame is None or (frame[1] == "0" and frames):
            if frames:
                break
            continue
        if not _NOT_TOLD.match(frame[2]):
            frames.append(f"{frame[2]} ({frame[4]})" if frame[4] else frame[2])
    return f"{what} in {' < '.join(frames[:FRAMES])}" if frames else what
