"""Convolutions as sparse matrices."""

from math import prod

import numpy as np
import numpy.typing as npt
from scipy import sparse

from spikewright.errors import ModelError

from .graph import Convolution
from .matrices import MAX_ENTRIES, as_csr

__all__ = ["convolution_matrix"]

Indices = npt.NDArray[np.int32]


def convolution_matrix(node: Convolution, name: str) -> sparse.csr_array:
    """The linear part of a checked convolution, from values in C order to values in C order.

    Returns
    -------
    csr_array, float64[size_out, size_in]

    Raises
    ------
    ModelError
        Over 2**25 synapses.
    """
    out_channels, in_channels = node.weight.shape[:2]
    positions_out, positions_in = prod(node.shape_out[1:]), prod(node.shape_in[1:])
    if node.weight.size * positions_out > MAX_ENTRIES:
        raise ModelError(
            f"Node {name!r}: a convolution must have at most {MAX_ENTRIES} synapses, not "
            f"{node.weight.size * positions_out}.",
            hint="Make its input smaller, its stride longer or its channels fewer.",
        )
    target, source, tap = _reach(node)
    out = np.arange(out_channels, dtype=np.int32)[:, None, None]
    group = out // np.int32(out_channels // node.groups)
    channel = group * np.int32(in_channels) + np.arange(in_channels, dtype=np.int32)[:, None]
    rows = np.broadcast_to(out * np.int32(positions_out) + target, (*channel.shape[:2], len(tap)))
    columns = channel * np.int32(positions_in) + source
    values = node.weight.reshape(out_channels, in_channels, -1)[:, :, tap]
    entries = values.ravel(), (rows.ravel(), columns.ravel())
    return as_csr(sparse.coo_array(entries, shape=(node.size_out, node.size_in)))


def _reach(node: Convolution) -> tuple[Indices, Indices, Indices]:
    """Output position, input position and kernel tap, flat, of all that meet inside the input."""
    target = source = tap = np.zeros(1, np.int32)
    for axis, kernel in enumerate(node.weight.shape[2:]):
        size_in, size_out = node.shape_in[1 + axis], node.shape_out[1 + axis]
        position = np.arange(size_out)[:, None] * node.stride[axis]
        at = position + np.arange(kernel) * node.dilation[axis] - node.padding[axis][0]
        p, k = np.nonzero((at >= 0) & (at < size_in))
        target = _flat(target, size_out, p)
        source = _flat(source, size_in, at[p, k])
        tap = _flat(tap, kernel, k)
    return target, source, tap


def _flat(outer: Indices, size: int, inner: npt.NDArray[np.int64]) -> Indices:
    """Every pair of an outer index and an inner one below ``size``, as one index."""
    return (outer[:, None] * np.int64(size) + inner).ravel().astype(np.int32)
