"""What the compiler's passes hand on: a network in discrete time, and the same in raw integers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from spikewright.manifest import Population as Range

__all__ = [
    "Circuit",
    "Edge",
    "Placement",
    "Population",
    "Quantized",
    "RawPopulation",
    "Tuning",
]

Array = npt.NDArray[np.float64]
RawArray = npt.NDArray[np.int64]


class Edge(NamedTuple):
    """Synapses of one delay from a source, an input or a population, to a target population.

    A spike of timestep t arrives in timestep ``t + delay``.
    """

    source: str
    target: str
    delay: int = 0

    def __str__(self) -> str:
        delayed = f" with delay {self.delay}" if self.delay else ""
        return f"{self.source!r} to {self.target!r}{delayed}"


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
    """Inputs and populations, and one matrix a delay from each source to each target.

    Attributes
    ----------
    inputs : mapping of str to shape
    populations : mapping of str to Population
    weights : mapping of Edge to csr_array, float64[target, source]
        Without stored zeros.
    outputs : mapping of str to str
        From an output node to the population that it shows.
    levels : tuple of tuple of str
        Populations that are updated together, in order. A spike can reach later levels in its own
        timestep, others in the next: once there are levels, the delay of such edges is at least 1.
    """

    inputs: Mapping[str, tuple[int, ...]]
    populations: Mapping[str, Population]
    weights: Mapping[Edge, sparse.csr_array]
    outputs: Mapping[str, str]
    levels: tuple[tuple[str, ...], ...] = ()

    def into(self, target: str) -> list[Edge]:
        """Edges that end at a population, in order."""
        return [edge for edge in self.weights if edge.target == target]

    def is_onward(self, edge: Edge) -> bool:
        """Whether an edge's target is updated after its source, within a timestep."""
        if edge.source in self.inputs:
            return True
        level = {name: k for k, names in enumerate(self.levels) for name in names}
        return level[edge.source] < level[edge.target]

    def core_delay(self, edge: Edge) -> int:
        """Delay of an edge's synapses in the core [timesteps]; all but onward ones take 1 more."""
        return edge.delay if self.is_onward(edge) else edge.delay - 1


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


@dataclass(frozen=True, slots=True)
class Tuning:
    """What tuning on spikes changed in a population; see :mod:`spikewright.compiler.tune`.

    Attributes
    ----------
    scales, decays, thresholds, biases : int
        Neurons that have another one than without.
    error_before, error_after : float
        Root weighted mean square of what v is off the threshold by, in integers against in float.
    """

    scales: int
    decays: int
    thresholds: int
    biases: int
    error_before: float
    error_after: float


@dataclass(frozen=True, slots=True, eq=False)
class Quantized:
    """A circuit in raw integers.

    Attributes
    ----------
    populations : mapping of str to RawPopulation
    weights : mapping of Edge to csr_array, int32[target, source]
        Of the circuit's structure: what rounded to 0 is stored as 0.
    clipped : mapping of str to int
        Weights into a population that were larger than its scale allows.
    notes : tuple of str
        What rounding did that a user should know.
    tuning : mapping of str to Tuning
        Of every population, where there were spikes to tune on.
    """

    populations: Mapping[str, RawPopulation]
    weights: Mapping[Edge, sparse.csr_array]
    clipped: Mapping[str, int]
    notes: tuple[str, ...]
    tuning: Mapping[str, Tuning] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """Where everything lies in a core.

    Attributes
    ----------
    inputs : mapping of str to Range
        Axons of each input.
    populations : mapping of str to Range
        Neuron slots of each population.
    level_groups : tuple of int
        Neuron groups of each level.
    rows : mapping of str to ndarray
        ``weights``, ``delays``, ``first_word``, ``word_count`` and ``first_group`` as in the
        image, the last three for the axons in use, then the neuron slots in use; and
        ``word_group``, the neuron group of each word.
    """

    inputs: Mapping[str, Range]
    populations: Mapping[str, Range]
    level_groups: tuple[int, ...]
    rows: Mapping[str, npt.NDArray[Any]]

    @property
    def lines(self) -> int:
        """Axons in use: the rows of neuron slots follow theirs."""
        return max((where.first + where.count for where in self.inputs.values()), default=0)
