"""The Markdown pages of the project as data: headings, links, tables, shown commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from reconnect.project.workspace import ROOT

PARSER = MarkdownIt("commonmark").enable("table")


def pages() -> list[Page]:
    """All pages of the checkout."""
    return [Page(path) for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])]


@dataclass(frozen=True)
class Command:
    """A shell command as a page shows it.

    :param line: of the page, from 1: where its block begins.
    :param text: with continuation lines joined.
    """

    line: int
    text: str

    @property
    def calls(self) -> list[list[str]]:
        """The simple commands that it is made of, each as words, without variables set in front and comments."""
        calls: list[list[str]] = [[]]
        for word in shlex.split(self.text, comments=True):
            if word in ("&&", ";", "|"):
                calls.append([])
            elif calls[-1] or not re.match(r"[A-Z_]+=", word):
                calls[-1].append(word)
        return calls


class Page:
    """One page."""

    def __init__(self, path: Path, text: str | None = None) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8") if text is None else text

    def __repr__(self) -> str:
        return str(self.path.relative_to(ROOT))

    @cached_property
    def tokens(self) -> list[Token]:
        return PARSER.parse(self.text)

    @property
    def anchors(self) -> list[str]:
        """What a link can name, as GitHub and GitLab make it of a heading."""
        return [slug(heading) for heading, _ in self._headings()]

    @property
    def links(self) -> list[str]:
        """Where its links lead."""
        found = [child for token in self.tokens for child in token.children or () if child.type == "link_open"]
        return [str(child.attrs["href"]) for child in found]

    @property
    def code(self) -> list[str]:
        """The pieces of text in backticks."""
        return [c.content for token in self.tokens for c in token.children or () if c.type == "code_inline"]

    def blocks(self, language: str) -> list[tuple[int, str]]:
        """The fenced blocks of a language, each with the line where it begins."""
        return [
            ((token.map or [0])[0] + 1, token.content)
            for token in self.tokens
            if token.type == "fence" and token.info.strip() == language
        ]

    def commands(self, heading: str = "") -> list[Command]:
        """The commands of its ``console`` blocks: lines that begin with ``$``, with those that go on with them.

        :param heading: just those below it, to the next heading of its level.
        """
        first, last = self._section(heading) if heading else (0, len(self.tokens))
        lines = [(t.map or [0, 0]) for t in self.tokens[first:last] if t.map]
        return [
            Command(line, text)
            for line, block in self.blocks("console")
            if lines and lines[0][0] <= line <= lines[-1][1]
            for text in _shown(block)
        ]

    def table(self, heading: str) -> list[list[str]]:
        """The rows of the first table below a heading, without its head, as Markdown."""
        return self.tables(heading)[0]

    def tables(self, heading: str) -> list[list[list[str]]]:
        """All tables below a heading."""
        first, last = self._section(heading)
        found: list[list[list[str]]] = []
        body = False
        for token in self.tokens[first:last]:
            if token.type in ("tbody_open", "tbody_close"):
                body = token.type == "tbody_open"
                found += [[]] if body else []
            elif body and token.type == "tr_open":
                found[-1].append([])
            elif body and token.type == "inline":
                found[-1][-1].append(token.content)
        if not found:
            raise LookupError(f"{self.path.name} has no table below {heading!r}")
        return found

    def _headings(self) -> Iterator[tuple[str, int]]:
        for number, token in enumerate(self.tokens):
            if token.type == "heading_open":
                yield self.tokens[number + 1].content, number

    def _section(self, heading: str) -> tuple[int, int]:
        starts = [number for name, number in self._headings() if name == heading]
        if not starts:
            raise LookupError(f"{self.path.name} has no heading {heading!r}")
        level = self.tokens[starts[0]].tag
        later = (n for _, n in self._headings() if n > starts[0] and self.tokens[n].tag <= level)
        return starts[0], next(later, len(self.tokens))


def slug(heading: str) -> str:
    """The anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def names(text: str) -> list[str]:
    """The pieces of a table's field that stand in backticks."""
    return re.findall(r"`([^`]+)`", text)


def _shown(block: str) -> Iterator[str]:
    text = ""
    for line in block.splitlines():
        if text.endswith("\\"):
            text = text.removesuffix("\\") + line.strip()
        elif line.startswith("$ "):
            text = line.removeprefix("$ ")
        else:
            continue
        if not text.endswith("\\"):
            yield text
