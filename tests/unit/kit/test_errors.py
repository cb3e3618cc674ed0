from __future__ import annotations

import pytest

from reconnect.kit import errors


def test_what_why_and_what_to_do_are_labelled_and_indented() -> None:
    error = errors.SourceError("it failed", why="one\ntwo", hint="first\nsecond\n")
    assert str(error) == "it failed\n  why: one\n       two\n  do : first\n       second"
    assert str(errors.ReconnectError("it failed")) == "it failed"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.ReconnectError, 1),
        (errors.ConfigError, 2),
        (errors.SourceError, 3),
        (errors.PatchError, 4),
        (errors.BuildError, 5),
        (errors.HostError, 6),
        (errors.VerdictError, 7),
    ],
)
def test_exit_codes_are_those_of_the_manual(kind: type[errors.ReconnectError], code: int) -> None:
    assert kind("x").exit_code == code
    assert issubclass(kind, Exception)
    assert errors.INTERRUPTED == 130
