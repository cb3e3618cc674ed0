"""What a test says of guards is held against what happens in it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest

from tests.unit.lab.guards import MARKER, Guard, Spoken, guards


@cache
def _known() -> dict[str, Guard]:
    return guards()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a test that does not make the guards speak that it names."""
    names = [str(name) for marker in item.iter_markers(MARKER) for name in marker.args]
    if not names:
        yield
        return
    with Spoken() as spoken:
        yield
    if silent := spoken.silent(names, _known()):
        pytest.fail(f"not reached: {'; '.join(silent)}", pytrace=False)
