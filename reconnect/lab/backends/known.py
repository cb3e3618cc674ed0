"""The backends that a cell can name, with their options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Self

from reconnect.kit.errors import ConfigError
from reconnect.kit.suggest import unknown
from reconnect.lab.backends import Backend, Endpoint
from reconnect.lab.backends.ovs import Ovs
from reconnect.lab.backends.stub import Stub
from reconnect.lab.backends.testpmd import Testpmd
from reconnect.lab.binaries import Binaries
from reconnect.lab.process.waiter import Waiter

BACKENDS: dict[str, type[Backend]] = {Testpmd.name: Testpmd, Ovs.name: Ovs, Stub.name: Stub}


@dataclass(frozen=True)
class BackendSpec:
    """A backend as the command line names it: ``NAME``, or ``NAME:OPTION=VALUE`` with more options after ``+``.

    :param options: those that were given; see :attr:`Backend.OPTIONS` for what there is.
    """

    name: str
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the words of the command line.

        :raises ConfigError: an unknown backend, option or value.
        """
        name, colon, rest = text.partition(":")
        if name not in BACKENDS:
            raise unknown("backend", name, [*BACKENDS, "all"], "--backend")
        known = BACKENDS[name].OPTIONS
        options: dict[str, str] = {}
        for word in rest.split("+") if colon else ():
            option, equals, value = word.partition("=")
            if option not in known:
                if not known:
                    raise ConfigError(f"the backend {name} has no options, and {text!r} gives one")
                raise unknown(f"option of {name}", option, known, "--backend")
            if not equals or value not in known[option]:
                raise ConfigError(
                    f"--backend {text}: {option} is {' or '.join(known[option])}",
                    hint=f"--backend {name}:{option}={known[option][-1]}",
                )
            options[option] = value
        return cls(name, MappingProxyType(options))

    def require(self) -> None:
        """See :meth:`Backend.require`."""
        BACKENDS[self.name].require()

    def create(self, binaries: Binaries, place: Endpoint, waiter: Waiter, queue_pairs: int) -> Backend:
        """The backend, not started."""
        backend = BACKENDS[self.name](place, waiter, queue_pairs)
        backend.configure(binaries, {**backend.defaults(), **self.options})
        return backend
