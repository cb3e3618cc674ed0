"""libvirtd as a context manager: entering starts it and waits until it answers; leaving ends it and its QEMUs."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from reconnect.kit.command import describe_exit
from reconnect.kit.deadline import Deadline
from reconnect.kit.sockets import checked
from reconnect.kit.subreaper import below_subreaper
from reconnect.lab.binaries import Libvirt
from reconnect.lab.libvirt.places import HOME, Places
from reconnect.lab.libvirt.virsh import Virsh
from reconnect.lab.process.child import Child
from reconnect.lab.process.failure import CellError
from reconnect.lab.process.lines import Line, LineReader, tail_of
from reconnect.lab.process.stages import SocketWatch
from reconnect.lab.process.waiter import Waiter

HERE = Path(__file__).parent
LOG = "libvirtd.log"
OUTPUT = "libvirtd.out"
EMPTY_WORDS = ("Driver state initialization failed",)
"""Errors that say only that another one came before."""

Value = int | str | Sequence[str]


@dataclass(frozen=True)
class LibvirtdSettings:
    """What a cell asks of libvirtd besides the lab's own configuration.

    :param qemu: settings for qemu.conf.
    :param emulator: the QEMU that its domains will name. An old libvirt (3.0) knows no architecture of which it
        finds no QEMU in PATH when it starts.
    """

    qemu: Mapping[str, Value] = field(default_factory=dict)
    emulator: Path | None = None

    def text(self) -> str:
        """The lines of qemu.conf."""
        return "".join(f"{name} = {rendered(value)}\n" for name, value in self.qemu.items())


NO_SETTINGS = LibvirtdSettings()


def rendered(value: Value) -> str:
    """A value in the syntax of libvirt's configuration files: numbers, strings and lists of strings."""
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, Sequence):
        return f"[ {', '.join(map(rendered, value))} ]" if value else "[ ]"
    return str(value)


