"""The backends that a cell can name."""

from __future__ import annotations

from reconnect.lab.backends import Backend
from reconnect.lab.backends.stub import Stub
from reconnect.lab.backends.testpmd import Testpmd

BACKENDS: dict[str, type[Backend]] = {Testpmd.name: Testpmd, Stub.name: Stub}
