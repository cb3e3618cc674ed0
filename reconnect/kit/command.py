"""The one subprocess runner.

Builders elsewhere return argument lists; this module executes them. A child gets ``/dev/null`` as stdin, a session
of its own (so that Ctrl-C reaches us first and we end the whole group), and its output goes to a log file as it
appears. A failure shows the command to paste again, its directory, the exit code or the signal's name, the last
lines, and the path of the whole log.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

TAIL_LINES = 15
"""How many of a failed command's last lines its error shows."""

GRACE_SECONDS = 5.0
"""How long a process group has between SIGTERM and SIGKILL."""


@dataclass(frozen=True)
class Completed:
    """A command that has ended: its exit code (negative: killed by that signal) and its output, both streams."""

    argv: tuple[str, ...]
    returncode: int
    output: str


class CommandError(Exception):
    """A command ended with another code than 0, ran out of time, or couldn't be started.

    Callers turn it into an error of :mod:`reconnect.kit.errors` that says what the command was for.

    :ivar output: all that it has printed.
    :ivar out_of_time: it was ended because its time was up.
    """

    def __init__(
        self,
        argv: Sequence[str],
        cwd: Path | None,
        ending: str,
        tail: Sequence[str],
        log: Path | None,
        *,
        output: str = "",
        out_of_time: bool = False,
    ) -> None:
        super().__init__(ending)
        self.output = output
        self.out_of_time = out_of_time
        self.argv = tuple(argv)
        self.cwd = cwd
        self.ending = ending
        self.tail = tuple(tail)
        self.log = log

    def __str__(self) -> str:
        lines = [f"{pasteable(self.argv, self.cwd)}", f"ended with {self.ending}"]
        if self.tail:
            lines.append("last lines:")
            lines.extend(f"  | {line}" for line in self.tail)
        if self.log:
            lines.append(f"whole log: {self.log}")
        return "\n".join(lines)


def pasteable(argv: Sequence[str], cwd: Path | None = None) -> str:
    """The command as one can paste it into a shell, with its directory."""
    command = shlex.join(str(a) for a in argv)
    return f"cd {shlex.quote(str(cwd))} && {command}" if cwd else command


def describe_exit(returncode: int) -> str:
    """``exit code 2`` or ``signal SIGSEGV``, from a code as :mod:`subprocess` gives it."""
    if returncode < 0:
        with contextlib.suppress(ValueError):
            return f"signal {signal.Signals(-returncode).name}"
        return f"signal {-returncode}"
    return f"exit code {returncode}"


def end_group(process: subprocess.Popen[bytes], grace: float = GRACE_SECONDS) -> None:
    """End a child that was started with a session of its own, and all that it started: SIGTERM, then SIGKILL.

    :param grace: seconds between the two signals.
    """
    try:
        for sig in (signal.SIGTERM, signal.SIGKILL):
            # The group can outlive its leader (a make that died before its compilers), so signal it in any case.
            _signal_group(process, sig)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(grace)
                if sig is signal.SIGTERM and not _group_alive(process.pid):
                    return
        process.wait()
    except BaseException:  # Ctrl-C again, while we wait
        _signal_group(process, signal.SIGKILL)
        raise


def _signal_group(process: subprocess.Popen[bytes], sig: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, sig)


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    timeout: float = 3600,
    check: bool = True,
    stdin: bytes | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Completed:
    """Run a command to its end.

    :param env: variables to add to ours; a value of the empty string is passed on as empty.
    :param log: file that the command line and all output are appended to, as they come.
    :param timeout: seconds until the command and its children are ended.
    :param check: raise for an exit code other than 0.
    :param stdin: bytes for the command to read; without them it reads ``/dev/null``.
    :param on_line: called with each line of output, for progress.
    :raises CommandError: see ``check`` and ``timeout``; also where the program doesn't exist.
    """
    words = [str(a) for a in argv]
    output: list[str] = []
    with contextlib.ExitStack() as stack:
        sink: IO[str] | None = None
        if log:
            log.parent.mkdir(parents=True, exist_ok=True)
            sink = stack.enter_context(log.open("a", encoding="utf-8", errors="replace"))
            sink.write(f"$ {pasteable(words, cwd)}\n")
            sink.flush()
        process: subprocess.Popen[bytes] | None = None
        timer: threading.Timer | None = None
        out_of_time = threading.Event()
        try:
            with _interrupts_deferred():
                process = subprocess.Popen(
                    words,
                    cwd=cwd,
                    env={**os.environ, **env} if env else None,
                    stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            timer = threading.Timer(timeout, _give_up, (process, out_of_time))
            timer.daemon = True
            timer.start()
            if stdin is not None and process.stdin:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(stdin)
                    process.stdin.close()
            assert process.stdout is not None
            for raw in process.stdout:
                line = raw.decode("utf-8", "replace")
                output.append(line)
                if sink:
                    sink.write(line)
                    sink.flush()
                if on_line:
                    on_line(line.rstrip("\n"))
            returncode = process.wait()
        except BaseException as error:
            if process:
                end_group(process)
            elif isinstance(error, OSError):
                raise CommandError(words, cwd, f"{error.strerror}: {error.filename}", (), log) from error
            raise
        finally:
            if timer:
                timer.cancel()
            if process and process.stdout:
                process.stdout.close()
        if sink:
            sink.write(f"# {describe_exit(returncode)}\n")
    if out_of_time.is_set() or (check and returncode != 0):
        ending = f"no end after {timeout:.0f} s" if out_of_time.is_set() else describe_exit(returncode)
        tail = deque((line.rstrip() for line in output if line.strip()), maxlen=TAIL_LINES)
        raise CommandError(words, cwd, ending, tail, log, output="".join(output), out_of_time=out_of_time.is_set())
    return Completed(tuple(words), returncode, "".join(output))


def _give_up(process: subprocess.Popen[bytes], out_of_time: threading.Event) -> None:
    out_of_time.set()
    end_group(process)


@contextlib.contextmanager
def _interrupts_deferred() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait: raised within Popen, they would leave a child that nobody knows.

    Only the handlers are exchanged, as a child would inherit a mask of blocked signals.
    """
    if threading.current_thread() is not threading.main_thread():  # handlers run in the main thread alone
        yield
        return
    came: list[int] = []
    old = {sig: signal.getsignal(sig) for sig in (signal.SIGINT, signal.SIGTERM)}
    ours = {sig: handler for sig, handler in old.items() if callable(handler)}
    for sig in ours:
        signal.signal(sig, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for sig, handler in ours.items():
            signal.signal(sig, handler)
        for number in came:
            signal.raise_signal(number)


def _group_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
