"""Containers that are started, waited for and removed, however their run ends."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

from reconnect.kit import command
from reconnect.kit.command import CommandError, Completed
from reconnect.kit.errors import HostError
from reconnect.ship.engines import Container, Engine
from reconnect.ship.obstacles import diagnose


def run(
    engine: Engine,
    container: Container,
    *,
    log: Path,
    timeout: float,
    on_line: Callable[[str], None] | None = None,
) -> Completed:
    """Run a container to its end; nothing of it is left, whatever happens.

    :param timeout: seconds for all of it.
    :returns: the exit code of what ran inside, whichever it is, and its output.
    :raises HostError: the engine could not make the container.
    :raises CommandError: no end in time.
    """
    # Process ids repeat: two jobs, each in its own pid namespace, may share an engine.
    name = f"reconnect-{secrets.token_hex(8)}"
    *before, last = engine.run(container, name)
    try:
        for argv in before:
            try:
                command.run(argv, env=engine.environment, log=log, timeout=120)
            except CommandError as error:
                raise diagnose(engine.name, error) from error
        return command.run(last, env=engine.environment, log=log, timeout=timeout, on_line=on_line, check=False)
    finally:
        command.run(engine.end(name), env=engine.environment, log=log, timeout=120, check=False)


def obstacle(engine: Engine, image: str, log: Path) -> HostError | None:
    """Why an engine can't run a container here, seen by running one that does nothing; None where it can."""
    try:
        ended = run(engine, Container(image, ["true"]), log=log, timeout=120)
    except HostError as error:
        return error
    except CommandError as error:
        return diagnose(engine.name, error)
    if ended.returncode == 0:
        return None
    failed = CommandError(
        ended.argv, None, command.describe_exit(ended.returncode), ended.output.splitlines()[-command.TAIL_LINES :], log
    )
    return diagnose(engine.name, failed)
