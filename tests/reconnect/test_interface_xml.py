"""Interface XMLs, by the hundred, given to real libvirtds: accepted, refused and printed as the documentation says.

libvirt 9.0 against the documented semantics; libvirt 3.0 with our series against libvirt 9.0. One after the other:
root's libvirtd has its folder compiled in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from reconnect.jobs import handover
from reconnect.kit.deadline import Deadline
from reconnect.kit.errors import SourceError
from reconnect.lab.binaries import Binaries
from reconnect.lab.libvirt.daemon import Libvirtd, LibvirtdSettings
from reconnect.lab.libvirt.places import LOCK_SECONDS, places
from reconnect.lab.process.rundir import runtime_dir
from reconnect.lab.process.waiter import Waiter
from reconnect.project.config import Config
from reconnect.project.workspace import Workspace
from reconnect.toolchain import building
from reconnect.toolchain.series import PATCHED
from tests.reconnect.corpus import semantics
from tests.reconnect.corpus.answers import Answer, Asker
from tests.reconnect.corpus.interfaces import Element, every_reconnect, interfaces, vhostuser
from tests.reconnect.corpus.semantics import CommandRefused

MADE_UP = 300
"""Interfaces from hypothesis, beside the table of all values of both attributes."""

DAEMON_SECONDS = 60.0

GOOD = vhostuser("client", Element("reconnect", (("enabled", "yes"), ("timeout", "7"))))

Ask = Callable[[str], AbstractContextManager[Asker]]

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def ask(
    workspace: Workspace, configuration: Config, binaries: Binaries, tmp_path_factory: pytest.TempPathFactory
) -> Ask:
    """A libvirtd of the component, with a good domain defined."""

    @contextmanager
    def started(name: str) -> Iterator[Asker]:
        component = configuration.component(name)
        try:
            built = building.build(workspace, component, only=PATCHED)[PATCHED]
        except SourceError as error:
            pytest.skip(f"{name} is unavailable here: {str(error).splitlines()[0]}")
        folder = tmp_path_factory.mktemp(name)
        libvirt = handover.libvirt(workspace, component, built)
        asked = LibvirtdSettings(emulator=binaries.patched.binary)
        with (
            runtime_dir() as runtime,
            places(runtime, libvirt.state, Deadline(LOCK_SECONDS)) as made,
            Libvirtd(libvirt, made, runtime, folder, Waiter(), Deadline(DAEMON_SECONDS), settings=asked) as libvirtd,
        ):
            asker = Asker(libvirtd, binaries.patched.binary, folder)
            assert asker.ask(GOOD).error == ""
            yield asker

    return started


@pytest.fixture(scope="module")
def corpus() -> list[Element]:
    """The same at each call: a difference that one run finds, the next one finds too."""
    found: list[Element] = every_reconnect()

    @settings(
        max_examples=MADE_UP,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(interfaces())
    def collect(interface: Element) -> None:
        found.append(interface)

    collect()
    return found


@pytest.fixture(scope="module")
def later(ask: Ask, corpus: list[Element]) -> list[Answer]:
    """What libvirt 9.0 says to each."""
    return _answers(ask, "libvirt-9.0", corpus)


@pytest.fixture(scope="module")
def earlier(ask: Ask, corpus: list[Element]) -> list[Answer]:
    """What libvirt 3.0 with our series says to each."""
    return _answers(ask, "libvirt-3.0", corpus)


def _answers(ask: Ask, name: str, corpus: list[Element]) -> list[Answer]:
    with ask(name) as asker:
        return [asker.ask(interface) for interface in corpus]


def test_the_corpus_is_large_and_of_all_kinds(corpus: list[Element]) -> None:
    assert len(corpus) >= 500
    vhost = [semantics.printed(interface) for interface in corpus if interface.get("type") == "vhostuser"]
    refused = [answer for answer in vhost if isinstance(answer, CommandRefused)]
    assert len(refused) > 100
    assert len(vhost) - len(refused) > 100
    assert {fault for answer in refused for fault in answer.faults} >= {"enabled", "timeout", "server", "mode", "path"}
    assert len({interface.get("type") for interface in corpus}) > 3


def test_libvirt_9_does_as_the_documentation_says(corpus: list[Element], later: list[Answer]) -> None:
    wrong = []
    for interface, answer in zip(corpus, later, strict=True):
        if interface.get("type") != "vhostuser":
            continue
        expected = semantics.printed(interface)
        if isinstance(expected, CommandRefused):
            right = any(fault in answer.error for fault in expected.faults)
        else:
            right = not answer.error and [s.sorted for s in answer.stored.all("source")] == [expected.sorted]
        if not right:
            wrong.append(f"{interface}\n  expected {expected}\n  got {answer}")
    assert not wrong, f"{len(wrong)} of {len(corpus)}, the first of them:\n" + "\n".join(wrong[:5])


def test_a_refused_definition_leaves_the_old_one(later: list[Answer]) -> None:
    _old_one_kept(later)


def test_libvirt_3_refuses_without_losing_the_old_one_too(earlier: list[Answer]) -> None:
    _old_one_kept(earlier)


def _old_one_kept(answers: list[Answer]) -> None:
    stored = GOOD.sorted
    refused = 0
    for answer in answers:
        if answer.error:
            refused += 1
            assert answer.stored.sorted == stored, answer.error
        stored = answer.stored.sorted
    assert refused > 100


def test_libvirt_3_does_as_libvirt_9_or_says_why_not(
    corpus: list[Element], later: list[Answer], earlier: list[Answer]
) -> None:
    wrong, own = [], 0
    for interface, new, old in zip(corpus, later, earlier, strict=True):
        ours = semantics.ours(interface)
        if ours and not new.error:
            own += 1
            right = any(fault in old.error for fault in ours.faults)
        elif new.error:
            right = bool(old.error)
        else:
            right = not old.error and old.stored.sorted == new.stored.sorted
        if not right:
            wrong.append(f"{interface}\n  libvirt 9.0 {new}\n  libvirt 3.0 {old}")
    assert not wrong, f"{len(wrong)} of {len(corpus)}, the first of them:\n" + "\n".join(wrong[:5])
    assert own > 1, "the corpus holds none of what only ours refuses"


@pytest.mark.parametrize("name", ["libvirt-9.0", "libvirt-3.0"])
def test_the_schema_refuses_more_where_it_is_asked(ask: Ask, name: str) -> None:
    """``virsh define --validate``: unknown attributes, a second ``<reconnect>``, one where it means nothing."""
    good = dict(GOOD.all("source")[0].all("reconnect")[0].attributes)
    reconnect = Element("reconnect", tuple(good.items()))
    user = Element("interface", (("type", "user"),), (Element("source", (), (reconnect,)),))
    bad = {
        "unknown attribute": vhostuser("client", Element("reconnect", (*good.items(), ("delay", "3")))),
        "twice": vhostuser("client", reconnect, reconnect),
        "without enabled": vhostuser("client", Element("reconnect", (("timeout", "7"),))),
        "maybe": vhostuser("client", Element("reconnect", (("enabled", "maybe"), ("timeout", "7")))),
        "no number": vhostuser("client", Element("reconnect", (("enabled", "yes"), ("timeout", "abc")))),
        "negative": vhostuser("client", Element("reconnect", (("enabled", "yes"), ("timeout", "-1")))),
        "other type": user,
    }
    with ask(name) as asker:
        assert asker.ask(GOOD, "--validate").error == ""
        for what, interface in bad.items():
            answer = asker.ask(interface, "--validate")
            assert answer.error, what
            assert answer.stored.sorted == GOOD.sorted
