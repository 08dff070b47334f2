"""Divergence: the float reference and the golden model in lockstep on the same spikes."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spikewright.image import CoreImage
from spikewright.sim.golden import GoldenModel
from spikewright.sim.update import Neurons, membrane_potential

from .ir import Circuit, Population
from .reference import Activity, Reference

__all__ = ["Closest", "Comparison", "Difference", "LayerComparison", "compare_with_float"]

BATCH_SAMPLES = 64
"""Samples that run at once: enough for matrix products to pay, few enough for the memory."""

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Difference:
    """A neuron that spiked in float or in integers, not in both; potentials in the model's units.

    Attributes
    ----------
    layer : str
    neuron, sample, timestep : int
    float_v, integer_v : float
        Membrane potentials that met the thresholds.
    float_threshold, integer_threshold : float
        The model's threshold, and what it was rounded to.
    float_spiked : bool
        Whether it is the float neuron that spiked.
    weight_unit : float
        Real value of one weight unit of this neuron.
    """

    layer: str
    neuron: int
    sample: int
    timestep: int
    float_v: float
    integer_v: float
    float_threshold: float
    integer_threshold: float
    float_spiked: bool
    weight_unit: float


@dataclass(frozen=True, slots=True)
class Closest:
    """Where a float neuron of a layer came closest to its threshold, or furthest above it."""

    neuron: int
    v: float
    v_threshold: float


@dataclass(frozen=True, slots=True)
class LayerComparison:
    """One population, in float and in integers.

    Attributes
    ----------
    spiking : bool
        Whether its neurons can spike.
    agreement : tuple of float
        By timestep, the share of neurons and samples whose spikes are equal.
    float_spikes, integer_spikes : int
        In all samples.
    float_silent, float_always : int
        Neurons that never spike in float, and that spike in every timestep.
    silenced, woken : int
        Neurons that spike in float only, and in integers only.
    v_error : float
        Root mean square of the difference of v over that of v.
    closest : Closest or None
        None where no neuron can spike.
    first : Difference or None
        Of the earliest timestep, the first sample and neuron.
    """

    spiking: bool
    agreement: tuple[float, ...]
    float_spikes: int
    integer_spikes: int
    float_silent: int
    float_always: int
    silenced: int
    woken: int
    v_error: float
    closest: Closest | None
    first: Difference | None

    @property
    def mean_agreement(self) -> float:
        """Share of all spikes that are equal."""
        return float(np.mean(self.agreement))


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """All layers in the order of levels.

    Attributes
    ----------
    layers : mapping of str to LayerComparison
    samples : int
    equal_samples : int
        Samples without any difference in spikes.
    equal_decisions : mapping of str to int
        By spiking output, samples whose most active neuron is the same.
    peaks : mapping of str to float64[n]
        By population, the largest magnitude of v and i in float.
    """

    layers: Mapping[str, LayerComparison]
    samples: int
    equal_samples: int
    equal_decisions: Mapping[str, int]
    peaks: Mapping[str, Array]

    @property
    def first(self) -> Difference | None:
        """The first difference of all: every spike before it was equal, so rounding made it."""
        found = [layer.first for layer in self.layers.values() if layer.first]
        return min(found, key=lambda difference: difference.timestep, default=None)

    @property
    def agreement(self) -> float:
        """Share of equal spikes over all neurons that can spike, layers weighted alike."""
        spiking = [layer.mean_agreement for layer in self.layers.values() if layer.spiking]
        return float(np.mean(spiking)) if spiking else 1.0


def compare_with_float(circuit: Circuit, image: CoreImage, spikes: Bools) -> Comparison:
    """Run a circuit in float and its image on the golden model.

    Parameters
    ----------
    circuit : Circuit
        What the image was made from.
    image : CoreImage
    spikes : bool[samples, timesteps, axons]
    """
    samples, timesteps, _ = spikes.shape
    names = [name for level in circuit.levels for name in level]
    tallies = {name: _Tally(circuit.populations[name], image, samples, timesteps) for name in names}
    neurons = Neurons.of(image, slice(None))
    for start in range(0, samples, BATCH_SAMPLES):
        batch = spikes[start : start + BATCH_SAMPLES]
        reference, golden = Reference(circuit, len(batch)), GoldenModel(image, len(batch))
        for t in range(timesteps):
            expected = reference.step(batch[:, t])
            before, held = golden.v.copy(), golden.refractory > 0
            fired = golden.step(batch[:, t]).spikes
            v, _ = membrane_potential(before, golden.i, neurons, image.spec)
            v = np.where(held, before, v)
            for name, tally in tallies.items():
                tally.add(start, t, expected[name], v[:, tally.where], fired[:, tally.where])
    equal = np.logical_and.reduce([tally.equal for tally in tallies.values()])
    outputs = [tallies[name] for name in image.manifest.outputs if tallies[name].spiking]
    return Comparison(
        layers={name: tally.result() for name, tally in tallies.items()},
        samples=samples,
        equal_samples=int(equal.sum()),
        equal_decisions={tally.name: tally.equal_decisions() for tally in outputs},
        peaks={name: tally.peak for name, tally in tallies.items()},
    )


class _Tally:
    """What is counted of one population while the models run."""

    def __init__(
        self, population: Population, image: CoreImage, samples: int, timesteps: int
    ) -> None:
        self.name, self.spiking = population.name, population.spikes
        self.where = image.population(population.name).index
        self.equal = np.ones(samples, np.bool_)
        self.peak = np.zeros(population.size)
        self._population = population
        self._scale = np.array(image.manifest.scales[self.name])
        self._unit = self._scale / 2.0**image.spec.fraction_bits
        self._threshold = image.v_threshold[self.where]
        self._counts = np.zeros((2, samples, population.size), np.int64)
        self._different = np.zeros(timesteps, np.int64)
        self._squares = np.zeros(2)
        self._closest: tuple[float, Closest] | None = None
        self._first: Difference | None = None

    def add(self, start: int, t: int, real: Activity, v_raw: Ints, fired: Bools) -> None:
        """Timestep ``t`` of samples from ``start`` on."""
        batch = slice(start, start + len(fired))
        v = v_raw * self._unit
        differs = real.spikes != fired
        if differs.any() and (self._first is None or t < self._first.timestep):
            self._first = self._difference(start, t, real, v, differs)
        self._different[t] += differs.sum()
        self.equal[batch] &= ~differs.any(axis=1)
        self._counts[:, batch] += real.spikes, fired
        self._squares += np.square(v - real.v).sum(), np.square(real.v).sum()
        largest = np.maximum(np.abs(real.v), np.abs(real.i)).max(axis=0)
        self.peak = np.maximum(self.peak, largest)
        if self.spiking:
            self._note_closest(real.v)

    def _difference(
        self, start: int, t: int, real: Activity, v: Array, differs: Bools
    ) -> Difference:
        sample, n = (int(k) for k in np.argwhere(differs)[0])
        leak = self._population.v_leak[n]
        return Difference(
            layer=self.name,
            neuron=n,
            sample=start + sample,
            timestep=t,
            float_v=float(real.v[sample, n] + leak),
            integer_v=float(v[sample, n] + leak),
            float_threshold=float(self._population.v_threshold[n] + leak),
            integer_threshold=float(self._threshold[n] * self._unit[n] + leak),
            float_spiked=bool(real.spikes[sample, n]),
            weight_unit=float(self._scale[n]),
        )

    def _note_closest(self, v: Array) -> None:
        above = v - self._population.v_threshold
        sample, n = np.unravel_index(above.argmax(), above.shape)
        if self._closest is None or above[sample, n] > self._closest[0]:
            leak = self._population.v_leak[n]
            threshold = self._population.v_threshold[n] + leak
            closest = Closest(int(n), float(v[sample, n] + leak), float(threshold))
            self._closest = float(above[sample, n]), closest

    def equal_decisions(self) -> int:
        """Samples whose most active neuron is the same in both."""
        real, raw = self._counts.argmax(axis=2)
        return int((real == raw).sum())

    def result(self) -> LayerComparison:
        """All of it."""
        real, raw = self._counts.sum(axis=1)
        entries = self.equal.size * self.peak.size
        updates = self.equal.size * self._different.size
        error, power = self._squares
        return LayerComparison(
            spiking=self.spiking,
            agreement=tuple((1 - self._different / entries).tolist()),
            float_spikes=int(real.sum()),
            integer_spikes=int(raw.sum()),
            float_silent=int((real == 0).sum()),
            float_always=int((real == updates).sum()),
            silenced=int(((real > 0) & (raw == 0)).sum()),
            woken=int(((real == 0) & (raw > 0)).sum()),
            v_error=float(np.sqrt(error / power)) if power else 0.0,
            closest=self._closest[1] if self._closest else None,
            first=self._first,
        )
