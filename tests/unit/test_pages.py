"""The pages tell the truth: their links lead somewhere, their commands are ours, their tables are the code's."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
from invoke.exceptions import ParseError
from invoke.parser import Parser
from invoke.parser.context import ParserContext

import tasks
from reconnect import __version__
from reconnect.kit import errors
from reconnect.kit.errors import ReconnectError
from reconnect.lab import cells
from reconnect.lab.backends.known import BACKENDS, BackendSpec
from reconnect.lab.faults import FAULTS
from reconnect.lab.matrix import cases
from reconnect.lab.matrix.cases import Case
from reconnect.lab.process.stages import NAMES
from reconnect.lab.schemes import LAUNCHERS, SCHEMES
from reconnect.lab.stub.script import ACTIONS
from reconnect.program import Program
from reconnect.project import config as configuration
from reconnect.project.config import Config
from reconnect.project.workspace import ROOT
from reconnect.report import results
from tests.pages import Command, Page, names, pages

PAGES = pages()
COMMANDS = [(page, command) for page in PAGES for command in page.commands()]

QUICK = (
    "./inv --list",
    "./inv --help test-reconnect",
    "./inv status --offline",
    "./inv patch --check",
)
"""Commands that are run here, word for word."""

RUN_BY = {
    "build": ("tests/toolchain/test_building.py", '"build"'),
    "fetch": ("tests/toolchain/test_git_origins.py", '"fetch"'),
    "image": ("tests/ship/test_image.py", "build(workspace,"),
    "patch": ("tests/toolchain/test_applying.py", '"patch"'),
    "report": ("tests/toolchain/test_report.py", '"report"'),
    "test": (".ci/run", "./inv test"),
    "test-reconnect": ("tests/reconnect/test_main_job.py", '"test-reconnect"'),
    "test-series": ("tests/toolchain/test_prefixes.py", '"test-series"'),
    "test-upstream": ("tests/toolchain/test_upstream.py", '"test-upstream"'),
}
"""Tasks that take real builds or guests, and what runs them, by which words. Here the words of pages are looked at."""

BY_HAND = {
    ".venv/bin/check-jsonschema": "tests/unit/report/test_schema.py",
    ".venv/bin/mypy": "reconnect/jobs/selftest.py",
    ".venv/bin/python": "tests/unit/lab/test_guards.py",
    "apt-get": "docker/install-packages",
    ".venv/bin/ruff": "reconnect/jobs/selftest.py",
    "build/uv/bin/pip": "tests/toolchain/test_pages.py",
    "build/uv/bin/uv": "tests/toolchain/test_pages.py",
    "docker": "tests/ship/test_entrypoint.py",
    "git": "tests/toolchain/test_pages.py",
    "mkdir": "tests/toolchain/test_pages.py",
    "python3": "tests/toolchain/test_pages.py",
    "rm": "tests/toolchain/test_pages.py",
    "touch": "tests/toolchain/test_pages.py",
}
"""Other programs that pages call, and what runs them so."""

PATH = re.compile(r"(?:reconnect|tests|docs|docker|patches|LICENSES|\.ci)/[\w./-]*\w/?")
"""What looks like a path of the checkout."""


def page(name: str) -> Page:
    return Page(ROOT / name)


def broken_links(shown: Page) -> list[str]:
    """Links into the checkout that lead nowhere."""
    broken = []
    for link in shown.links:
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (shown.path.parent / name).resolve() if name else shown.path
        there = target.exists() or not name
        if not there or (anchor and anchor not in (Page(target) if name else shown).anchors):
            broken.append(link)
    return broken


def missing_paths(shown: Page) -> list[str]:
    """Paths in backticks that are not in the checkout."""
    return [text for text in shown.code if PATH.fullmatch(text) and not (ROOT / text).exists()]


def parsed(words: list[str]) -> list[ParserContext]:
    """What invoke makes of the words after ``./inv``.

    :raises ParseError: a task or an option is unknown.
    """
    program = Program(name="inv", binary="inv", version=__version__)
    parser = Parser(initial=program.initial_context, contexts=tasks.namespace.to_contexts())
    return list(parser.parse_argv(words))[1:]


def options(task: str) -> set[str]:
    """The options of a task, as one types them."""
    (context,) = (context for context in tasks.namespace.to_contexts() if context.name == task)
    return {flag for flag in context.flags if flag.startswith("--") and not flag.startswith("--no-color")}


def check_words(context: ParserContext, config: Config) -> None:
    """Refuse what the task itself would refuse before any work.

    :raises ConfigError: an unknown component, stack, scheme, fault and so on.
    """
    given = {name: argument.value for name, argument in context.args.items()}
    for name in filter(None, str(given.get("component") or "").split(",")):
        config.component(name)
    if given.get("stack") not in (None, "", "auto", "all"):
        config.stack(str(given["stack"]))
    if context.name == "test-reconnect":
        chosen = cells.select(given["scheme"], given["backend"], given["fault"], given["repeat"], given["launcher"])
        assert chosen


def wrong_commands(shown: Page, commands: Iterable[Command], config: Config) -> list[str]:
    """Commands that could not be called so, or that no test runs."""
    wrong = []
    for command in commands:
        if command.text in QUICK:
            continue
        for program, *words in command.calls:
            if program != "./inv":
                if program not in BY_HAND:
                    wrong.append(f"{shown}:{command.line}: nothing runs {program}")
                continue
            try:
                for context in parsed(words):
                    check_words(context, config)
                    if context.name not in RUN_BY:
                        wrong.append(f"{shown}:{command.line}: nothing runs {command.text}")
            except (ParseError, ReconnectError) as error:
                wrong.append(f"{shown}:{command.line}: {command.text}: {error}")
    return wrong


def config_of(shown: Page, folder: Path) -> Config:
    """stacks.toml with the tables that a page shows added, which must be good ones."""
    text = "\n".join([(ROOT / "stacks.toml").read_text(encoding="utf-8"), *(toml for _, toml in shown.blocks("toml"))])
    (folder / "stacks.toml").write_text(text, encoding="utf-8")
    for table in tomllib.loads(text)["component"].values():
        (folder / "patches" / table["series"]).mkdir(parents=True, exist_ok=True)
        (folder / "patches" / table["series"] / "series").touch()
    return configuration.load(folder / "stacks.toml", folder / "patches")


@pytest.mark.parametrize("shown", PAGES, ids=repr)
def test_links_and_paths_lead_somewhere(shown: Page) -> None:
    assert broken_links(shown) == []
    assert missing_paths(shown) == []


@pytest.mark.parametrize("shown", PAGES, ids=repr)
def test_the_commands_of_a_page_are_ours(shown: Page, tmp_path: Path) -> None:
    """Verify: tasks, options, components, schemes, cases exist; each command is run here or by a test that is named."""
    assert wrong_commands(shown, shown.commands(), config_of(shown, tmp_path)) == []


@pytest.mark.parametrize("text", QUICK)
def test_quick_commands_run(text: str) -> None:
    assert text in [command.text for _, command in COMMANDS]
    argv = [sys.executable, "-m", "reconnect.program", *text.split()[1:]]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("path", "words"), RUN_BY.values())
def test_what_runs_a_task_does_so(path: str, words: str) -> None:
    assert words in (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted(set(BY_HAND.values())))
def test_what_runs_the_other_programs_is_there(path: str) -> None:
    assert (ROOT / path).is_file()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("```console\n$ ./inv biuld\n```", "No idea what 'biuld' is"),
        ("```console\n$ ./inv build --stak debian-12\n```", "No idea what '--stak' is"),
        ("```console\n$ ./inv build --stack debian-11\n```", "unknown stack"),
        ("```console\n$ ./inv build \\\n    --component qemu-7.3\n```", "unknown component"),
        ("```console\n$ ./inv --list && ./inv test-reconnect --scheme defalt\n```", "unknown scheme"),
        ("```console\n$ ./inv test-reconnect --backend stub --fault 'cut:NO_SUCH:*'\n```", "unknown fault"),
        ("```console\n$ ./inv clean\n```", "nothing runs ./inv clean"),
        ("```console\n$ A=b curl https://x.invalid\n```", "nothing runs curl"),
    ],
)
def test_a_wrong_command_is_found(text: str, found: str, tmp_path: Path) -> None:
    shown = Page(ROOT / "docs/made-up.md", text)
    (wrong,) = wrong_commands(shown, shown.commands(), config_of(shown, tmp_path))
    assert found in wrong


def test_a_wrong_link_and_a_wrong_path_are_found() -> None:
    links = "[x](no.md) [y](#c) [z](#a-b) [u](../README.md#no) [v](https://x.invalid)"
    text = f"# A b\n{links} `tests/no.py` `reconnect/kit`"
    shown = Page(ROOT / "docs/made-up.md", text)
    assert broken_links(shown) == ["no.md", "#c", "../README.md#no"]
    assert missing_paths(shown) == ["tests/no.py"]


def test_every_page_is_in_the_readme() -> None:
    linked = {(ROOT / link).resolve() for link in page("README.md").links if ":" not in link}
    assert {shown.path for shown in PAGES} - {ROOT / "README.md"} <= linked


def test_the_table_of_tasks() -> None:
    """Verify: each task with all its options."""
    rows = {names(task)[0]: set(names(words)) for task, words, _ in page("docs/commands.md").table("Tasks")}
    assert set(rows) == set(tasks.namespace.task_names)
    rows["test-reconnect"] = {names(row[0])[0] for row in page("docs/commands.md").table("test-reconnect")}
    assert rows == {task: options(task) for task in rows}


def test_the_options_of_the_image() -> None:
    shown = {names(row[0])[0].split()[0] for row in page("docs/container.md").table("Build it")}
    assert shown == options("image") - {"--smoke"}


def test_the_table_of_exit_codes() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ReconnectError)]
    rows = page("docs/commands.md").table("Exit codes")
    assert [int(code) for code, _ in rows] == sorted({0, errors.INTERRUPTED, *(kind.exit_code for kind in kinds)})


def test_the_table_of_variables() -> None:
    sources = [ROOT / "inv", *ROOT.glob("reconnect/**/*.py")]
    used = {name for path in sources for name in re.findall(r"RECONNECT_[A-Z]+", path.read_text(encoding="utf-8"))}
    assert {names(row[0])[0] for row in page("docs/commands.md").table("Environment")} == used | {"TMPDIR"}


def test_the_tables_of_words() -> None:
    """Verify: faults, backends, launchers, stacks and schemes are those of the code, in its order."""
    commands = page("docs/commands.md")
    assert [names(row[0])[0] for row in commands.table("Faults")] == list(FAULTS)
    assert [names(row[0])[0] for row in commands.table("Backends")] == list(BACKENDS)
    for name in (names(row[0])[0] for row in commands.tables("Backends")[1]):
        assert BackendSpec.parse(name).options
    assert [names(row[0])[0] for row in commands.table("Launchers")] == list(LAUNCHERS)
    config = configuration.load(ROOT / "stacks.toml", ROOT / "patches")
    for row, stack in zip(commands.table("Stacks"), config.stacks.values(), strict=True):
        assert names(row[0])[0] == stack.name
        assert [row[1], row[2]] == [config.component(name).version for name in stack.components]
    for row, scheme in zip(page("README.md").table("reconnect"), SCHEMES.values(), strict=True):
        assert names(row[0]) == [scheme.name]
        assert row[1] == ("QEMU" if scheme.qemu_listens else "switch")
        assert ("comes back" in row[3]) == (scheme.expected == "recovers")


@pytest.mark.parametrize(
    ("heading", "where"),
    [
        ("The run", "properties"),
        ("stack", "properties/stack/properties"),
        ("component", "$defs/component/properties"),
        ("cell", "$defs/cell/properties"),
        ("plan", "$defs/plan/properties"),
        ("shard", "$defs/shard/properties"),
        ("qemu", "$defs/qemu/properties"),
        ("stages_ms", "$defs/stages/properties"),
    ],
)
def test_results_field_by_field(heading: str, where: str) -> None:
    """Verify: the page has the fields of the schema, in its order."""
    place = results.json_schema()
    for key in where.split("/"):
        place = place[key]
    assert [names(row[0])[0] for row in page("docs/results.md").table(heading)] == list(place)


def test_verdicts_and_stages() -> None:
    assert [names(row[0])[0] for row in page("docs/results.md").table("Verdicts")] == list(results.VERDICTS)
    assert [names(row[0])[0] for row in page("docs/results.md").table("stages_ms")] == list(NAMES)


def test_the_grammar_of_the_matrix() -> None:
    """Verify: kinds, phases and actions are those of the code; the names in the page can be called for."""
    matrix = page("docs/matrix.md")
    phases = [names(row[0])[0] for row in matrix.tables("Names")[1]]
    assert phases == list(cases.PHASES)
    kinds = {names(row[0])[0] for row in matrix.table("Names")}
    assert kinds == {case.kind for case in cases.CASES.values()} | {cases.FUZZ}
    assert {re.split("=", names(row[0])[0])[0] for row in matrix.table("Rules")} == set(ACTIONS)
    shown = [text for text in matrix.code if re.fullmatch(r"[a-z]+(:\S+)?@[a-z-]+", text)]
    assert len(shown) > 4
    for name in shown:
        assert Case.parse(name).kind in kinds


def test_the_code_that_a_page_quotes_is_there() -> None:
    """Verify: the example of a negative test is one of the tests, as the page says which."""
    matrix = page("docs/matrix.md")
    ((_, quoted),) = matrix.blocks("python")
    assert quoted in (ROOT / "tests/unit/lab/matrix/test_many.py").read_text(encoding="utf-8")


def test_who_may_import_whom() -> None:
    """Verify: the code keeps to the table of the architecture page."""
    rows = page("docs/architecture.md").table("Who may import whom")
    allowed = {names(row[0])[0]: set(names(row[1])) for row in rows}
    everything = {"kit", "project", "toolchain", "report", "lab", "ship", "jobs"}
    allowed["jobs"] = everything
    for room in sorted(everything):
        for path in sorted((ROOT / "reconnect" / room).rglob("*.py")):
            assert imported(path) - {room} <= allowed[room], path
    (_, picture), *_ = page("docs/architecture.md").blocks("mermaid")
    for above, below in re.findall(r"^ *(\w+)(?:\[.*?\])? --> (\w+)", picture, re.MULTILINE):
        assert above == "tasks" or below in allowed[above], picture
    for path in (ROOT / "reconnect/lab/stub").glob("*.py"):
        assert imported_modules(path, "reconnect.lab.stub") == set(), path


def imported(path: Path) -> set[str]:
    """The rooms that a file imports from."""
    return {name.split(".")[1] for name in imported_modules(path, "") if "." in name}


def imported_modules(path: Path, but: str) -> set[str]:
    """The modules of ours that a file imports, except those below a package."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.split(".")[0] == "reconnect" and not (but and name.startswith(but))}


