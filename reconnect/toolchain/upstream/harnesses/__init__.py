"""How each program's tests are found, compiled and run.

``meson``: ``meson introspect`` knows the tests and what they depend on; ``meson test`` runs them and leaves
``testlog.json``. ``automake``: make variables name the tests; ``make check`` leaves a ``.trs`` file for each.
``glib``: programs that make variables name, run one by one with ``--tap``. ``make``: targets that make variables
name, each a test that passes where make does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from reconnect.project.config import Suite
from reconnect.toolchain.upstream.outcome import Result
from reconnect.toolchain.workbench import Workbench


class Harness(Protocol):
    """The tests of one suite, in an object folder that is configured."""

    def find(self) -> list[str]:
        """Names of all tests that the harness knows."""

    def compile(self, tests: Sequence[str]) -> None:
        """Compile what these tests need.

        :raises BuildError: something of it does not compile.
        """

    def run(self, tests: Sequence[str]) -> list[Result]:
        """Run them. Each has its deadline; what a test leaves running is ended by the caller."""


def find(bench: Workbench, suite: Suite) -> Harness:
    """The harness that stacks.toml names; :func:`reconnect.project.config.load` has checked the name."""
    from reconnect.toolchain.upstream.harnesses.automake import Automake
    from reconnect.toolchain.upstream.harnesses.glib import Glib
    from reconnect.toolchain.upstream.harnesses.make import Make
    from reconnect.toolchain.upstream.harnesses.meson import Meson

    kinds: dict[str, type[Harness]] = {"meson": Meson, "automake": Automake, "glib": Glib, "make": Make}
    return kinds[suite.harness](bench, suite)  # type: ignore[call-arg]
