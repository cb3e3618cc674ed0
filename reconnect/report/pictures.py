"""The pictures of the report, as SVG that follows the page's colours in the light and in the dark.

matplotlib draws with stand-ins for colours, which become the variables of the page's style sheet. Text stays text.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from reconnect.report.distribution import Distribution
from reconnect.report.timeline import Timeline

INK, FAINT, GOOD, BAD, MARK = "#010101", "#020202", "#030303", "#040404", "#050505"
VARIABLES = {INK: "--ink", FAINT: "--faint", GOOD: "--good", BAD: "--bad", MARK: "--mark"}
"""Stand-ins and the variables that take their place."""

EVENTS = {
    "fault": "killed",
    "restart": "started again",
    "listening": "listens",
    "connected": "connected",
    "accepted": "accepted",
    "handshake": "handshake done",
    "resumed": "goes on",
    "link_up": "link up",
    "first_reply": "first answer",
}
"""What is drawn of a timeline, and its words."""

_STYLE: Any = {
    "svg.fonttype": "none",
    # The same picture from the same data.
    "svg.hashsalt": "reconnect",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": FAINT,
    "axes.grid": True,
    "grid.linewidth": 0.4,
}


def timeline(timeline: Timeline, title: str) -> str:
    """A cell's probes over time, and the moments of its switch above them.

    :param title: what a screen reader says of the picture.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(7.2, 3.0), layout="constrained")
        axes = figure.subplots()
        answered = [(sent, took) for sent, took in timeline.probes if took is not None]
        lost = [sent for sent, took in timeline.probes if took is None]
        axes.plot([sent for sent, _ in answered], [max(took, 0.05) for _, took in answered], ".", ms=3, color=GOOD)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(ScalarFormatter())
        floor = axes.get_ylim()[0]
        axes.plot(lost, [floor] * len(lost), "|", ms=7, color=BAD, clip_on=False)
        axes.set_xlabel("ms since the fault")
        axes.set_ylabel("answer after, ms")
        _mark(axes, timeline.events)
        return _svg(figure, title)


def _mark(axes: Axes, events: Mapping[str, float]) -> None:
    """A line for each event; words of events that are close to each other share one, so that they can be read."""
    top = axes.get_xaxis_transform()
    left, right = axes.get_xlim()
    near = (right - left) * 0.04
    groups: list[tuple[float, list[str]]] = []
    for at, name in sorted((events[name], word) for name, word in EVENTS.items() if name in events):
        axes.axvline(at, color=MARK, lw=0.8)
        if groups and at - groups[-1][0] < near:
            groups[-1][1].append(name)
        else:
            groups.append((at, [name]))
    for at, names in groups:
        axes.text(at, 1.02, ", ".join(names), transform=top, rotation=30, fontsize=7, color=INK)


def distributions(rows: Sequence[tuple[str, Distribution]], label: str, title: str) -> str:
    """A row for each thing that was measured: every value a dot, the median a line.

    :param label: of the axis, with its unit.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(7.2, 0.7 + 0.34 * len(rows)), layout="constrained")
        axes = figure.subplots()
        for place, (_, found) in enumerate(rows):
            axes.plot(found.values, [place] * len(found.values), "o", ms=4, color=GOOD, alpha=0.6)
            axes.plot([found.median] * 2, [place - 0.3, place + 0.3], color=MARK, lw=2)
        axes.set_yticks(range(len(rows)), [name for name, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.set_xlabel(label)
        return _svg(figure, title)


def _svg(figure: Figure, title: str) -> str:
    """The figure's SVG element alone, as wide as its column, in the page's colours."""
    sink = io.StringIO()
    figure.savefig(sink, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = sink.getvalue()
    text = text[text.index("<svg") :]
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    # Its size is that of its place in the page; the view box keeps the shape.
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    return re.sub(r"<svg", f'<svg role="img" aria-label="{_attribute(title)}"', text, count=1)


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
