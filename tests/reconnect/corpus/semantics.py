"""What libvirt's documentation says of a vhostuser interface and its ``<reconnect>``, as a function of the XML.

https://libvirt.org/formatdomain.html#vhost-user-interface and the schema ``domaincommon.rng``; where these are silent,
what libvirt 4.1 to 9.0 do, since a domain must move between them unchanged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.reconnect.corpus.interfaces import Element

UINT_MAX = 4294967295
LONGEST = 4294967
"""Seconds. More of them overflow QEMU's timer, which counts milliseconds in 32 bits; both series refuse them, and 0."""

# What strtoul(3) takes, with a sign refused.
_NUMBER = re.compile(r"[ \t\n\r\f\v]*\+?([0-9]+)", re.ASCII)


@dataclass(frozen=True)
class CommandRefused:
    """The definition is refused.

    :param faults: words, one of which the message must hold.
    """

    faults: tuple[str, ...]


def printed(interface: Element) -> Element | CommandRefused:
    """The ``<source>`` that libvirt prints for a vhostuser interface, or what it refuses it for."""
    (source,) = interface.all("source")
    faults = []
    if source.get("type") != "unix":
        faults.append("type")
    if not source.get("path"):
        faults.append("path")
    if source.get("mode") not in ("client", "server"):
        faults.append("mode")
    if source.all("ip"):
        faults.append("host-side IP")
    if [model.get("type") for model in interface.all("model")] != ["virtio"]:
        faults.append("model")
    setting = _reconnect(source)
    if isinstance(setting, CommandRefused):
        faults += setting.faults
    if source.get("mode") == "server" and [r.get("enabled") for r in source.all("reconnect")][:1] == ["yes"]:
        faults.append("server")
    if faults or isinstance(setting, CommandRefused):
        return CommandRefused(tuple(faults))
    attributes = tuple((name, str(source.get(name))) for name in ("type", "path", "mode"))
    return Element("source", attributes, setting)


def ours(interface: Element) -> CommandRefused | None:
    """What the patched libvirt 3.0 refuses although later releases take it, or drop it without a word."""
    (source,) = interface.all("source")
    found = source.all("reconnect")
    if interface.all("reconnect") or (found and interface.get("type") != "vhostuser"):
        return CommandRefused(("allowed only in the <source>",))
    if len(found) > 1:
        return CommandRefused(("only one <reconnect>",))
    if found and found[0].get("enabled") is None:
        return CommandRefused(("needs an attribute 'enabled'",))
    return None


def number(text: str | None) -> int | None:
    """An unsigned number as libvirt reads it."""
    found = _NUMBER.fullmatch(text or "")
    return int(found[1]) if found and int(found[1]) <= UINT_MAX else None


def _reconnect(source: Element) -> tuple[Element, ...] | CommandRefused:
    """What is printed of the first ``<reconnect>``."""
    reconnect = next(iter(source.all("reconnect")), Element(""))
    enabled = reconnect.get("enabled")
    if enabled is None:
        return ()
    if enabled == "no":
        return (Element("reconnect", (("enabled", "no"),)),)
    if enabled != "yes":
        return CommandRefused(("enabled",))
    seconds = number(reconnect.get("timeout"))
    if seconds is None or not 1 <= seconds <= LONGEST:
        return CommandRefused(("timeout",))
    return (Element("reconnect", (("enabled", "yes"), ("timeout", str(seconds)))),)
