"""What all tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> Iterator[None]:
    """Ctrl-C interrupts, and what the tests start as well: in the background of a shell's script it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that steer a run are those that a test sets, not those of whoever runs the tests."""
    for name in os.environ:
        if name.startswith("RECONNECT_") or (name.startswith("GIT_") and name != "GIT_SSL_CAINFO"):
            monkeypatch.delenv(name)
