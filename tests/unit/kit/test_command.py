"""The one subprocess runner, with real commands."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reconnect.kit import command
from reconnect.kit.command import CommandError
from reconnect.kit.errors import HostError
from reconnect.kit.processgroup import end_group
from tests.processes import assert_ended


def test_output_of_both_streams_goes_to_result_log_and_callback(tmp_path: Path) -> None:
    lines: list[str] = []
    log = tmp_path / "logs/x.log"
    done = command.run(["sh", "-c", "echo one; echo two >&2"], cwd=tmp_path, log=log, on_line=lines.append)
    assert (done.returncode, done.output) == (0, "one\ntwo\n")
    assert lines == ["one", "two"]
    assert log.read_text() == f"$ cd {tmp_path} && sh -c 'echo one; echo two >&2'\none\ntwo\n# exit code 0\n"


def test_the_log_is_appended_to_as_lines_come(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    seen: list[str] = []
    command.run(["echo", "one"], log=log)
    command.run(["echo", "two"], log=log, on_line=lambda _: seen.append(log.read_text()))
    assert seen == ["$ echo one\none\n# exit code 0\n$ echo two\ntwo\n"]


def test_a_failure_shows_command_folder_code_last_lines_and_log(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    script = "for n in $(seq 30); do echo line $n; done; echo; exit 3"
    with pytest.raises(CommandError) as caught:
        command.run(["sh", "-c", script, "a b"], cwd=tmp_path, log=log)
    error = caught.value
    assert error.tail == tuple(f"line {n}" for n in range(16, 31))
    text = str(error)
    assert text.startswith(
        f"cd {tmp_path} && sh -c '{script}' 'a b'\nended with exit code 3\nlast lines:\n  | line 16\n"
    )
    assert text.endswith(f"whole log: {log}")
    assert command.run(["sh", "-c", "exit 3"], check=False).returncode == 3


@pytest.mark.parametrize(("sig", "name"), [("SEGV", "signal SIGSEGV"), ("KILL", "signal SIGKILL")])
def test_a_signal_has_its_name(sig: str, name: str) -> None:
    with pytest.raises(CommandError, match=name):
        command.run(["sh", "-c", f"kill -{sig} $$"])


def test_describe_exit_knows_signals_without_a_name() -> None:
    assert command.describe_exit(-250) == "signal 250"
    assert command.describe_exit(-signal.SIGTERM) == "signal SIGTERM"
    assert command.describe_exit(2) == "exit code 2"


@pytest.mark.parametrize("argv", [["reconnect-no-such-program", "x"], ["/etc/passwd"]])
def test_a_program_that_can_not_be_started(argv: list[str], tmp_path: Path) -> None:
    with pytest.raises(CommandError) as caught:
        command.run(argv, log=tmp_path / "x.log")
    assert argv[0] in str(caught.value)
    assert caught.value.ending.startswith(("No such file or directory", "Permission denied"))


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file or directory"):
        command.run(["true"], cwd=tmp_path / "gone")


def test_standard_input_is_empty_or_what_was_given() -> None:
    assert command.run(["cat"]).output == ""
    assert command.run(["cat"], stdin=b"text").output == "text"
    assert command.run(["true"], stdin=b"x" * 1_000_000).returncode == 0  # nobody reads it


def test_variables_are_added() -> None:
    assert command.run(["sh", "-c", "echo $HOME $NEW"], env={"NEW": "x"}).output == f"{os.environ['HOME']} x\n"


def test_output_that_is_no_utf8() -> None:
    assert command.run(["printf", r"\377\n"]).output == "\ufffd\n"


def test_out_of_time_ends_the_command_and_its_children(tmp_path: Path) -> None:
    """Steps: run a shell whose child ignores SIGTERM, with a short deadline. Verify: neither is left."""
    script = f"(trap '' TERM; echo $$; exec sleep 600) & echo $! >{tmp_path}/child; sleep 600"
    started = time.monotonic()
    with pytest.raises(CommandError, match="no end after 1 s"):
        command.run(["sh", "-c", script], timeout=1)
    assert time.monotonic() - started < 30
    assert_ended([int((tmp_path / "child").read_text())])


def test_a_deadline_bounds_the_wait_for_a_process_that_has_left_the_group() -> None:
    """Steps: a command ends at once and leaves a process in a session of its own, which holds the pipe for long.

    Verify: the call ends at its deadline, with what was printed until then.
    """
    started = time.monotonic()
    with pytest.raises(CommandError, match="no end after 1 s") as caught:
        command.run(["sh", "-c", "setsid sleep 60 & echo $!; printf end"], timeout=1)
    assert time.monotonic() - started < 15
    pid, _, rest = caught.value.output.partition("\n")
    assert rest == "end"
    os.kill(int(pid), signal.SIGKILL)


def test_a_deadline_bounds_a_command_that_reads_nothing_and_prints_nothing() -> None:
    """Its output is closed and its input's pipe is full."""
    started = time.monotonic()
    with pytest.raises(CommandError, match="no end after 1 s"):
        command.run(["sh", "-c", "exec >&- 2>&- sleep 600"], timeout=1, stdin=b"x" * 1_000_000)
    assert time.monotonic() - started < 15


