"""The one subprocess runner.

Builders elsewhere return argument lists; this module executes them. A child gets ``/dev/null`` as stdin, a session
of its own (so that Ctrl-C reaches us first and we end the whole group), SIGTERM when we die, and the locks that we
hold; its output goes to a log file as it appears. A failure shows the command to paste again, its directory, the exit
code or the signal's name, the last lines, and the path of the whole log.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from reconnect.kit import lock
from reconnect.kit.deadline import Deadline
from reconnect.kit.errors import HostError
from reconnect.kit.parent import ends_with_us
from reconnect.kit.processgroup import end_group
from reconnect.kit.subreaper import below_subreaper

TAIL_LINES = 15
"""How many of a failed command's last lines its error shows."""

CHUNK_BYTES = 65536
"""How much is read at a time: what a pipe holds (pipe(7))."""


@dataclass(frozen=True)
class Completed:
    """A command that has ended: its exit code (negative: killed by that signal) and its output, both streams."""

    argv: tuple[str, ...]
    returncode: int
    output: str


class CommandError(HostError):
    """A command ended with another code than 0, ran out of time, or couldn't be started.

    Callers turn it into an error that says what the command was for, where they know why it may fail. Where they
    don't, something about the machine is the usual reason: a full disk, a file that was damaged.

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
        super().__init__(
            f"a command that has to work ended with {ending}", why=pasteable(argv, cwd), hint="run it by hand"
        )
        self.output = output
        self.out_of_time = out_of_time
        self.argv = tuple(argv)
        self.cwd = cwd
        self.ending = ending
        self.tail = tuple(tail)
        self.log = log

    def __str__(self) -> str:
        lines = [pasteable(self.argv, self.cwd), f"ended with {self.ending}"]
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


def run(  # noqa: PLR0912  # the life of a command, in its order
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    timeout: float = 3600,
    check: bool = True,
    stdin: bytes | None = None,
    on_line: Callable[[str], None] | None = None,
    subreaper: bool = False,
) -> Completed:
    """Run a command to its end: until it has ended, and nobody writes to its output any more.

    :param env: variables to add to ours; a value of the empty string is passed on as empty.
    :param log: file that the command line and all output are appended to, as they come.
    :param timeout: seconds until the command and its children are ended, and nothing is waited for any more.
    :param check: raise for an exit code other than 0.
    :param stdin: bytes for the command to read; without them it reads ``/dev/null``.
    :param on_line: called with each line of output, for progress.
    :param subreaper: end whatever it has started, daemons too, when it has ended or we have.
    :raises CommandError: see ``check`` and ``timeout``; also where the program doesn't exist.
    """
    words = [str(a) for a in argv]
    if reason := _unstartable(words[0], cwd, {**os.environ, **(env or {})}):
        raise CommandError(words, cwd, reason, (), log)
    output: list[str] = []
    deadline = Deadline(timeout)
    with contextlib.ExitStack() as stack:
        sink: IO[str] | None = None
        if log:
            log.parent.mkdir(parents=True, exist_ok=True)
            sink = stack.enter_context(log.open("a", encoding="utf-8", errors="replace"))
            sink.write(f"$ {pasteable(words, cwd)}\n")
            sink.flush()
        process: subprocess.Popen[bytes] | None = None
        out_of_time = False
        try:
            with _interrupts_deferred():
                process = subprocess.Popen(
                    ends_with_us(below_subreaper(words) if subreaper else words),
                    cwd=cwd,
                    env={**os.environ, **env} if env else None,
                    stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=lock.held(),
                )
            for raw in _lines(process, stdin or b"", deadline):
                line = raw.decode("utf-8", "replace")
                output.append(line)
                if sink:
                    sink.write(line)
                    sink.flush()
                if on_line:
                    on_line(line.rstrip("\n"))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(deadline.remaining)
            out_of_time = deadline.passed
            if out_of_time:
                end_group(process)
            returncode = process.wait()
        except BaseException as error:
            if process:
                end_group(process)
            elif isinstance(error, OSError):
                raise CommandError(words, cwd, f"{error.strerror}: {error.filename}", (), log) from error
            raise
        finally:
            for pipe in (process.stdin, process.stdout) if process else ():
                if pipe:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
        if sink:
            sink.write(f"# {describe_exit(returncode)}\n")
    if out_of_time or (check and returncode != 0):
        ending = f"no end after {timeout:.0f} s" if out_of_time else describe_exit(returncode)
        tail = deque((line.rstrip() for line in output if line.strip()), maxlen=TAIL_LINES)
        raise CommandError(words, cwd, ending, tail, log, output="".join(output), out_of_time=out_of_time)
    return Completed(tuple(words), returncode, "".join(output))


def _unstartable(program: str, cwd: Path | None, env: Mapping[str, str]) -> str:
    """Why a program can't be started; the shell that starts it would only say so on its output."""
    if "/" not in program:
        return "" if shutil.which(program, path=env.get("PATH")) else f"No such file or directory: {program}"
    file = (cwd or Path()) / program
    if not file.exists():
        return f"No such file or directory: {program}"
    return "" if file.is_file() and os.access(file, os.X_OK) else f"Permission denied: {program}"


def _lines(process: subprocess.Popen[bytes], stdin: bytes, deadline: Deadline) -> Iterator[bytes]:
    """The output's lines as they come, until nobody has the pipe open any more, or the deadline has passed.

    A pipe has no end while a process holds it that has left the group, where no signal of ours reaches it.
    """
    assert process.stdout is not None
    unsent = memoryview(stdin)
    rest = b""
    with selectors.DefaultSelector() as selector:
        for pipe, event in ((process.stdout, selectors.EVENT_READ), (process.stdin, selectors.EVENT_WRITE)):
            if pipe:
                os.set_blocking(pipe.fileno(), False)
                selector.register(pipe, event)
        while selector.get_map() and not deadline.passed:
            for key, _ in selector.select(deadline.remaining):
                if key.fileobj is process.stdin:
                    unsent = unsent[_written(key.fd, unsent) :]
                    if not unsent:
                        selector.unregister(process.stdin)
                        process.stdin.close()
                    continue
                chunk = os.read(key.fd, CHUNK_BYTES)
                if not chunk:
                    selector.unregister(process.stdout)
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (line + b"\n" for line in lines)
    if deadline.passed:
        end_group(process)
        with contextlib.suppress(BlockingIOError):  # its last words
            rest += os.read(process.stdout.fileno(), CHUNK_BYTES)
        *lines, rest = rest.split(b"\n")
        yield from (line + b"\n" for line in lines)
    if rest:
        yield rest


def _written(descriptor: int, data: memoryview) -> int:
    try:
        return os.write(descriptor, data) if data else 0
    except BrokenPipeError:  # nobody reads it
        return len(data)


@contextlib.contextmanager
def _interrupts_deferred() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and SIGHUP wait: raised within Popen, they would leave a child that nobody knows.

    Only the handlers are exchanged, as a child would inherit a mask of blocked signals.
    """
    if threading.current_thread() is not threading.main_thread():  # handlers run in the main thread alone
        yield
        return
    came: list[int] = []
    old = {sig: signal.getsignal(sig) for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
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
