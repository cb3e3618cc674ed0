"""What all tests share."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that steer a run are those that a test sets, not those of whoever runs the tests."""
    for name in os.environ:
        if name.startswith("RECONNECT_") or (name.startswith("GIT_") and name != "GIT_SSL_CAINFO"):
            monkeypatch.delenv(name)
