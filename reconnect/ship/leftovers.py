"""What an interrupted build leaves in an engine's storage: working containers, with a file system mounted for each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reconnect.kit import command
from reconnect.kit.command import CommandError
from reconnect.ship.engines import Engine


@contextmanager
def removed(engine: Engine, log: Path) -> Iterator[None]:
    """Remove the working containers of a build that fails or is interrupted; those that were there before stay."""
    before = _containers(engine)
    try:
        yield
    except BaseException:
        for container in sorted(_containers(engine) - before):
            command.run(engine.end(container), env=engine.environment, log=log, timeout=120, check=False)
        raise


def _containers(engine: Engine) -> set[str]:
    argv = engine.containers()
    if not argv:
        return set()
    try:
        return set(command.run(argv, timeout=60).output.split())
    except CommandError:
        return set()
