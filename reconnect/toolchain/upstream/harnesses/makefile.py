"""Asking a Makefile what its variables hold."""

from __future__ import annotations

from collections.abc import Sequence

from reconnect.toolchain.workbench import Workbench

_MARK = "reconnect-has:"


def variables(bench: Workbench, folder: str, names: Sequence[str]) -> list[str]:
    """The words of make variables, in their order, each once.

    :param folder: of the Makefile, below the object folder.
    """
    words = " ".join(f"$({name})" for name in names)
    # One line a word, each marked: make may have to remake its Makefile first, and talks about that.
    rule = f"reconnect-print: ; $(foreach word,{words},$(info {_MARK}$(word)))@:"
    said = bench.run("list tests", ["make", "-C", folder, "--eval", rule, "reconnect-print"])
    found = [line.removeprefix(_MARK) for line in said.splitlines() if line.startswith(_MARK)]
    return list(dict.fromkeys(found))
