"""Traces of golden model and RTL: the same stimulus in, every variable after every timestep out."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from spikewright.errors import SpikewrightError
from spikewright.image import CoreImage
from spikewright.target import check_rewards

from .golden import GoldenModel
from .mismatch import COUNTED, LEARNED, Trace
from .verilator import CoreRun, CoreSimulator

__all__ = ["Stimulus", "golden_trace", "rtl_trace", "run_rtl", "stimuli", "synapse_variables"]


class Stimulus(NamedTuple):
    """What goes into timesteps of one sample."""

    spikes: npt.NDArray[np.bool_]
    learn: npt.NDArray[np.bool_]
    rewards: npt.NDArray[np.int64]

    def part(self, first: int, last: int) -> "Stimulus":
        """Timesteps ``first`` to ``last - 1``, as far as there are."""
        at = slice(first, last)
        return Stimulus(self.spikes[at], self.learn[at], self.rewards[at])

    @property
    def timesteps(self) -> int:
        """How many."""
        return len(self.spikes)


def stimuli(
    image: CoreImage,
    spikes: npt.NDArray[np.bool_],
    learn: npt.NDArray[np.bool_] | None,
    rewards: npt.NDArray[np.int64] | None,
) -> list[Stimulus]:
    """What goes into each sample; see :func:`spikewright.sim.compare.lockstep`.

    Raises
    ------
    SpikewrightError
        The core cannot learn, or ``learn`` or ``rewards`` have another dtype, shape or range.
    """
    shape = spikes.shape[:2]
    if learn is None:
        off, none = np.zeros(shape, np.bool_), np.zeros(shape, np.int64)
        return list(map(Stimulus, spikes, off, none))
    if learn.dtype != np.bool_ or learn.shape != shape:
        raise SpikewrightError(
            f"Learning must be switched by bool of shape {shape}, "
            f"not {learn.dtype} of shape {learn.shape}.",
            hint="Give one for each timestep of each sample.",
        )
    return list(map(Stimulus, spikes, learn, check_rewards(rewards, spikes, image.spec)))


def synapse_variables(image: CoreImage) -> tuple[str, ...]:
    """Variables of synapses that change: none, ``weights``, or ``eligibility`` too."""
    spec = image.spec
    return ("weights", "eligibility") if spec.reward else ("weights",) * spec.plastic


def golden_trace(model: GoldenModel, stimulus: Stimulus) -> Trace:
    """Run the golden model on, one sample."""
    image, spec, steps = model.image, model.image.spec, stimulus.timesteps
    names = ["v", "acc"]
    names += ["i"] * spec.synapse_current + ["refractory"] * bool(spec.refractory_bits)
    names += ["y"] * spec.plastic + ["h"] * spec.adaptive_threshold
    trace: Trace = {
        name: np.empty((steps, *getattr(model, name)[0].shape), np.int32) for name in names
    }
    learner = model.plasticity
    learned = [
        *synapse_variables(image),
        *["x"] * spec.plastic,
        *["random"] * spec.stochastic_rounding,
    ]
    trace |= {
        name: np.empty((steps, *np.shape(getattr(learner, name))), np.int64) for name in learned
    }
    results = []
    for t, (spikes, learn, reward) in enumerate(zip(*stimulus, strict=True)):
        results.append(model.step(spikes[None], learn=bool(learn), reward=int(reward)))
        for name in names:
            trace[name][t] = getattr(model, name)[0]
        for name in learned:
            trace[name][t] = getattr(learner, name)
    trace["spike"] = np.array([r.spikes[0] for r in results])
    trace["cycles"] = np.array([r.cycles[0] for r in results])
    trace["synapses"] = np.array([r.synaptic_operations[0] for r in results])
    trace["saturations"] = np.array([r.saturations[0] for r in results])
    return trace


def rtl_trace(
    simulator: CoreSimulator, image: CoreImage, stimulus: Stimulus, stall_seed: int | None
) -> Trace:
    """Run the RTL with the image that is loaded; words beyond the image's are left out."""
    run = run_rtl(simulator, stimulus, stall_seed, record=True)
    trace: Trace = {"spike": run.spikes} | {name: getattr(run, name) for name in COUNTED}
    for name in ("v", "i", "refractory", "acc", "y", "h", *LEARNED):
        if getattr(run, name) is not None:
            trace[name] = getattr(run, name)
    for name in synapse_variables(image):
        trace[name] = trace[name][:, : len(image.weights)]
    if run.random is not None:
        trace["random"] = run.random.astype(np.int64)
    return trace


def run_rtl(
    simulator: CoreSimulator, stimulus: Stimulus, stall_seed: int | None, *, record: bool = False
) -> CoreRun:
    """Run the RTL on; only a core that can learn is told when, and for what."""
    learning: dict[str, Any] = {}
    if simulator.spec.plastic:
        learning = {"learn": stimulus.learn, "rewards": stimulus.rewards}
    return simulator.run(stimulus.spikes, record=record, stall_seed=stall_seed, **learning)
