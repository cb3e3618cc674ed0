"""A wake port: what makes the server side of DPDK accept a connection at once, before DPDK 24.07.

Up to DPDK 23.11 ``rte_vhost_driver_start()`` starts the thread that watches all sockets before the listener is among
them; that thread sleeps in poll() for up to a second, and nothing tells it of the new one (mended by DPDK's commits
0c18e4fb15 and 0e38b42bf6). A port of the same process that is a vhost-user *client*, made last, connects to a socket
of ours: DPDK adds that connection in a way that does wake the thread, which then sees the listener as well.

What is measured with it is a real switch of today's DPDK, with QEMU's own share of a recovery in full view.
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from reconnect.kit.sockets import checked

BACKLOG = 8


class WakePort:
    """A listening socket that DPDK's extra port connects to. Nobody speaks on it.

    :param path: a short one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.setblocking(False)
        self._listener.bind(str(checked(path)))
        self._listener.listen(BACKLOG)

    def renewed(self) -> Path:
        """The path, with room in the backlog again: connections of processes that are gone are dropped."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._listener.accept()[0].close()
        return self._path

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()
        self._path.unlink(missing_ok=True)
