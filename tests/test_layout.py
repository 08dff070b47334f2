from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikewright.fixed import signed_range
from spikewright.layout import Field, Layout


@st.composite
def layouts_with_records(draw: st.DrawFn) -> tuple[Layout, list[dict[str, int]]]:
    shapes = draw(st.lists(st.tuples(st.integers(1, 40), st.booleans()), min_size=1, max_size=8))
    fields = tuple(Field(f"f{n}", width, signed) for n, (width, signed) in enumerate(shapes))
    ranges = {
        f.name: st.integers(*(signed_range(f.width) if f.signed else (0, (1 << f.width) - 1)))
        for f in fields
    }
    return Layout(fields), draw(st.lists(st.fixed_dictionaries(ranges), min_size=1, max_size=5))


def reference_bytes(layout: Layout, record: dict[str, int]) -> bytes:
    word = offset = 0
    for field in layout.fields:
        word |= (record[field.name] & ((1 << field.width) - 1)) << offset
        offset += field.width
    return word.to_bytes(layout.size, "little")


@given(layouts_with_records())
def test_round_trip(drawn: tuple[Layout, list[dict[str, int]]]) -> None:
    layout, records = drawn
    values = {f.name: np.array([r[f.name] for r in records]) for f in layout.fields}
    packed = layout.pack(values)
    assert packed.shape == (len(records), layout.size)
    for form in (packed, packed.tobytes()):
        unpacked = layout.unpack(form)
        assert list(unpacked) == [f.name for f in layout.fields]
        assert all(np.array_equal(unpacked[name], values[name]) for name in values)


@given(layouts_with_records())
def test_packed_is_little_endian_from_bit_0(drawn: tuple[Layout, list[dict[str, int]]]) -> None:
    layout, records = drawn
    for record in records:
        assert layout.pack(record).tobytes() == reference_bytes(layout, record)


def test_scalars_are_repeated() -> None:
    layout = Layout((Field("a", 4), Field("b", 4)))
    assert layout.pack({"a": [1, 2, 3], "b": 15}).ravel().tolist() == [0xF1, 0xF2, 0xF3]


def test_sizes() -> None:
    assert (Layout(()).width, Layout(()).size) == (0, 0)
    layout = Layout((Field("a", 9),))
    assert (layout.width, layout.size) == (9, 2)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (Field("x", 3), 8, r"^x must fit \[0, 7\], not 8$"),
        (Field("x", 3), -1, r"^x must fit \[0, 7\], not -1$"),
        (Field("x", 3, signed=True), 4, r"^x must fit \[-4, 3\], not 4$"),
        (Field("x", 3, signed=True), -5, r"^x must fit \[-4, 3\], not -5$"),
    ],
)
def test_values_that_do_not_fit(field: Field, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Layout((field,)).pack({"x": [0, value]})