def test_a_command_that_prints_while_it_reads() -> None:
    """More than a pipe holds, both ways."""
    text = "".join(f"line {number}\n" for number in range(50_000))
    assert command.run(["cat"], stdin=text.encode(), timeout=60).output == text


def test_a_command_ends_when_we_are_killed(tmp_path: Path) -> None:
    """Steps: SIGKILL a process that runs a command. Verify: the command has ended."""
    code = "from reconnect.kit import command; command.run(['sh', '-c', 'echo $$ >pid; exec sleep 86395'], cwd=CWD)"
    fifo = tmp_path / "pid"
    os.mkfifo(fifo)
    code = code.replace("CWD", f"__import__('pathlib').Path({str(tmp_path)!r})")
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        pid = int(fifo.read_text())
        parent.kill()
    try:
        assert_ended([pid])
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_below_a_subreaper_daemons_end_with_the_command() -> None:
    done = command.run(["sh", "-c", "setsid sleep 86395 & echo $!"], subreaper=True, timeout=30)
    assert_ended([int(done.output)])
    with pytest.raises(CommandError, match="exit code 3") as caught:
        command.run(["sh", "-c", "exit 3"], subreaper=True)
    assert caught.value.argv == ("sh", "-c", "exit 3")


def test_its_error_is_one_of_ours() -> None:
    """What no caller explains is reported without a traceback, as something that this machine lacks."""
    with pytest.raises(HostError) as caught:
        command.run(["sh", "-c", "echo index file corrupt; exit 128"])
    assert caught.value.exit_code == 6
    for text in ("sh -c 'echo index file corrupt; exit 128'", "ended with exit code 128", "| index file corrupt"):
        assert text in str(caught.value)


def test_what_a_callback_raises_ends_the_command_and_its_children(tmp_path: Path) -> None:
    def stop(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        command.run(["sh", "-c", f"sleep 600 & echo $! $$ >{tmp_path}/pids; echo go; wait"], on_line=stop)
    assert_ended(map(int, (tmp_path / "pids").read_text().split()))


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_while_a_child_is_started_ends_that_child(monkeypatch: pytest.MonkeyPatch, sig: int) -> None:
    """Steps: send us the signal when the child runs already, and Popen has not returned yet. Verify: no child left."""
    started: list[int] = []
    popen = subprocess.Popen

    def slow(*words: object, **more: object) -> object:
        process = popen(*words, **more)  # type: ignore[call-overload]
        started.append(process.pid)
        signal.raise_signal(sig)
        return process

    monkeypatch.setattr(subprocess, "Popen", slow)
    before = signal.signal(sig, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            command.run(["sleep", "600"])
        assert signal.getsignal(sig) is signal.default_int_handler
    finally:
        signal.signal(sig, before)
    assert started
    assert_ended(started)


def test_a_child_takes_sigterm_and_ctrl_c_as_ever() -> None:
    """Neither ignored nor blocked: what we do while it is started is not handed on to it."""
    script = "import signal; print([signal.getsignal(s).name for s in (2, 15)], signal.pthread_sigmask(0, []))"
    with_default = ["env", "--default-signal=INT", "python3", "-c", script.replace("(2, 15)", "(15,)")]
    assert command.run(with_default).output == "['SIG_DFL'] set()\n"


def test_end_group_kills_what_ignores_sigterm() -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 600; done"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout
        process.stdout.readline()
        end_group(process, grace=0.2)
        assert process.returncode == -signal.SIGKILL


def test_the_grace_is_the_whole_groups(tmp_path: Path) -> None:
    """Steps: a leader ends at once; its child, told to end as well, takes a moment to clean up.

    Verify: it could do so.
    """
    cleaned = tmp_path / "cleaned"
    script = (
        f"sh -c 'trap \"sleep 0.5; echo done >{cleaned}; exit\" TERM; echo ready; while :; do sleep 0.1; done' & "
        "exec sleep 600"
    )
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout
        process.stdout.readline()
        end_group(process, grace=20)
    assert cleaned.read_text() == "done\n"


def test_pasteable_quotes() -> None:
    assert command.pasteable(["echo", "a b", "$x"], Path("/a b")) == "cd '/a b' && echo 'a b' '$x'"
