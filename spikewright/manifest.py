"""What a core image says about itself, checked field by field as it is read."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Manifest", "Population"]


class Population(BaseModel):
    """A contiguous range of axons or neurons and where it came from in the source graph."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    first: int = Field(ge=0)
    count: int = Field(ge=1)
    shape: tuple[int, ...] = ()

    @property
    def slice(self) -> slice:
        """The range as an index into arrays of axons or neurons."""
        return slice(self.first, self.first + self.count)


class Manifest(BaseModel):
    """What an image says about itself; free-form parts are for people and reports.

    ``semantics`` holds dt [s], reset, reset timing and the like as the compiler resolved them;
    ``scales`` the real value of one weight unit, per neuron of each population; ``report`` the
    compiler's report; ``source`` the source file's name and SHA-256.
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
