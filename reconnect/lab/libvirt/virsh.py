"""virsh of the stack: one command at a time, each with a deadline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reconnect.kit import command
from reconnect.kit.command import CommandError
from reconnect.kit.deadline import Deadline
from reconnect.lab.process.failure import CellError


@dataclass(frozen=True)
class Virsh:
    """A way to talk to one libvirtd.

    :param program: the stack's own; another version's knows other XML.
    :param log: file that each command and its output are appended to.
    """

    program: Path
    uri: str
    env: dict[str, str]
    log: Path

    def argv(self, *words: str | Path) -> list[str]:
        """The whole command."""
        return [str(self.program), "--connect", self.uri, "--quiet", *map(str, words)]

    def run(self, *words: str | Path, deadline: Deadline) -> str:
        """Run one command of virsh's, and return what it printed.

        :raises CellError: it failed, quoting libvirt's own error.
        """
        try:
            done = command.run(
                self.argv(*words), env=self.env, log=self.log, timeout=max(deadline.remaining, 0.1), check=False
            )
        except CommandError as error:
            raise CellError(f"virsh {words[0]} did not end: {error.ending}", error.tail) from error
        if done.returncode:
            raise CellError(f"virsh {words[0]}: {said(done.output)}", done.output.splitlines())
        return done.output


def said(output: str) -> str:
    """The telling part of virsh's error: all its lines, without the word that each begins with."""
    lines = [line.strip().removeprefix("error: ") for line in output.splitlines() if line.strip()]
    return ": ".join(line.rstrip(":") for line in lines) or "it failed without a word"
