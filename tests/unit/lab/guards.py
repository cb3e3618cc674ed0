"""Guards: the places that can end a cell, each with the tests that feed it the bad thing.

A guard is a ``raise`` of a :class:`CellEnded` or one of its kind, or a wait that gives up at its deadline. A test says
with the marker ``guards`` which ones it makes speak; that it really does so is checked while it runs
(``conftest.py``), and that no guard is left without a test is checked by ``test_guards.py``.

``python -m tests.unit.lab.guards`` prints the list.
"""

from __future__ import annotations

import ast
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from reconnect.lab.process.failure import CellEnded, CellError, CellFailed

TESTS = Path(__file__).resolve().parent
LAB = TESTS.parents[2] / "reconnect" / "lab"
SCOPE = (
    *("boot.py", "recovery.py", "scenario.py", "matrix/*.py", "process/*.py", "libvirt/*.py"),
    *("qemu/qmp.py", "qemu/stall_check.py", "qemu/usage.py", "qemu/virtual_machine.py", "probe/agent.py"),
    *("backends/__init__.py", "backends/program.py", "backends/stub.py", "backends/testpmd.py"),
)
"""Which of the lab's files are looked through."""

MARKER = "guards"
HEAD = 44
"""Characters of a message that go into a name."""

WAITS = ("wait", "_wait", "wait_steady", "_wait_steady")
"""Names of methods that give up at a deadline; their third argument is what was waited for."""


@dataclass(frozen=True)
class Guard:
    """One place that can end a cell.

    :param name: ``FILE FUNCTION: MESSAGE``, or ``FILE FUNCTION waits for WHAT``, up to the first value in it.
    :param file: where it is, with its first and its last line.
    """

    name: str
    file: Path
    first: int
    last: int


def guards(folder: Path = LAB, scope: Sequence[str] = SCOPE) -> dict[str, Guard]:
    """All guards by name. Of those in one function that say the same the second one ends with ``#2``."""
    found: dict[str, Guard] = {}
    kinds = _kinds(folder)
    for file in sorted(path for pattern in scope for path in folder.glob(pattern)):
        again: Counter[str] = Counter()
        for where, function in _functions(ast.parse(file.read_text(encoding="utf-8"))):
            for node, what in _places(function, kinds):
                name = f"{file.relative_to(folder)} {where}{what}"
                again[name] += 1
                name = f"{name}#{again[name]}" if again[name] > 1 else name
                found[name] = Guard(name, file, node.lineno, node.end_lineno or node.lineno)
    return found


def _kinds(folder: Path) -> set[str]:
    """Names of all exceptions of the lab that are a :class:`CellEnded`."""
    bases = {
        node.name: {ast.unparse(base) for base in node.bases}
        for file in folder.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    }
    kinds = {CellEnded.__name__, CellFailed.__name__, CellError.__name__}
    while more := {name for name, of in bases.items() if of & kinds} - kinds:
        kinds |= more
    return kinds


def _functions(tree: ast.AST, inside: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    """All functions, each with its classes and functions before its name."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            if isinstance(node, ast.FunctionDef):
                yield f"{inside}{node.name}", node
            yield from _functions(node, f"{inside}{node.name}.")
        else:
            yield from _functions(node, inside)


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a function in their order, without those of the functions in it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.ClassDef | ast.FunctionDef):
            yield child
            yield from _own(child)


def _places(function: ast.FunctionDef, kinds: set[str]) -> Iterator[tuple[ast.Raise | ast.Call, str]]:
    for node in _own(function):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
            raised = node.exc.func
            # What is no plain name of a class may be anything.
            if not isinstance(raised, ast.Name) or raised.id in kinds or not raised.id[0].isupper():
                yield node, f": {_head(node.exc.args[0], function)}"
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Name):
            yield node, f": {_head(node.exc, function)}"
        elif isinstance(node, ast.Call) and _is_wait(node):
            yield node, f" waits for {_head(node.args[2], function)}"


def _is_wait(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr in WAITS and len(call.args) > 2


def _head(text: ast.expr, function: ast.FunctionDef) -> str:
    """The beginning of a message up to the first value in it; of a name, that which it was given."""
    if isinstance(text, ast.Name):
        text = _given(text.id, function) or text
    if isinstance(text, ast.BinOp):
        text = text.left
    first = text.values[0] if isinstance(text, ast.JoinedStr) else text
    if not isinstance(first, ast.Constant):
        return f"{{{ast.unparse(text)}}}"
    return textwrap.shorten(str(first.value), HEAD, placeholder=" ...")


def _given(name: str, function: ast.FunctionDef) -> ast.expr | None:
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name) and target.id == name:
                    return node.value
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    for one, value in zip(target.elts, node.value.elts, strict=True):
                        if isinstance(one, ast.Name) and one.id == name:
                            return value
    return None


def claims(folder: Path = TESTS) -> dict[str, list[str]]:
    """The guards that tests say they make speak, each with the tests' names (``FILE::FUNCTION``)."""
    found: dict[str, list[str]] = {}
    for file in sorted(folder.rglob("test_*.py")):
        for function in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef):
                for name in _claimed(function):
                    found.setdefault(name, []).append(f"{file.relative_to(folder)}::{function.name}")
    return found


def _claimed(function: ast.FunctionDef) -> Iterator[str]:
    for decorator in function.decorator_list:
        for node in ast.walk(decorator):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == MARKER:
                # By value: a name of something else could not be listed.
                yield from (ast.literal_eval(word) for word in node.args)


class Spoken:
    """Watches, as a context manager, through which lines of the lab a :class:`CellEnded` comes: of this thread."""

    def __init__(self, folder: Path = LAB) -> None:
        self._folder = f"{folder}/"
        self._lines: set[tuple[str, int]] = set()
        self._before: Any = None

    def __enter__(self) -> Self:
        self._before = sys.gettrace()
        sys.settrace(self._call)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.settrace(self._before)

    def _call(self, frame: FrameType, event: str, arg: Any) -> Any:
        if not frame.f_code.co_filename.startswith(self._folder):
            return None
        frame.f_trace_lines = False
        return self._inside

    def _inside(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "exception" and issubclass(arg[0], CellEnded):
            self._lines.add((frame.f_code.co_filename, frame.f_lineno))
        return self._inside

    def silent(self, names: Sequence[str], known: dict[str, Guard]) -> list[str]:
        """Which of these guards has not spoken; one that does not exist has not."""
        return [name for name in names if name not in known or not self._heard(known[name])]

    def _heard(self, guard: Guard) -> bool:
        return any((str(guard.file), line) in self._lines for line in range(guard.first, guard.last + 1))


def main() -> int:
    """Print each guard with its tests; returns how many have none."""
    claimed = claims()
    for name in guards():
        print(name, *(f"    {test}" for test in claimed.get(name, ["NO TEST"])), sep="\n")
    missing = [name for name in guards() if name not in claimed]
    print(f"{len(guards())} guards, {len(missing)} without a test")
    return len(missing)


if __name__ == "__main__":
    sys.exit(min(main(), 1))
