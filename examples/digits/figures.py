"""The report's figures, as SVG that takes its colours from the page around it."""

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spikewright.page import GOLDEN, INK, MUTED, RTL, STYLE, svg

__all__ = ["cost", "histograms", "membranes", "rasters"]

Array = npt.NDArray[np.generic]
Bools = npt.NDArray[np.bool_]

_LOWEST_V = -5
"""Membranes of neurons that are far from firing sink below what is worth showing [thresholds]."""


def rasters(pixels: Array, layers: Mapping[str, Bools]) -> Markup:
    """Draw an image of 8 x 8 pixels and, beside it, the spikes that it causes.

    Parameters
    ----------
    pixels : uint8[64]
    layers : mapping of str to bool[timesteps, neurons]
        Spikes by title.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 3.1), layout="constrained")
        axes = figure.subplots(1, 1 + len(layers), width_ratios=[0.8, *[1] * len(layers)])
        _draw_pixels(axes[0], pixels)
        for axis, (title, spikes) in zip(axes[1:], layers.items(), strict=True):
            t, neuron = np.nonzero(spikes)
            height = 0.42 * max(1.0, spikes.shape[1] / 64)
            axis.vlines(t, neuron - height, neuron + height, color=GOLDEN, linewidth=2)
            axis.set(title=f"{title}: {len(t)} spikes", xlabel="timestep")
            axis.set(xlim=(-0.8, len(spikes) - 0.2), ylim=(spikes.shape[1] - 0.5, -0.5))
            axis.set_xticks(range(0, len(spikes) + 1, 4))
            step = 1 if spikes.shape[1] <= 16 else spikes.shape[1] // 4
            axis.set_yticks(range(0, spikes.shape[1], step))
        return svg(figure, "Pixels of the image and rasters of its spikes")


def _draw_pixels(axis: Axes, pixels: Array) -> None:
    for k, level in enumerate(pixels.tolist()):
        if level:
            x, y = k % 8 - 0.5, k // 8 - 0.5
            axis.add_patch(mpl.patches.Rectangle((x, y), 1, 1, color=INK, lw=0, alpha=level / 16))
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
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 3.6), layout="constrained")
        axes = figure.subplots(2, 5, sharex=True, sharey=True)
        time = np.arange(len(golden))
        for digit, axis in enumerate(axes.flat):
            fired = np.flatnonzero(spikes[:, digit])
            axis.axhline(1, color=MUTED, linewidth=0.8, linestyle=(0, (3, 3)))
            axis.plot(time, golden[:, digit], color=GOLDEN, linewidth=1.8)
            axis.plot(time, rtl[:, digit], "o", mfc="none", mec=RTL, markersize=4.5)
            axis.vlines(fired, 1.15, 1.65, color=INK, linewidth=1.6)
            title = f"{digit}: {len(fired)} spike{'' if len(fired) == 1 else 's'}"
            if digit in (label, read):
                note = "right" if label == read else "written" if digit == label else "read"
                axis.set_title(f"{title}, {note}", fontweight="bold")
            else:
                axis.set_title(title)
            axis.set(xlim=(-0.8, len(golden) - 0.2), ylim=(_LOWEST_V, 1.8))
            axis.set_xticks(range(0, len(golden) + 1, 4))
        figure.supxlabel("timestep", color=MUTED, fontsize=9)
        figure.supylabel("membrane potential [thresholds]", color=MUTED, fontsize=9)
        return svg(figure, "Membrane potentials of the ten output neurons")


def histograms(layers: Mapping[str, Array]) -> Markup:
    """Draw how often each integer weight occurs; ``int[...]`` by title."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 2.6), layout="constrained")
        axes = np.atleast_1d(figure.subplots(1, len(layers)))
        for axis, (title, weights) in zip(axes, layers.items(), strict=True):
            axis.hist(np.ravel(weights), bins=np.arange(-128.5, 129, 4), color=GOLDEN)
            axis.set(title=f"{title}: {weights.size:,} weights", xlabel="weight", xlim=(-130, 130))
            axis.set_xticks([-127, -64, 0, 64, 127])
        axes[0].set_ylabel("weights")
        return svg(figure, "Histograms of the integer weights of each layer")


def cost(operations: Array, cycles: Array) -> Markup:
    """Draw each image's clock cycles over its synaptic operations, both ``int64[images]``."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 2.8), layout="constrained")
        axis = figure.subplots()
        axis.plot(
            operations, cycles, "o", color=GOLDEN, markersize=4, alpha=0.45, markeredgewidth=0
        )
        axis.set(xlabel="synaptic operations of an image", ylabel="clock cycles")
        axis.xaxis.set_major_formatter("{x:,.0f}")
        axis.yaxis.set_major_formatter("{x:,.0f}")
        return svg(figure, "Clock cycles of each image over its synaptic operations")
