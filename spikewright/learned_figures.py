"""Figures of what a training has changed, for its report."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from spikewright.page import GOLDEN, MUTED, RTL, STYLE, svg

__all__ = ["course", "grids", "histograms", "matrices", "neurons", "trajectories"]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

_BARS = 64
_COLUMNS = 4
"""Panels beside each other."""


def histograms(before: Array, after: Array, bounds: tuple[int, int]) -> Markup:
    """Draw how often each weight occurs, before and after; ``int[synapses]`` each."""
    low, high = bounds
    width = -(-(high - low + 1) // _BARS)
    bins = (np.arange(low, high + width + 1, width) - 0.5).tolist()
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 2.8), layout="constrained")
        axis = figure.subplots()
        axis.hist(np.ravel(after), bins=bins, color=GOLDEN, label="after")
        axis.hist(np.ravel(before), bins=bins, histtype="step", color=RTL, label="before", lw=1.6)
        axis.set(xlabel="weight", ylabel="synapses", xlim=(bins[0] - width, bins[-1] + width))
        _whole(axis.yaxis)
        return svg(figure, "Histograms of the plastic weights before and after")


def course(samples: Sequence[int], weights: Array, bounds: tuple[int, int]) -> Markup:
    """Draw mean weight, weights at their bounds and weights that change, over samples.

    Parameters
    ----------
    samples : sequence of int
        When the weights were read back.
    weights : int16[reads, synapses]
    bounds : tuple of int
        ``w_min`` and ``w_max``.
    """
    read = weights.astype(np.int64)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 2.6), layout="constrained")
        mean, ends, moved = figure.subplots(1, 3)
        mean.plot(samples, read.mean(axis=1), "o-", color=GOLDEN, markersize=3)
        mean.set(title="mean weight")
        for bound, colour in zip(bounds, (RTL, GOLDEN), strict=True):
            share = (read == bound).mean(axis=1) * 100
            ends.plot(samples, share, "o-", color=colour, markersize=3)
        ends.set(title="weights at their bounds [%]")
        ends.set_ylim(0, max(1, ends.get_ylim()[1]))
        change = np.abs(np.diff(read, axis=0)).mean(axis=1) / np.diff(samples)
        moved.stairs(change, samples, color=GOLDEN, lw=1.6)
        moved.set(title="change of a weight in a sample, mean", ylim=(0, None))
        for axis in (mean, ends, moved):
            axis.set_xlabel("samples")
            _whole(axis.xaxis)
        return svg(figure, "Mean weight, weights at bounds and change over samples")


def grids(fields: Mapping[str, Floats], bounds: tuple[int, int]) -> Markup:
    """Draw receptive fields as small pictures in grids, a row of grids for each part of the field.

    Parameters
    ----------
    fields : mapping of str to float[neurons, pictures, height, width]
        By title; nan where there is no synapse.
    bounds : tuple of int
        ``w_min`` and ``w_max``.
    """
    neurons, parts, height, width = next(iter(fields.values())).shape
    columns = max(1, round(np.sqrt(neurons * (height + 1) / (width + 1))))
    rows = -(-neurons // columns)
    with mpl.rc_context(STYLE):
        ratio = rows * (height + 1) / (columns * (width + 1))
        figure = Figure(figsize=(10, parts * (4.4 * ratio + 0.3)), layout="constrained")
        axes = figure.subplots(parts, len(fields), squeeze=False)
        for column, (title, pictures) in enumerate(fields.items()):
            for part in range(parts):
                axis = axes[part, column]
                image = _picture(axis, _mosaic(pictures[:, part], rows, columns), bounds)
                axis.set_title(title if parts == 1 else f"{title}, part {part + 1}")
                axis.axis("off")
        figure.colorbar(image, ax=axes, label="weight", shrink=0.8, aspect=30 * parts)
        return svg(figure, "Receptive fields of the neurons before and after")


def _mosaic(pictures: Floats, rows: int, columns: int) -> Floats:
    """One picture of all those ``[neurons, height, width]``, a pixel apart."""
    neurons, height, width = pictures.shape
    tiles = np.full((rows * columns, height + 1, width + 1), np.nan)
    tiles[:neurons, :height, :width] = pictures
    grid = tiles.reshape(rows, columns, height + 1, width + 1).transpose(0, 2, 1, 3)
    return grid.reshape(rows * (height + 1), -1)[:-1, :-1]


def matrices(weights: Mapping[str, Floats], bounds: tuple[int, int], source: str) -> Markup:
    """Draw weights ``float[sources, neurons]`` by title; nan where there is no synapse."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 4.2), layout="constrained")
        axes = figure.subplots(1, len(weights), sharey=True)
        for axis, (title, matrix) in zip(axes, weights.items(), strict=True):
            image = _picture(axis, matrix, bounds, aspect="auto")
            axis.set(title=title, xlabel="neuron")
        axes[0].set_ylabel(source)
        figure.colorbar(image, ax=axes, label="weight", shrink=0.8, aspect=30)
        return svg(figure, f"Weights from each {source} to each neuron before and after")


def _picture(
    axis: Axes,
    values: Floats,
    bounds: tuple[int, int],
    aspect: Literal["equal", "auto"] = "equal",
) -> AxesImage:
    """Weights as colours: about a neutral 0 where they may be negative."""
    low, high = bounds
    if low < 0:
        low, high = min(low, -high), max(-low, high)
    return axis.imshow(
        values,
        cmap="RdBu_r" if low < 0 else "viridis",
        vmin=low,
        vmax=high,
        interpolation="none",
        aspect=aspect,
    )


def trajectories(
    samples: Sequence[int], weights: Mapping[str, Array], bounds: tuple[int, int]
) -> Markup:
    """Draw weights ``int[reads]`` over samples, a panel each, by title."""
    low, high = bounds
    rows = -(-len(weights) // _COLUMNS)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 1.7 * rows + 0.4), layout="constrained")
        axes = figure.subplots(rows, _COLUMNS, sharex=True, sharey=True, squeeze=False)
        for axis in axes.flat[len(weights) :]:
            axis.set_visible(False)
        for axis, (title, course) in zip(axes.flat, weights.items(), strict=False):
            for bound in bounds:
                axis.axhline(bound, color=MUTED, linewidth=0.8, linestyle=(0, (3, 3)))
            axis.plot(samples, course, "o-", color=GOLDEN, markersize=3)
            margin = max(1.0, (high - low) * 0.06)
            axis.set(title=title, ylim=(low - margin, high + margin))
            _whole(axis.xaxis)
        figure.supxlabel("samples", color=MUTED, fontsize=9)
        figure.supylabel("weight", color=MUTED, fontsize=9)
        return svg(figure, "Weights of single synapses over samples")


def neurons(values: Mapping[str, Array]) -> Markup:
    """Draw a number of each neuron, neurons in the order of the first one; by title."""
    order = np.argsort(-next(iter(values.values())), kind="stable")
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 2.4), layout="constrained")
        axes = np.atleast_1d(figure.subplots(1, len(values)))
        for axis, (title, numbers) in zip(axes, values.items(), strict=True):
            axis.bar(np.arange(len(order)), numbers[order], color=GOLDEN, width=1)
            axis.set(title=title, xlabel="neurons, the most active first")
            axis.set(xlim=(-0.6, len(order) - 0.4), ylim=(0, max(1, numbers.max()) * 1.05))
            _whole(axis.xaxis)
            _whole(axis.yaxis)
        return svg(figure, "Spikes and thresholds of the neurons")


def _whole(axis: Axis) -> None:
    """Ticks at whole numbers only."""
    axis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
