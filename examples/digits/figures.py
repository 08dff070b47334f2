"""The report's figures, as SVG that takes its colours from the page around it."""

import io
import re
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["cost", "histograms", "membranes", "rasters"]

Array = npt.NDArray[np.generic]
Bools = npt.NDArray[np.bool_]

# Stand-ins that Matplotlib can draw with; the page's style sheet has the real colours.
_INK, _MUTED, _GRID, _GOLDEN, _RTL = "#010101", "#020202", "#030303", "#040404", "#050505"
_VARIABLES = {
    _INK: "var(--ink)",
    _MUTED: "var(--muted)",
    _GRID: "var(--grid)",
    _GOLDEN: "var(--golden)",
    _RTL: "var(--rtl)",
}
_LOWEST_V = -5
"""Membranes of neurons that are far from firing sink below what is worth showing [thresholds]."""

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "spikewright",
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _MUTED,
    "axes.edgecolor": _GRID,
    "axes.titlesize": 9,
    "axes.titlecolor": _INK,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _GRID,
    "ytick.color": _GRID,
    "xtick.labelcolor": _MUTED,
    "ytick.labelcolor": _MUTED,
}


def rasters(pixels: Array, layers: Mapping[str, Bools]) -> Markup:
    """Draw an image of 8 x 8 pixels and, beside it, the spikes that it causes.

    Parameters
    ----------
    pixels : uint8[64]
    layers : mapping of str to bool[timesteps, neurons]
        Spikes by title.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(10, 3.1), layout="constrained")
        axes = figure.subplots(1, 1 + len(layers), width_ratios=[0.8, *[1] * len(layers)])
        _draw_pixels(axes[0], pixels)
        for axis, (title, spikes) in zip(axes[1:], layers.items(), strict=True):
            t, neuron = np.nonzero(spikes)
            height = 0.42 * max(1.0, spikes.shape[1] / 64)
            axis.vlines(t, neuron - height, neuron + height, color=_GOLDEN, linewidth=2)
            axis.set(title=f"{title}: {len(t)} spikes", xlabel="timestep")
            axis.set(xlim=(-0.8, len(spikes) - 0.2), ylim=(spikes.shape[1] - 0.5, -0.5))
            axis.set_xticks(range(0, len(spikes) + 1, 4))
            step = 1 if spikes.shape[1] <= 16 else spikes.shape[1] // 4
            axis.set_yticks(range(0, spikes.shape[1], step))
        return _svg(figure, "Pixels of the image and rasters of its spikes")


def _draw_pixels(axis: Axes, pixels: Array) -> None:
    for k, level in enumerate(pixels.tolist()):
        if level:
            x, y = k % 8 - 0.5, k // 8 - 0.5
            axis.add_patch(mpl.patches.Rectangle((x, y), 1, 1, color=_INK, lw=0, alpha=level / 16))
    axis.set(
        xlim=(-0.5, 7.5), ylim=(7.5, -0.5), aspect="equal", title="image", xticks=[], yticks=[]
    )
    for spine in axis.spines.values():
        spine.set_visible(True)


def membranes(golden: Array, rtl: Array, spikes: Bools, label: int, read: int) -> Markup:
    """Draw the output neurons' membrane potentials, the RTL's over the golden model's.

    Parameters
    ----------
    golden, rtl : float64[timesteps, 10]
        In thresholds.
    spikes : bool[timesteps, 10]
    label, read : int
        The digit that was written, and the one that was read.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(10, 3.6), layout="constrained")
        axes = figure.subplots(2, 5, sharex=True, sharey=True)
        time = np.arange(len(golden))
        for digit, axis in enumerate(axes.flat):
            fired = np.flatnonzero(spikes[:, digit])
            axis.axhline(1, color=_MUTED, linewidth=0.8, linestyle=(0, (3, 3)))
            axis.plot(time, golden[:, digit], color=_GOLDEN, linewidth=1.8)
            axis.plot(time, rtl[:, digit], "o", mfc="none", mec=_RTL, markersize=4.5)
            axis.vlines(fired, 1.15, 1.65, color=_INK, linewidth=1.6)
            title = f"{digit}: {len(fired)} spike{'' if len(fired) == 1 else 's'}"
            if digit in (label, read):
                note = "right" if label == read else "written" if digit == label else "read"
                axis.set_title(f"{title}, {note}", fontweight="bold")
            else:
                axis.set_title(title)
            axis.set(xlim=(-0.8, len(golden) - 0.2), ylim=(_LOWEST_V, 1.8))
            axis.set_xticks(range(0, len(golden) + 1, 4))
        figure.supxlabel("timestep", color=_MUTED, fontsize=9)
        figure.supylabel("membrane potential [thresholds]", color=_MUTED, fontsize=9)
        return _svg(figure, "Membrane potentials of the ten output neurons")


def histograms(layers: Mapping[str, Array]) -> Markup:
    """Draw how often each integer weight occurs; ``int[...]`` by title."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(10, 2.6), layout="constrained")
        axes = np.atleast_1d(figure.subplots(1, len(layers)))
        for axis, (title, weights) in zip(axes, layers.items(), strict=True):
            axis.hist(np.ravel(weights), bins=np.arange(-128.5, 129, 4), color=_GOLDEN)
            axis.set(title=f"{title}: {weights.size:,} weights", xlabel="weight", xlim=(-130, 130))
            axis.set_xticks([-127, -64, 0, 64, 127])
        axes[0].set_ylabel("weights")
        return _svg(figure, "Histograms of the integer weights of each layer")


def cost(operations: Array, cycles: Array) -> Markup:
    """Draw each image's clock cycles over its synaptic operations, both ``int64[images]``."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(10, 2.8), layout="constrained")
        axis = figure.subplots()
        axis.plot(
            operations, cycles, "o", color=_GOLDEN, markersize=4, alpha=0.45, markeredgewidth=0
        )
        axis.set(xlabel="synaptic operations of an image", ylabel="clock cycles")
        axis.xaxis.set_major_formatter("{x:,.0f}")
        axis.yaxis.set_major_formatter("{x:,.0f}")
        return _svg(figure, "Clock cycles of each image over its synaptic operations")


def _svg(figure: Figure, description: str) -> Markup:
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
    return Markup(text.replace("<svg", f'<svg role="img" aria-label="{description}"', 1))
