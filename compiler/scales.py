"""Scales: the real value of one weight unit of each neuron, and the grids of its projections."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse

from spikewright.errors import ModelError
from spikewright.fixed import signed_range
from spikewright.spec import CoreSpec

from .ir import Circuit, Edge, Population
from .matrices import rows_of
from .options import LEAST_BITS, ProjectionBits
from .rounding import Grid

__all__ = ["HEADROOM", "SHRINKS", "least_error", "least_scales", "projection_bits", "widest_scales"]

Array = npt.NDArray[np.float64]

HEADROOM = 2.0
"""State range over the largest of bias, threshold and reset: as much again for v beyond them."""

SHRINKS = np.geomspace(1.0, 1 / 64, 97)
"""Factors of the scale that covers all weights, tried for the least squared error, 4.2 % apart."""


def projection_bits(circuit: Circuit, spec: CoreSpec, bits: ProjectionBits) -> dict[Edge, int]:
    """Bits of the weights on every edge, the core's where ``bits`` says nothing.

    Parameters
    ----------
    bits : sequence of int, or mapping of str to int
        As in :class:`~spikewright.compiler.options.CompileOptions`.

    Raises
    ------
    ModelError
        More or fewer than there are layers, unknown names, or bits out of range.
    """
    names = [name for name in _in_order(circuit) if circuit.into(name)]
    if not isinstance(bits, Mapping):
        if bits and len(bits) != len(names):
            raise ModelError(
                f"Bits must be one number for each of the {len(names)} layers ({', '.join(names)}),"
                f" not {len(bits)}.",
                hint="Or name the layers that differ: hidden=4.",
            )
        bits = dict(zip(names, bits, strict=False))
    named = {f"{edge.source}:{edge.target}" for edge in circuit.weights}
    reasons = [
        f"there is no layer or projection {name!r}" for name in bits if name not in {*names, *named}
    ]
    reasons += [
        f"{name!r} must have {LEAST_BITS} bits to the core's {spec.weight_bits}, not {each}"
        for name, each in bits.items()
        if not LEAST_BITS <= each <= spec.weight_bits
    ]
    if reasons:
        raise ModelError(
            "Bits of projections are not valid:",
            reasons=reasons,
            hint=f"Layers are {', '.join(names)}; projections {', '.join(sorted(named))}. More "
            "bits need a core with more weight_bits.",
        )
    return {
        edge: bits.get(f"{edge.source}:{edge.target}", bits.get(edge.target, spec.weight_bits))
        for edge in circuit.weights
    }


def _in_order(circuit: Circuit) -> list[str]:
    """Populations by level, or as they are where there are no levels yet."""
    return [name for level in circuit.levels for name in level] or list(circuit.populations)


def least_scales(population: Population, spec: CoreSpec) -> Array:
    """Least scales, at which bias, threshold and reset fit the state, ``float64[n]``."""
    threshold = np.where(np.isfinite(population.v_threshold), population.v_threshold, 0)
    largest: Array = np.max(np.abs([population.bias, threshold, population.reset]), axis=0)
    return largest * 2.0**spec.fraction_bits * HEADROOM / signed_range(spec.state_bits)[1]


def widest_scales(
    least: Array,
    incoming: Sequence[sparse.csr_array],
    bits: Sequence[int],
    spec: CoreSpec,
    percentile: float,
    events: Sequence[Array] | None = None,
) -> tuple[Array, list[Grid]]:
    """Least scales with which a percentile of each neuron's weights fit, and the grids they are on.

    Projections of equal bits have one grid. Where a neuron has several, its finest gets the
    neuron's scale s, and each other the least step ``s * 2**shift`` that its weights fit; s grows
    where that step needs more than the core's ``weight_bits``.

    Parameters
    ----------
    least : float64[n]
        What scales must be at least.
    incoming, bits
        Matrix and bits of each projection.
    percentile : float
        Of the nonzero ``|weight|``, 100 for all.
    events : sequence of float64[source], optional
        How often each weight counts, by projection; once if not given.

    Returns
    -------
    scale : float64[n]
    list of Grid
        Of each projection.
    """
    wanted = {}
    for each in sorted(set(bits)):
        own = [k for k, b in enumerate(bits) if b == each]
        peak = _peaks(
            [incoming[k] for k in own], least.size, percentile, events and [events[k] for k in own]
        )
        wanted[each] = peak / signed_range(each)[1]
    finest = np.full(least.shape, np.inf)
    widened = np.zeros(least.shape)
    for each, step in wanted.items():
        finest = np.where(step > 0, np.minimum(finest, step), finest)
        widened = np.maximum(widened, step / 2.0 ** (spec.weight_bits - each))
    scale = np.maximum(np.where(np.isfinite(finest), np.maximum(finest, widened), 0), least)
    scale = np.where(scale > 0, scale, 1.0)
    grids = {}
    for each, step in wanted.items():
        shift = np.ceil(np.log2(np.maximum(step / scale, 1.0)) - _ROUNDING)
        grids[each] = Grid(each, np.minimum(shift, spec.weight_bits - each).astype(np.int64))
    return scale, [grids[each] for each in bits]


_ROUNDING = 1e-9
"""Of a logarithm."""


def _peaks(
    incoming: Sequence[sparse.csr_array],
    size: int,
    percentile: float,
    events: Sequence[Array] | None,
) -> Array:
    """Of each neuron, the percentile of the magnitudes of its weights, 0 where it has none."""
    peak = np.zeros(size)
    if percentile == 100:
        for weight in incoming:
            np.maximum.at(peak, rows_of(weight), np.abs(weight.data))
        return peak
    every = sparse.hstack(incoming, format="csr")
    counts = None if events is None else np.concatenate(events)[every.indices]
    for n in np.flatnonzero(np.diff(every.indptr)):
        own = slice(every.indptr[n], every.indptr[n + 1])
        values = np.abs(every.data[own])
        if counts is None:
            peak[n] = np.percentile(values, percentile)
        else:
            order = values.argsort(kind="stable")
            share = counts[own][order].cumsum()
            peak[n] = values[order][np.searchsorted(share, share[-1] * percentile / 100)]
    return peak


def least_error(
    widest: Array, least: Array, incoming: Sequence[sparse.csr_array], grids: Sequence[Grid]
) -> Array:
    """Of each neuron's scales from ``least`` to ``widest``, that of the least squared error.

    Of scales that err alike it is the largest. Source: minimum mean-squared-error clipping, as in
    Y. Choukroun et al., Low-bit Quantization of Neural Networks for Efficient Inference, ICCV
    Workshops 2019; here on a grid.
    """
    rows = [rows_of(weight) for weight in incoming]
    best, best_error = widest, np.full(widest.shape, np.inf)
    for shrink in SHRINKS:
        scale = np.maximum(widest * shrink, least)
        error = np.zeros(widest.shape)
        for weight, grid, row in zip(incoming, grids, rows, strict=True):
            raw, _ = grid.round(weight, scale)
            raw *= scale[row]
            raw -= weight.data
            error += np.bincount(row, np.square(raw, out=raw), widest.size)
        better = error < best_error
        best, best_error = np.where(better, scale, best), np.where(better, error, best_error)
    return best
