"""Sparse matrices row by row: the few operations that the passes share, each linear in entries."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from spikewright.errors import ModelError

__all__ = [
    "MAX_ENTRIES",
    "apply",
    "as_csr",
    "identity",
    "multiply",
    "row_sums",
    "rows_of",
    "scale_rows",
    "with_data",
]

Array = npt.NDArray[np.float64]

MAX_ENTRIES = 1 << 25
"""Several times the synapses of the largest core: keeps absurd networks out of memory."""
_DENSE = 0.25
"""Share of entries from which on BLAS multiplies faster than the sparse product."""


def as_csr(matrix: Any) -> sparse.csr_array:
    """A matrix, dense or sparse, as ``float64`` without stored zeros."""
    result = sparse.csr_array(matrix, dtype=np.float64, copy=sparse.issparse(matrix))
    result.sum_duplicates()
    result.eliminate_zeros()
    return result


def identity(size: int) -> sparse.csr_array:
    """The identity."""
    return sparse.eye_array(size, format="csr")


def rows_of(matrix: sparse.csr_array) -> npt.NDArray[np.int32]:
    """Row of each stored entry."""
    return np.repeat(np.arange(matrix.shape[0], dtype=np.int32), np.diff(matrix.indptr))


def with_data(matrix: sparse.csr_array, data: npt.NDArray[Any]) -> sparse.csr_array:
    """The same structure, shared, with other values."""
    return sparse.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)


def scale_rows(matrix: sparse.csr_array, factors: Array) -> sparse.csr_array:
    """``factors[:, None] * matrix``, without stored zeros."""
    result = with_data(matrix, matrix.data * np.repeat(factors, np.diff(matrix.indptr)))
    if not result.data.all():
        result = result.copy()
        result.eliminate_zeros()
    return result


def multiply(a: sparse.csr_array, b: sparse.csr_array, node: str) -> sparse.csr_array:
    """The product of a node's matrix ``a`` and what comes to it.

    Raises
    ------
    ModelError
        A product that may have over 2**25 entries.
    """
    cells = a.shape[0] * b.shape[1]
    # An entry of a meets a whole row of b.
    work = int(np.diff(b.indptr).astype(np.int64)[a.indices].sum())
    if min(cells, work) > MAX_ENTRIES:
        raise ModelError(
            f"Node {node!r}: its weights, folded into those before it, must be at most "
            f"{MAX_ENTRIES} synapses, not {min(cells, work)}.",
            hint="Put a spiking neuron between the two, or make them smaller.",
        )
    if a.nnz > _DENSE * np.prod(a.shape) and b.nnz > _DENSE * np.prod(b.shape):
        return as_csr(a.toarray() @ b.toarray())
    product = a @ b
    product.sort_indices()
    product.eliminate_zeros()
    return product


def apply(weight: sparse.csr_array, columns: Array) -> Array:
    """``weight @ columns``, of dense columns."""
    is_full = weight.nnz > _DENSE * np.prod(weight.shape)
    result: Array = (weight.toarray() if is_full else weight) @ columns
    return result


def row_sums(matrices: Sequence[sparse.csr_array], size: int) -> npt.NDArray[np.float64]:
    """Sum of each row over matrices of ``size`` rows; exact for integers below 2**53."""
    total = np.zeros(size)
    for matrix in matrices:
        total += np.bincount(rows_of(matrix), matrix.data, size)
    return total
