"""What spikes make a core do: rows and lanes it reads, and NeuroBench's metrics of the network."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spikewright.fixed import signed_range
from spikewright.image import CoreImage
from spikewright.spec import Region

__all__ = ["NeuroBench", "Reads", "neurobench", "reads"]

Bools = npt.NDArray[np.bool_]
Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Reads:
    """What a run reads of the weight memory.

    Attributes
    ----------
    words : int64[samples]
        Weight words read.
    synaptic_operations : int64[samples]
        Lanes among them that hold a synapse: deliveries over a nonzero weight.
    """

    words: Array
    synaptic_operations: Array


def reads(image: CoreImage, spikes: Bools, fired: Bools) -> Reads:
    """Count the words of every row that a run reads.

    Parameters
    ----------
    image : CoreImage
    spikes : bool[samples, timesteps, axons]
        Spikes in.
    fired : bool[samples, timesteps, neurons]
        Spikes of all neuron slots. Those of the last level in the last timestep are not delivered
        any more.
    """
    spec = image.spec
    rows = np.zeros((len(spikes), spec.sources), np.int64)
    rows[:, : spikes.shape[2]] = spikes.sum(axis=1)
    rows[:, spec.axons :] = fired.sum(axis=1)
    end = image.groups_used * spec.lanes
    last = slice(end - int(image.level_groups[-1]) * spec.lanes, end)
    rows[:, spec.axons :][:, last] -= fired[:, -1, last]
    row, word, _ = image.row_words(np.arange(spec.sources))
    lanes = np.count_nonzero(image.weights[word], axis=1)
    synapses = np.bincount(row, lanes, minlength=spec.sources).astype(np.int64)
    return Reads(rows @ image.word_count.astype(np.int64), rows @ synapses)


def _synapses(image: CoreImage) -> Bools:
    """Whether a source reaches a neuron over a nonzero weight: ``bool[sources, neurons]``."""
    spec = image.spec
    found = np.zeros((spec.sources, spec.groups, spec.lanes), np.bool_)
    source, word, group = image.row_words(np.arange(spec.sources))
    np.logical_or.at(found, (source, group), image.weights[word] != 0)
    return found.reshape(spec.sources, spec.neurons)


@dataclass(frozen=True)
class NeuroBench:
    """Complexity metrics of NeuroBench's algorithm track.

    Connections are those of whole matrices: a population, or an input, to another with at least
    one synapse between them. A convolution counts as the matrix that the core holds, not as its
    kernel. A neuron whose threshold no potential exceeds has no activations: it is read out by its
    potential.

    Attributes
    ----------
    footprint : int
        Memory to represent the network: weight words with their zeros, directory, levels, neuron
        parameters, state and accumulators [bytes].
    connection_sparsity : float
        Zero weights among all weights.
    activation_sparsity : float
        Neuron activations that are no spike, over all spiking neurons, timesteps and samples.
    dense : float
        Synaptic operations a sample if every source spiked in every timestep, zero weights too.
    effective_macs : float
        Multiply-accumulates a sample: none, as all activations are binary.
    effective_acs : float
        Accumulates a sample: nonzero weights of sources that spiked.

    Source: J. Yik et al., "The NeuroBench framework for benchmarking neuromorphic computing
    algorithms and systems", Nature Communications 16, 1545 (2025), algorithm track metrics; and
    package neurobench 2.3.0, which sums synaptic operations over a sample's timesteps.
    """

    footprint: int
    connection_sparsity: float
    activation_sparsity: float
    dense: float
    effective_macs: float
    effective_acs: float


def neurobench(image: CoreImage, spikes: Bools, fired: Bools) -> NeuroBench:
    """NeuroBench's metrics of a run; parameters as for :func:`reads`."""
    connections, zeros = _connections(image)
    spiking = _spiking(image)
    activations = fired[..., spiking]
    return NeuroBench(
        footprint=_footprint(image),
        connection_sparsity=zeros / max(1, connections),
        activation_sparsity=1 - float(activations.mean()) if activations.size else 0.0,
        dense=float(connections * spikes.shape[1]),
        effective_macs=0.0,
        effective_acs=float(reads(image, spikes, fired).synaptic_operations.mean()),
    )


def _connections(image: CoreImage) -> tuple[int, int]:
    """Weights of all matrices between populations, and the zeros among them."""
    spec, manifest = image.spec, image.manifest
    inputs = [p.slice for p in manifest.inputs] or [slice(0, spec.axons)]
    populations = [p.slice for p in manifest.populations] or [slice(0, spec.neurons)]
    neurons = [slice(spec.axons + where.start, spec.axons + where.stop) for where in populations]
    matrix = _synapses(image)
    blocks = [matrix[a, b] for a in inputs + neurons for b in populations]
    blocks = [block for block in blocks if block.any()]
    total = sum(block.size for block in blocks)
    return total, total - sum(int(block.sum()) for block in blocks)


def _spiking(image: CoreImage) -> Bools:
    """Neurons of populations that can spike, ``bool[neurons]``."""
    _, highest = signed_range(image.spec.state_bits)
    used = np.zeros(image.spec.neurons, np.bool_)
    for population in image.manifest.populations:
        used[population.slice] = True
    return (used if used.any() else ~used) & (image.v_threshold < highest)


def _footprint(image: CoreImage) -> int:
    spec = image.spec
    slots = image.groups_used * spec.lanes
    records = {
        Region.WEIGHTS: len(image.weights),
        Region.DESCRIPTORS: spec.sources,
        Region.LEVELS: image.groups_used,
        Region.NEURONS: slots,
        Region.STATE: slots,
        Region.ACCUMULATORS: slots * spec.delay_slots,
    }
    bits = sum(count * spec.memories[region].layout.width for region, count in records.items())
    return -(-bits // 8)
