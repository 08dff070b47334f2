"""Pages for people: HTML in one file, and figures that take their colours from it."""

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.figure import Figure

__all__ = ["GOLDEN", "GRID", "INK", "MUTED", "RTL", "STYLE", "render", "svg"]

# Stand-ins that Matplotlib can draw with; the page's style sheet has the real colours.
INK, MUTED, GRID, GOLDEN, RTL = "#010101", "#020202", "#030303", "#040404", "#050505"
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    GOLDEN: "var(--golden)",
    RTL: "var(--rtl)",
}

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "spikewright",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.titlesize": 9,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
}
"""Matplotlib's settings for figures of a page."""


def render(template: Path, content: Mapping[str, Any]) -> bytes:
    """Fill a template that extends ``page.html``; the page needs no other file and no network.

    Text of ``content`` is escaped, but for what :func:`svg` gave.
    """
    environment = Environment(
        loader=FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template.name).render(content).encode()


def svg(figure: Figure, description: str) -> Markup:
    """Give the figure as an ``svg`` element without colours or names of its own."""
    buffer = io.StringIO()
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    for stand_in, variable in _VARIABLES.items():
        text = text.replace(stand_in, variable)
    label = escape(description)
    return Markup(text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1))
