"""One cell of the run: what is done, to what, and by whom."""

from __future__ import annotations

from dataclasses import dataclass

from reconnect.lab.schemes import QEMU
from reconnect.report.results import cell_name


@dataclass(frozen=True)
class Cell:
    """Scheme x backend x fault, which repeat of it, from 1, and through what the guest is started."""

    scheme: str
    backend: str
    fault: str
    repeat: int = 1
    launcher: str = QEMU

    @property
    def name(self) -> str:
        """Also the name of its folder."""
        return cell_name(self.scheme, self.launcher, self.backend, self.fault, self.repeat)