class Libvirtd:
    """One run of libvirtd.

    :param places: its folders, which nobody else uses now: see :func:`reconnect.lab.libvirt.places.places`.
    :param runtime: the runtime directory of the cell.
    :param folder: takes ``libvirtd.log``, ``libvirtd.out``, ``qemu.conf`` and ``virsh.log``.
    :param start: how long it may take until it answers.
    :ivar pid: its process id; None before it was started.
    :ivar endings: how each process that it started has ended, by process id.
    """

    def __init__(
        self,
        libvirt: Libvirt,
        places: Places,
        runtime: Path,
        folder: Path,
        waiter: Waiter,
        start: Deadline,
        *,
        settings: LibvirtdSettings = NO_SETTINGS,
    ) -> None:
        self.libvirt = libvirt
        self.log = folder / LOG
        self.output = folder / OUTPUT
        self.pid: int | None = None
        self.endings: dict[int, str] = {}
        self._runtime, self._folder, self._waiter, self._start = runtime, folder, waiter, start
        self._settings = settings
        self._stack = ExitStack()
        self.places = places
        self.virsh: Virsh

    def __enter__(self) -> Libvirtd:
        with ExitStack() as stack:
            checked(self.places.socket)
            conf = self._configure()
            watch = SocketWatch(self.places.socket, self._waiter)
            stack.callback(watch.close)
            argv = [str(self.libvirt.daemon), "--config", str(conf), "--pid-file", str(self._runtime / HOME / "pid")]
            env = {**self.places.env, "LC_ALL": "C.UTF-8", "PATH": self._search_path()}
            self._child = Child(
                "libvirtd",
                below_subreaper(argv, announce=True),
                self._waiter,
                subprocess.PIPE,
                env,
                orphan="TERM",
            )
            self._lines = LineReader(self._child.stream, self.output, self._waiter, self._take)
            stack.callback(self._lines.join)
            stack.callback(self._child.close)
            stack.enter_context(self._waiter.guard(self.check))
            self._waiter.wait(lambda: watch.listening, self._start, "libvirtd to listen")
            self.virsh = Virsh(self.libvirt.virsh, self.places.uri, env, self._folder / "virsh.log")
            # It listens before its drivers are ready; what is asked meanwhile it answers when they are.
            self.ask("list")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def ask(self, *words: str | Path, deadline: Deadline | None = None) -> str:
        """Run a command of virsh's.

        :param deadline: without it, the one for the start.
        :raises CellError: it failed; where libvirtd's end explains that, with its last words.
        """
        try:
            return self.virsh.run(*words, deadline=deadline or self._start)
        except CellError as failure:
            self._check_soon()
            raise CellError(failure.what, [*failure.details, *self.errors()]) from failure

    def check(self) -> None:
        """Object if it has ended: nobody tells it to before its context is left.

        :raises CellError: with its ending and what it said.
        """
        if self._ended:
            errors = [error for error in self.errors() if error not in EMPTY_WORDS]
            details = [*errors, *self._settings_in(errors)] or self._lines.tail()
            said = f", having said: {(errors or details)[-1]}" if details else ""
            ending = self.endings.get(self.pid or 0, self._child.ending)
            raise CellError(f"libvirtd ended by itself with {ending}{said}", details)

    def errors(self) -> list[str]:
        """What its log has as errors, without time stamps and the names of its functions."""
        return errors_in(tail_of(self.log, 400))

    def ending(self, pid: int) -> str:
        """How a process that it has started ended: ``exit code 1``, ``signal SIGSEGV``; empty while it runs."""
        return self.endings.get(pid, "")

    def _search_path(self) -> str:
        emulator = self._settings.emulator
        usual = os.environ.get("PATH", "/usr/bin:/bin")
        return f"{emulator.parent}:{usual}" if emulator else usual

    @property
    def _ended(self) -> bool:
        # The subreaper outlives it: for as long as it takes to end its QEMUs.
        return self.pid in self.endings or self._child.ended is not None

    def _configure(self) -> Path:
        """Write both files where libvirtd looks, and a copy of what matters beside the logs."""
        # What is set first counts, to libvirt.
        text = self._settings.text() + (HERE / "qemu.conf").read_text(encoding="utf-8")
        (self.places.config / "qemu.conf").write_text(text, encoding="utf-8")
        (self._folder / "qemu.conf").write_text(text, encoding="utf-8")
        conf = self._runtime / HOME / "libvirtd.conf"
        own = LibvirtdSettings({"unix_sock_dir": str(self.places.sockets), "log_outputs": f"1:file:{self.log}"})
        conf.write_text((HERE / "libvirtd.conf").read_text(encoding="utf-8") + own.text(), encoding="utf-8")
        return conf

    def _settings_in(self, errors: list[str]) -> list[str]:
        """The lines of qemu.conf whose settings an error names: libvirt says the name, and no line."""
        path = self._folder / "qemu.conf"
        lines = path.read_text(encoding="utf-8").splitlines()
        return [
            f"{path.name}:{number}: {line}"
            for number, line in enumerate(lines, 1)
            if (name := line.partition("=")[0].strip()) and re.search(rf"\b{re.escape(name)}\b", " ".join(errors))
        ]

    def _take(self, line: Line) -> None:
        words = line.text.split()
        if words[:1] == ["subreaper:"] and words[2:] == ["started"]:
            self.pid = int(words[1])
        if words[:1] == ["subreaper:"] and words[2:4] == ["ended", "with"]:
            self.endings[int(words[1])] = describe_exit(int(words[4]))

    def _check_soon(self) -> None:
        """As :meth:`check`, where something else has failed first: a libvirtd that dies hangs up a little earlier."""
        try:
            self._waiter.wait(lambda: self._ended, Deadline(1), "libvirtd's end")
        except CellError:
            if self._ended:
                raise


def errors_in(lines: list[str]) -> list[str]:
    """The texts of the errors among a log's lines: ``DATE TIME: PID: error : FUNCTION:LINE : TEXT``."""
    return [line.split(" : ", 2)[-1] for line in lines if ": error : " in line]
