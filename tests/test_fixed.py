from fractions import Fraction
from math import trunc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikewright.fixed import DECAY_ONE, decay, saturate, signed_range, trunc0_shift

states = st.integers(*signed_range(24))


@given(x=states, a=st.integers(0, DECAY_ONE))
def test_decay_rounds_the_exact_product_toward_zero(x: int, a: int) -> None:
    assert decay(np.array([x]), a)[0] == trunc(Fraction(x * a, DECAY_ONE))


@given(x=st.integers(-(1 << 40), 1 << 40), shift=st.integers(0, 20))
def test_trunc0_shift_rounds_toward_zero(x: int, shift: int) -> None:
    assert trunc0_shift(np.array([x]), shift)[0] == trunc(Fraction(x, 1 << shift))


@given(x=st.integers(-(1 << 50), 1 << 50), bits=st.integers(2, 40))
def test_saturate_clamps_to_the_nearest_bound(x: int, bits: int) -> None:
    low, high = signed_range(bits)
    assert saturate(np.array([x]), bits)[0] == sorted((low, x, high))[1]


@given(x=states)
def test_decay_by_the_bounds(x: int) -> None:
    assert decay(np.array([x]), DECAY_ONE)[0] == x
    assert decay(np.array([x]), 0)[0] == 0


def test_decay_factors_are_per_element() -> None:
    x = np.array([[-4095, 4095], [-1, 1]])
    assert decay(x, np.array([4095, 2048])).tolist() == [[-4094, 2047], [0, 0]]


@pytest.mark.parametrize(("bits", "bounds"), [(1, (-1, 0)), (8, (-128, 127)), (2, (-2, 1))])
def test_signed_range(bits: int, bounds: tuple[int, int]) -> None:
    assert signed_range(bits) == bounds
