"""timeline.json in a cell's folder: every probe of the cell and what happened to the switch, for a picture.

results.json has a cell's figures; this has what they were taken from, small enough to keep.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from reconnect.kit import jsonfile

FILE = "timeline.json"
SCHEMA = 1


@dataclass(frozen=True)
class Timeline:
    """A cell on one clock: milliseconds since its fault.

    :param events: when each was seen, by name: ``fault`` (0), ``restart``, the stages of results.json, ``link_down``.
    :param probes: when each was sent, and how long its answer took; None for one that was lost.
    """

    events: dict[str, float]
    probes: tuple[tuple[float, float | None], ...]


def save(timeline: Timeline, folder: Path) -> None:
    """Write it into a cell's folder; it appears whole."""
    jsonfile.write(folder / FILE, {"schema": SCHEMA, **asdict(timeline)})


def load(folder: Path) -> Timeline | None:
    """A cell's timeline; None where it has none that can be read: a report is drawn without it."""
    try:
        data = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if data["schema"] != SCHEMA:
            return None
        events = {str(name): float(at) for name, at in data["events"].items()}
        probes = tuple((float(sent), None if took is None else float(took)) for sent, took in data["probes"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return Timeline(events, probes)