def test_the_folders_of_the_layout_are_there() -> None:
    """Verify: each line of the layout names what exists; and each room of the code has its line."""
    (_, block), *_ = page("docs/architecture.md").blocks("")
    shown = []
    for line in block.splitlines():
        indented, name = line.startswith("    "), line.split()[0]
        shown.append(f"reconnect/lab/{name}" if indented else name)
    assert [name for name in shown if not (ROOT / name).exists()] == []
    rooms = [path.parent for pattern in ("*", "lab/*") for path in ROOT.glob(f"reconnect/{pattern}/__init__.py")]
    assert {f"{path.relative_to(ROOT)}/" for path in rooms} <= set(shown)


def test_what_the_pictures_call_new_is_in_the_series() -> None:
    """Verify: each function that a picture of QEMU marks as new is made by a patch of ours."""
    pictures = [block for _, block in page("docs/how-it-reconnects.md").blocks("mermaid")]
    new = {name for line in "\n".join(pictures).splitlines() if line.endswith("(new)") for name in called(line)}
    assert len(new) > 4
    series = "\n".join(path.read_text(encoding="utf-8") for path in ROOT.glob("patches/qemu-7.2/*.patch"))
    assert {name for name in new if not re.search(rf"^\+[^\n]*\b{name}\(", series, re.MULTILINE)} == set()


def called(line: str) -> list[str]:
    return re.findall(r"\b([a-z_]+)\(\)", line)


@pytest.mark.parametrize("shown", [shown for shown in PAGES if shown.blocks("mermaid")], ids=repr)
def test_pictures_name_who_takes_part(shown: Page) -> None:
    """Verify: a kind of picture that Mermaid knows; in a sequence no arrow begins or ends at an unknown participant."""
    for line, block in shown.blocks("mermaid"):
        kind = block.split()[0]
        assert kind in ("flowchart", "sequenceDiagram"), f"{shown}:{line}"
        known = set(re.findall(r"^ *participant (\w+)", block, re.MULTILINE))
        arrows = re.findall(r"^ *(\w+)--?(?:>>|x)(\w+):", block, re.MULTILINE)
        assert (kind == "flowchart") == (not arrows)
        assert {end for arrow in arrows for end in arrow} <= known
