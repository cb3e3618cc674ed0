"""Programs that end when we do, whatever becomes of us: the kernel sends them a signal then."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable

from reconnect.kit.errors import HostError

_UNLESS_ORPHAN = '[ "$PPID" = "$0" ] || exit 1; exec "$@"'
"""Run by a shell after setpriv has asked for the signal: a parent that died just before can't send it any more."""


def ends_with_us(argv: Iterable[str | os.PathLike[str]], sig: str = "TERM") -> list[str]:
    """The command that runs a command which gets a signal when its parent dies, even by SIGKILL.

    That is prctl(2), PR_SET_PDEATHSIG, set by setpriv(1); setpriv and a shell replace themselves with the program, so
    the process id is the program's. The signal comes when the *thread* ends that started it, and to the program
    alone: one that has children of its own must end them, or run below :mod:`reconnect.kit.subreaper`.

    :param sig: the signal's name; ``KILL`` for a program that has nothing to clean up.
    :raises HostError: setpriv is not on this machine.
    """
    return [_setpriv(), "--pdeathsig", sig, "--", "/bin/sh", "-c", _UNLESS_ORPHAN, str(os.getpid()), *map(str, argv)]


def _setpriv() -> str:
    program = shutil.which("setpriv", path=f"{os.environ.get('PATH', '')}:/usr/bin:/bin")
    if not program:
        raise HostError("setpriv is not on this machine", hint="apt-get install util-linux")
    return program
