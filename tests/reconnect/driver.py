"""Runs a cell, or an entry of the matrix, in a process of its own, for tests that interrupt it:
driver.py PICKLE OUT [ENTRY].
"""

from __future__ import annotations

import json
import pickle
import signal
import sys
from pathlib import Path

from reconnect.kit.errors import INTERRUPTED
from reconnect.lab.cells import select
from reconnect.lab.run import run_cells
from reconnect.report.results import ComponentInfo, StackInfo


def main() -> int:
    """Run the cell; as ``tasks.py`` does, an interruption becomes an exit code."""
    # A shell's background job begins with SIGINT ignored, and so do all below it: a CI runner may be one.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    binaries, guest = pickle.loads(Path(sys.argv[1]).read_bytes())  # noqa: S301  # the test has written it
    stack = StackInfo("test", "named", "", {"qemu": ComponentInfo(binaries.patched.version, "", (), "")})
    cells = select(**json.loads(sys.argv[3]))
    try:
        result = run_cells(cells, binaries, guest, stack, Path(sys.argv[2]))
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0 if result.good else 7


if __name__ == "__main__":
    sys.exit(main())
