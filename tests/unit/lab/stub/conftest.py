"""Stubs that are ended whatever becomes of the test."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.unit.lab.stub.frontend import FrontEnd, Stub

Start = Callable[..., Stub]
Dial = Callable[[Stub], FrontEnd]


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a path that is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="s-") as folder:
        yield Path(folder)


@pytest.fixture
def start(short: Path) -> Iterator[Start]:
    """Starts a stub with these words; it listens when this returns."""
    with ExitStack() as stack:

        def started(*words: str) -> Stub:
            stub = Stub(short / "s", *words)
            stack.callback(stub.close)
            if "--client" not in words:
                stub.until("listening")
            return stub

        yield started


@pytest.fixture
def dial() -> Iterator[Dial]:
    """Connects a front-end to a stub."""
    with ExitStack() as stack:

        def dialled(stub: Stub) -> FrontEnd:
            front = FrontEnd.connect(stub.path)
            stack.callback(front.close)
            return front

        yield dialled
