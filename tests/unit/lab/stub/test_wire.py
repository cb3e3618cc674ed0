"""Messages that are cut short: what came with them is closed."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from reconnect.lab.stub import wire
from reconnect.lab.stub.protocol import HEADER, U64, VERSION, VRING_NO_FD, Request
from tests.unit.lab.stub.conftest import Dial, Start
from tests.unit.lab.stub.frontend import until


def _open() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("how", ["silence", "end", "too long"])
def test_a_message_that_is_cut_short_leaves_no_descriptor(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Steps: a header with a descriptor, whose body never comes, or ends, or is too long.

    Verify: an error, and as many descriptors as before.
    """
    monkeypatch.setattr(wire, "BODY_SECONDS", 0.05)
    ours, theirs = socket.socketpair()
    with ours, theirs, open(os.devnull, "rb") as file:  # noqa: PTH123  # a descriptor, not a path
        size = 10**6 if how == "too long" else 8
        socket.send_fds(theirs, [HEADER.pack(Request.SET_VRING_CALL, VERSION, size)], [file.fileno()])
        if how == "end":
            theirs.shutdown(socket.SHUT_WR)
        before = _open()
        with pytest.raises(wire.ProtocolError):
            wire.read(ours)
        assert _open() == before


@pytest.mark.parametrize("word", [0, VRING_NO_FD])
def test_descriptors_that_nobody_asked_for_are_closed(start: Start, dial: Dial, word: int) -> None:
    """Steps: three descriptors where one belongs, or none.

    Verify: a violation; the stub keeps one at most.
    """
    stub = start()
    front = dial(stub)
    front.greet()
    stub.until("message", name="SET_OWNER")
    folder = Path(f"/proc/{stub.process.pid}/fd")
    before = len(list(folder.iterdir()))
    front.send(Request.SET_VRING_CALL, U64.pack(word), [front.memory] * 3)
    stub.until_violation("3 descriptors instead of")
    until(lambda: len(list(folder.iterdir())) == before + (not word), "the stub to close what it does not keep")
