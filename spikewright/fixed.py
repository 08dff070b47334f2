"""Fixed-point arithmetic as the core does it: integers, rounding toward zero, saturation."""

import numpy as np
import numpy.typing as npt

__all__ = ["DECAY_BITS", "DECAY_ONE", "decay", "saturate", "signed_range", "trunc0_shift"]

DECAY_BITS = 12
DECAY_ONE = 1 << DECAY_BITS
"""The decay factor 1.0; factors are UQ1.12, ``0 <= a <= 4096``."""

Array = npt.NDArray[np.int64]


def signed_range(bits: int) -> tuple[int, int]:
    """Smallest and largest two's complement integer of ``bits`` bits."""
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


def trunc0_shift(x: Array, shift: int) -> Array:
    """Divide by ``2**shift``, rounding toward zero (``TRN_ZERO``).

    Parameters
    ----------
    x : int64 array
    shift : int
        Number of fraction bits dropped, at least 0.
    """
    # An arithmetic shift rounds down: lift negative values first by one less than the divisor.
    return (x + ((x >> 63) & ((1 << shift) - 1))) >> shift


def decay(x: Array, a: Array | int) -> Array:
    """Multiply by ``a / 4096``, rounding toward zero.

    Parameters
    ----------
    x : int64 array
        State, any format.
    a : int64 array or int
        UQ1.12 factor, 0 to 4096.

    Source: design section 3; the same rounding as Lava's fixed-point neurons.
    """
    return trunc0_shift(x * a, DECAY_BITS)


def saturate(x: Array, bits: int) -> Array:
    """Clamp to ``bits`` bits two's complement (``SAT``)."""
    low, high = signed_range(bits)
    return np.minimum(np.maximum(x, low), high)  # np.clip takes several times as long
