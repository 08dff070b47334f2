"""Float reference: a circuit run in float64, with the levels, timing and resets of the core."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spikewright.errors import ModelError

from .ir import Circuit, Population

__all__ = ["Activity", "Reference", "ReferenceRun"]

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Activity:
    """What one timestep did to a population.

    Attributes
    ----------
    i : float64[samples, n]
        Synaptic current.
    v : float64[samples, n]
        Membrane potential that met the threshold: before the reset, its origin at ``v_leak``.
    spikes : bool[samples, n]
    """

    i: Array
    v: Array
    spikes: Bools


@dataclass(frozen=True, slots=True)
class ReferenceRun:
    """What a run of several timesteps did, by population.

    Attributes
    ----------
    spikes : dict of str to bool[samples, timesteps, n]
    v : dict of str to float64[samples, timesteps, n]
        As in :class:`Activity`.
    """

    spikes: dict[str, Bools]
    v: dict[str, Array]


@dataclass(slots=True)
class _State:
    """A population between timesteps, each ``[samples, n]``."""

    population: Population
    i: Array
    v: Array
    refractory: Ints
    spikes: Bools

    @classmethod
    def clear(cls, population: Population, samples: int) -> "_State":
        """The state that a run starts from."""
        shape = samples, population.size
        refractory, spikes = np.zeros(shape, np.int64), np.zeros(shape, np.bool_)
        return cls(population, np.zeros(shape), np.zeros(shape), refractory, spikes)

    def update(self, arriving: Array) -> Activity:
        """One timestep. Source: :class:`Population`, and design section 3."""
        p = self.population
        held = self.refractory > 0
        self.i = p.a_syn * self.i + arriving + p.bias
        v = p.a_mem * self.v + self.i
        if p.reset_decays:  # the reset of the last timestep's spikes, not shrunk by a_mem
            v -= self.spikes * p.reset
        v = np.where(held, self.v, v)
        self.spikes = (v > p.v_threshold) & ~held
        self.v = v
        if not p.reset_decays:
            self.v = np.where(self.spikes, p.reset if p.reset_to else v - p.reset, v)
        self.refractory = np.where(self.spikes, p.refractory, self.refractory - held)
        return Activity(self.i, v, self.spikes)


class Reference:
    """A circuit in float64, many samples at once, each with a state of its own.

    It is what the core computes without rounding and saturation: a spike reaches later levels in
    the same timestep and all others in the next.

    Parameters
    ----------
    circuit : Circuit
        With levels.
    samples : int
        Independent copies of the state.
    """

    def __init__(self, circuit: Circuit, samples: int = 1) -> None:
        self._circuit = circuit
        self._samples = samples
        sizes = [int(np.prod(shape)) for shape in circuit.inputs.values()]
        self._ends = np.cumsum([0, *sizes])
        # Spikes of the timesteps before, the last one first, for as long as any is on its way.
        self._past: list[dict[str, Bools]] = []
        self._longest = max((edge.delay for edge in circuit.weights), default=0)
        self._states = {
            name: _State.clear(population, samples)
            for name, population in circuit.populations.items()
        }

    def step(self, spikes: Bools) -> dict[str, Activity]:
        """Run one timestep.

        Parameters
        ----------
        spikes : bool[samples, lines]
            The inputs side by side in the circuit's order, as on the core's axons; lines beyond
            them are ignored.

        Returns
        -------
        dict of str to Activity
            By population.

        Raises
        ------
        ModelError
            Another number of samples, or too few lines.
        """
        lines = int(self._ends[-1])
        if spikes.ndim != 2 or len(spikes) != self._samples or spikes.shape[1] < lines:
            raise ModelError(
                f"Input spikes must be [{self._samples} samples, {lines} lines], not "
                f"{list(spikes.shape)}.",
                hint="Put the network's inputs side by side on the last axis.",
            )
        now = {
            name: spikes[:, start:stop]
            for name, start, stop in zip(
                self._circuit.inputs, self._ends[:-1], self._ends[1:], strict=True
            )
        }
        done: dict[str, Activity] = {}
        for level in self._circuit.levels:
            done |= {name: self._states[name].update(self._arriving(name, now)) for name in level}
            now |= {name: done[name].spikes for name in level}
        self._past = [now, *self._past][: self._longest]
        return done

    def run(self, spikes: Bools) -> ReferenceRun:
        """Run timesteps from the present state.

        Parameters
        ----------
        spikes : bool[samples, timesteps, lines]
            As in :meth:`step`.

        Raises
        ------
        ModelError
            As :meth:`step`.
        """
        steps = [self.step(spikes[:, t]) for t in range(spikes.shape[1])]
        names = self._states
        return ReferenceRun(
            {name: np.stack([step[name].spikes for step in steps], axis=1) for name in names},
            {name: np.stack([step[name].v for step in steps], axis=1) for name in names},
        )

    def _arriving(self, name: str, now: dict[str, Bools]) -> Array:
        """Sum of the weights whose spikes arrive now, ``float64[samples, n]``."""
        total = np.zeros((self._circuit.populations[name].size, self._samples))
        timesteps = [now, *self._past]
        for edge in self._circuit.into(name):
            if edge.delay < len(timesteps):
                fired = timesteps[edge.delay][edge.source]
                total += self._circuit.weights[edge] @ fired.T.astype(np.float64)
        return total.T
