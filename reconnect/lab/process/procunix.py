"""Who listens and who is connected at a unix socket's path, as ``/proc/net/unix`` shows it (proc(5)).

An accepted connection and one that still waits in the listener's backlog carry the listener's path; their states
differ: 03 (SS_CONNECTED) has been accepted, 02 (SS_CONNECTING) has not. A listener has the flag __SO_ACCEPTCON.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TABLE = Path("/proc/net/unix")
ACCEPTCON = 0x10000
CONNECTING, CONNECTED = 2, 3


@dataclass(frozen=True)
class Entry:
    """One socket of the table."""

    inode: int
    state: int
    listening: bool


def entries(path: Path, table: str | None = None) -> Iterator[Entry]:
    """The sockets that are bound to ``path``.

    :param table: the table's text; without it the kernel's is read.
    """
    text = TABLE.read_text(encoding="utf-8", errors="replace") if table is None else table
    ending = f" {path}"
    for line in text.splitlines():
        if line.endswith(ending):
            # Num: RefCount Protocol Flags Type St Inode Path
            words = line.split()
            yield Entry(int(words[6]), int(words[5], 16), bool(int(words[3], 16) & ACCEPTCON))


def listens(path: Path) -> bool:
    """Whether some process listens at ``path``."""
    return any(entry.listening for entry in entries(path))
