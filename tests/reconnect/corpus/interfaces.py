"""Interface XMLs as people, tools and mistakes write them: valid, invalid and odd, made up by hypothesis."""

from __future__ import annotations

from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from hypothesis import strategies as st

Attributes = tuple[tuple[str, str], ...]
"""Name and value, in the order in which they are written."""


@dataclass(frozen=True)
class Element:
    """One element without text."""

    tag: str
    attributes: Attributes = ()
    children: tuple[Element, ...] = ()

    def get(self, name: str) -> str | None:
        """An attribute's value."""
        return dict(self.attributes).get(name)

    def all(self, tag: str) -> list[Element]:
        """The children of that name."""
        return [child for child in self.children if child.tag == tag]

    @property
    def sorted(self) -> Element:
        """The same in one of its orders: of attributes no order counts, of these children none does."""
        children = sorted((child.sorted for child in self.children), key=str)
        return Element(self.tag, tuple(sorted(self.attributes)), tuple(children))

    def __str__(self) -> str:
        """The element in XML."""
        head = "".join(f" {name}={quoteattr(value)}" for name, value in self.attributes)
        inside = "".join(map(str, self.children))
        return f"<{self.tag}{head}>{inside}</{self.tag}>" if inside else f"<{self.tag}{head}/>"


# Each of these counts is drawn as often as each other: the good ones come first, so that shrinking ends there.
ENABLED = ("yes", "no", "maybe", "", "YES", "on", "1", "default", " yes")
TIMEOUT = (
    *("1", "10", "3600", "4294967", "0", "-1", "4294967295", "4294967296", "99999999999999999999", "abc", ""),
    *("5s", "0x10", "1.5", "+5", " 7", "7 ", "007", "-0", "1e3", "\N{ARABIC-INDIC DIGIT THREE}"),
)
PATHS = ("/run/openvswitch/vhu0", "relative", "", "/with space", "/a&b<c>'d\"", "/" + 120 * "x")
MODES = ("client", "server", "", "CLIENT", "bind")
SOURCES = ("unix", "", "tcp", "UNIX")

MAC = Element("mac", (("address", "52:54:00:12:34:56"),))
VIRTIO = Element("model", (("type", "virtio"),))


def _some(*elements: Element) -> st.SearchStrategy[tuple[Element, ...]]:
    """Some of the elements, each at most once, in any order."""
    return st.lists(st.sampled_from(elements), max_size=3, unique=True).map(tuple)


@st.composite
def reconnects(draw: st.DrawFn) -> Element:
    """A ``<reconnect>``: good, or wrong in one thing, or in any."""
    wrong = draw(st.sampled_from(("nothing", "enabled", "timeout", "timeout", "anything")))
    enabled = draw(st.sampled_from(ENABLED)) if wrong in ("enabled", "anything") else draw(st.sampled_from(ENABLED[:2]))
    if wrong == "timeout":
        enabled = ENABLED[0]
    timeout = draw(st.sampled_from(TIMEOUT if wrong in ("timeout", "anything") else TIMEOUT[:4]))
    attributes = [("enabled", enabled), ("timeout", timeout)]
    if wrong == "anything":
        attributes = draw(st.lists(st.sampled_from((*attributes, ("delay", "3"), ("Timeout", "9"))), unique=True))
    inside = draw(st.sampled_from(((), (), (Element("enabled"),)))) if wrong == "anything" else ()
    return Element("reconnect", tuple(draw(st.permutations(attributes))), inside)


hosts = _some(
    Element("ip", (("address", "192.0.2.1"), ("family", "ipv4"), ("prefix", "24"))),
    Element("address", (("type", "pci"),)),
    Element("seclabel", (("relabel", "no"),)),
)


@st.composite
def sources(draw: st.DrawFn) -> Element:
    """A ``<source>`` of a vhostuser interface, wrong in one attribute at most, with odd children."""
    attributes = {"type": "unix", "path": PATHS[0], "mode": draw(st.sampled_from(MODES[:2]))}
    name = draw(st.sampled_from(("nothing", "type", "path", "path", "mode")))
    if name in attributes:
        attributes[name] = draw(st.sampled_from({"type": SOURCES, "path": PATHS, "mode": MODES}[name]))
        if draw(st.sampled_from((False, False, False, True))):
            del attributes[name]
    children = (*draw(st.lists(reconnects(), max_size=1)), *draw(hosts))
    return Element(
        "source", tuple(draw(st.permutations(list(attributes.items())))), tuple(draw(st.permutations(children)))
    )


models = st.sampled_from(((VIRTIO,), (VIRTIO,), (Element("model", (("type", "e1000"),)),), ()))

rest = _some(
    Element("target", (("dev", "vhu0"),)),
    Element("driver", (("queues", "4"),)),
    Element("link", (("state", "down"),)),
    Element("boot", (("order", "1"),)),
    Element("alias", (("name", "net0"),)),
    Element("reconnect", (("enabled", "yes"), ("timeout", "5"))),
    Element("unheard-of"),
)

others = st.sampled_from(
    (
        ("user", ()),
        ("ethernet", ()),
        ("bridge", (("bridge", "br0"),)),
        ("network", (("network", "default"),)),
        ("server", (("address", "127.0.0.1"), ("port", "5558"))),
    )
)


@st.composite
def interfaces(draw: st.DrawFn) -> Element:
    """Any ``<interface>``: half are vhostuser and wrong in ``<reconnect>`` alone, one of six is of another type."""
    kind = draw(st.sampled_from(("plain", "plain", "plain", "odd", "odd", "other")))
    if kind == "other":
        type_, attributes = draw(others)
        source = Element("source", attributes, tuple(draw(st.lists(reconnects(), max_size=1))))
        children = (MAC, source, *draw(rest))
    elif kind == "odd":
        type_ = "vhostuser"
        children = (MAC, draw(sources()), *draw(models), *draw(rest))
    else:
        found = draw(st.lists(reconnects(), min_size=1, max_size=draw(st.sampled_from((1, 1, 1, 2)))))
        return vhostuser(draw(st.sampled_from((*MODES[:2], MODES[0]))), *found)
    return Element("interface", (("type", type_),), tuple(draw(st.permutations(children))))


def every_reconnect() -> list[Element]:
    """Interfaces with each value of ``enabled`` and of ``timeout``, and without one or the other, in both modes."""
    return [
        vhostuser(mode, Element("reconnect", (*enabled, *timeout)))
        for mode in MODES[:2]
        for enabled in _given("enabled", ENABLED)
        for timeout in _given("timeout", TIMEOUT)
    ]


def vhostuser(mode: str, *reconnect: Element) -> Element:
    """A good vhostuser interface, but for what is given."""
    source = Element("source", (("type", "unix"), ("path", PATHS[0]), ("mode", mode)), reconnect)
    return Element("interface", (("type", "vhostuser"),), (MAC, source, VIRTIO))


def _given(name: str, values: tuple[str, ...]) -> list[Attributes]:
    return [(), *(((name, value),) for value in values)]
