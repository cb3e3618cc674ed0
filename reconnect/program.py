"""invoke's program with this project's exit codes: a word that no task knows is a usage error (2), Ctrl-C is 130."""

from __future__ import annotations

import sys

from invoke.exceptions import ParseError
from invoke.program import Program as InvokeProgram

from reconnect import __version__
from reconnect.kit.errors import INTERRUPTED, ConfigError


class Program(InvokeProgram):
    """``./inv``: invoke, which by itself ends with 1 for these two."""

    def parse_core(self, argv: list[str] | None) -> None:
        """Invoke's own, with usage errors told from bugs."""
        self._checked(super().parse_core, argv)

    def parse_tasks(self) -> None:
        """Invoke's own, with usage errors told from bugs."""
        self._checked(super().parse_tasks)

    def parse_cleanup(self) -> None:
        """Invoke's own, with usage errors told from bugs."""
        self._checked(super().parse_cleanup)

    def _checked(self, parse, *words) -> None:  # type: ignore[no-untyped-def]
        try:
            parse(*words)
        except (ParseError, ValueError) as error:  # a ValueError is a word where a number must be
            print(f"{error}\n  do : ./inv --list, ./inv --help TASK", file=sys.stderr)
            sys.exit(ConfigError.exit_code)


def main() -> None:
    """Entry point of ``./inv``."""
    try:
        Program(name="inv", binary="inv", version=__version__).run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
