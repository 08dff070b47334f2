"""What a core image says about itself, checked field by field as it is read."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import prod
from typing import Annotated, Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

__all__ = ["Manifest", "Population"]

Index = slice | npt.NDArray[np.int64]
_UNUSUAL = ("axes", "tile")
"""Fields that are left out where they are empty."""


class Population(BaseModel):
    """A contiguous range of axons or neurons and where it came from in the source graph.

    ``axes`` is the order in which they are stored: the range holds an array of ``shape``,
    transposed by ``axes``, in C order. Empty, the usual case, is C order of ``shape`` itself;
    convolutions are stored channel last. With ``tile``, the array is cut into tiles of this shape,
    smaller ones at its ends, which lie one after the other in C order, each by itself transposed by
    ``axes``. :attr:`index` is the one place that knows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    first: int = Field(ge=0)
    count: int = Field(ge=1)
    shape: tuple[Annotated[int, Field(ge=1)], ...] = ()
    axes: tuple[int, ...] = ()
    tile: tuple[Annotated[int, Field(ge=1, le=1 << 20)], ...] = ()

    @model_validator(mode="after")
    def _shape_is_the_count(self) -> Self:
        if self.shape and prod(self.shape) != self.count:
            raise ValueError(f"shape must have {self.count} elements, not {prod(self.shape)}")
        if self.axes and sorted(self.axes) != list(range(len(self.shape))):
            raise ValueError(f"axes must be an order of shape's {len(self.shape)}, not {self.axes}")
        if self.tile and not (self.axes and len(self.tile) == len(self.shape)):
            raise ValueError(f"tile must have a size for each of axes, not {self.tile}")
        return self

    @model_serializer(mode="wrap")
    def _without_usual_order(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = dump(self)
        return {name: value for name, value in fields.items() if value or name not in _UNUSUAL}

    @property
    def slice(self) -> slice:
        """The range as it is stored, as an index into arrays of axons or neurons."""
        return slice(self.first, self.first + self.count)

    @property
    def index(self) -> Index:
        """Index into arrays of axons or neurons that takes this range in C order of ``shape``."""
        if not self.axes:
            return self.slice
        where = np.indices(self.shape).reshape(len(self.shape), self.count)
        tile = np.reshape(self.tile or self.shape, (-1, 1))
        keys = [*where // tile, *(where % tile)[list(self.axes)]]
        return self.first + np.argsort(np.lexsort(keys[::-1]))

    @property
    def positions(self) -> npt.NDArray[np.int64]:
        """Axon or neuron of each element, in C order of ``shape``."""
        return np.arange(self.first + self.count)[self.index]


class Manifest(BaseModel):
    """What an image says about itself; free-form parts are for people and reports.

    ``semantics`` holds dt [s], threshold, reset, reset timing, spike order and the like as the
    compiler resolved them; ``scales`` the real value of one weight unit, per neuron of each
    population; ``report`` the compiler's report; ``source`` the source file's name and SHA-256.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    name: str = ""
    inputs: tuple[Population, ...] = ()
    populations: tuple[Population, ...] = ()
    outputs: tuple[str, ...] = ()
    semantics: dict[str, Any] = {}
    scales: dict[str, list[float]] = {}
    report: dict[str, Any] = {}
    source: dict[str, str] = {}

    def faults(self, axons: int, neurons: int) -> list[str]:
        """What does not fit a core of these sizes, or is said twice."""
        found = []
        for kind, ranges, size in (
            ("axon", self.inputs, axons),
            ("neuron", self.populations, neurons),
        ):
            found += [
                f"population {p.name!r} must end within {size} {kind}s, not {p.first + p.count}"
                for p in ranges
                if p.first + p.count > size
            ]
            found += _repeated("population", [p.name for p in ranges])
            found += [
                f"populations {a.name!r} and {b.name!r} must not share {kind} {b.first}"
                for a, b in pairwise(sorted(ranges, key=lambda p: p.first))
                if a.first + a.count > b.first
            ]
        names = [p.name for p in self.populations]
        found += [f"output {n!r} must be a population" for n in self.outputs if n not in names]
        found += _repeated("output", self.outputs)
        return found


def _repeated(what: str, names: Sequence[str]) -> Iterator[str]:
    for name, count in Counter(names).items():
        if count > 1:
            yield f"{what} {name!r} must be there once, not {count} times"
