"""Bit layouts of memory words and frame headers, packed and unpacked with NumPy."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

__all__ = ["Field", "Layout"]


@dataclass(frozen=True)
class Field:
    """One field of a record: ``width`` bits, two's complement if ``signed``."""

    name: str
    width: int
    signed: bool = False


@dataclass(frozen=True)
class Layout:
    """Fields of a record from bit 0 upward, as in Amaranth's ``StructLayout``.

    On the link and in memory dumps a record takes ``size`` whole bytes, little-endian; the bits
    above ``width`` are zero.
    """

    fields: tuple[Field, ...]

    @cached_property
    def width(self) -> int:
        """Bits in the record."""
        return sum(field.width for field in self.fields)

    @cached_property
    def size(self) -> int:
        """Bytes in the record."""
        return (self.width + 7) // 8

    def pack(self, values: Mapping[str, npt.ArrayLike]) -> npt.NDArray[np.uint8]:
        """Pack records into ``uint8[records, size]``.

        Parameters
        ----------
        values : mapping of str to int[records]
            One array (or scalar) for each field.

        Raises
        ------
        ValueError
            A value does not fit its field.
        """
        columns = {f.name: np.atleast_1d(np.asarray(values[f.name], np.int64)) for f in self.fields}
        count = max(len(column) for column in columns.values())
        bits = np.zeros((count, self.size * 8), np.uint8)
        offset = 0
        for f in self.fields:
            column = columns[f.name]
            low, high = (
                (-(1 << (f.width - 1)), (1 << (f.width - 1)) - 1)
                if f.signed
                else (0, (1 << f.width) - 1)
            )
            if column.size and (column.min() < low or column.max() > high):
                bad = column[(column < low) | (column > high)][0]
                raise ValueError(f"{f.name} must fit [{low}, {high}], not {bad}")
            bits[:, offset : offset + f.width] = (column[:, None] >> np.arange(f.width)) & 1
            offset += f.width
        return np.packbits(bits, axis=1, bitorder="little")

    def unpack(self, data: npt.ArrayLike | bytes) -> dict[str, npt.NDArray[np.int64]]:
        """Unpack ``uint8[records, size]`` (or that many bytes) into ``int64[records]`` a field."""
        raw = (
            np.frombuffer(data, np.uint8) if isinstance(data, bytes) else np.asarray(data, np.uint8)
        )
        bits = np.unpackbits(raw.reshape(-1, self.size), axis=1, bitorder="little").astype(np.int64)
        values = {}
        offset = 0
        for f in self.fields:
            column = (bits[:, offset : offset + f.width] << np.arange(f.width)).sum(axis=1)
            if f.signed:
                column -= (column >> (f.width - 1)) << f.width
            values[f.name] = column
            offset += f.width
        return values
