"""What the compiler's passes hand on: a network in discrete time, and the same in raw integers."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Circuit", "Edge", "Placement", "Population", "Quantized", "RawPopulation"]

Array = npt.NDArray[np.float64]
RawArray = npt.NDArray[np.int64]
Edge = tuple[str, str]
"""Names of a source (an input or a population) and of a target population."""


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """Neurons of one node in discrete time, real values, the membrane's origin at ``v_leak``.

    Each timestep ``i = a_syn i + input + bias``, ``v = a_mem v + i``, and where
    ``v > v_threshold`` a spike and ``v = reset`` or ``v = v - reset``.

    Attributes
    ----------
    name, kind : str
        The node's, and the NIR primitive.
    shape : tuple of int
    a_mem, a_syn, bias, reset, v_leak : float64[n]
    v_threshold : float64[n]
        Infinite where the neurons never spike.
    reset_to : bool
        The reset leads to ``reset``, or is by that amount.
    reset_decays : bool
        The amount is what the reset takes one timestep later: by then ``a_mem`` has shrunk it.
    refractory : int
        Timesteps without membrane update after a spike.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    a_mem: Array
    a_syn: Array
    bias: Array
    v_threshold: Array
    reset: Array
    v_leak: Array
    reset_to: bool
    reset_decays: bool
    refractory: int

    @property
    def size(self) -> int:
        """Neurons."""
        return prod(self.shape)

    @property
    def spikes(self) -> bool:
        """Whether it can spike."""
        return bool(np.isfinite(self.v_threshold).any())


@dataclass(frozen=True, slots=True, eq=False)
class Circuit:
    """Inputs and populations, and one matrix from each source to each target.

    Attributes
    ----------
    inputs : mapping of str to shape
    populations : mapping of str to Population
    weights : mapping of Edge to float64[target, source]
    outputs : mapping of str to str
        From an output node to the population that it shows.
    levels : tuple of tuple of str
        Populations that are updated together, in order. A spike reaches later levels in the same
        timestep, all others in the next.
    """

    inputs: Mapping[str, tuple[int, ...]]
    populations: Mapping[str, Population]
    weights: Mapping[Edge, Array]
    outputs: Mapping[str, str]
    levels: tuple[tuple[str, ...], ...] = ()

    def into(self, target: str) -> dict[str, Array]:
        """Matrices into a population by source."""
        return {a: weight for (a, b), weight in self.weights.items() if b == target}

    def is_same_timestep(self, edge: Edge) -> bool:
        """Whether spikes along an edge arrive in the timestep that they were fired in."""
        source, target = edge
        if source in self.inputs:
            return True
        level = {name: k for k, names in enumerate(self.levels) for name in names}
        return level[source] < level[target]


@dataclass(frozen=True, slots=True, eq=False)
class RawPopulation:
    """A population's raw integers, each ``int64[n]`` as in the image, and what they stand for.

    Attributes
    ----------
    scale : float64[n]
        Real value of one weight unit.
    """

    scale: Array
    a_mem: RawArray
    a_syn: RawArray
    bias: RawArray
    v_threshold: RawArray
    reset: RawArray
    reset_to: RawArray
    refractory: RawArray


@dataclass(frozen=True, slots=True, eq=False)
class Quantized:
    """A circuit in raw integers.

    Attributes
    ----------
    populations : mapping of str to RawPopulation
    weights : mapping of Edge to int64[target, source]
    clipped : mapping of str to int
        Weights into a population that were larger than its scale allows.
    notes : tuple of str
        What rounding did that a user should know.
    """

    populations: Mapping[str, RawPopulation]
    weights: Mapping[Edge, RawArray]
    clipped: Mapping[str, int]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """Where everything lies in a core.

    Attributes
    ----------
    axons : mapping of str to slice
        Axons of each input.
    neurons : mapping of str to slice
        Neuron slots of each population.
    level_groups : tuple of int
        Neuron groups of each level.
    rows : mapping of str to ndarray
        ``weights``, ``first_word``, ``word_count`` and ``first_group`` as in the image, the last
        three for the axons in use, then the neuron slots in use.
    """

    axons: Mapping[str, slice]
    neurons: Mapping[str, slice]
    level_groups: tuple[int, ...]
    rows: Mapping[str, npt.NDArray[Any]]
