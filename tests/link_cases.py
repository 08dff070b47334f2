"""Networks for the link's fault campaign, and what the golden model makes of them."""

from dataclasses import dataclass, field, fields
from functools import cache

import numpy as np
import numpy.typing as npt

from spikewright.compiler.plastic import plastic_image
from spikewright.image import CoreImage
from spikewright.learning import LearningRule
from spikewright.sim import cases
from spikewright.sim.golden import GoldenModel, GoldenRun, GoldenTarget
from spikewright.spec import CoreSpec

PLAIN = CoreSpec(axons=12, neurons=8, lanes=4, delay_slots=2)
PLASTIC = CoreSpec(
    axons=8,
    neurons=8,
    lanes=4,
    plasticity="trace",
    reward=True,
    stochastic_rounding=True,
    adaptive_threshold=True,
)
BULK = CoreSpec(axons=32, neurons=32, lanes=1)
"""Simulated fast, and with long runs: for faults that are rare."""
TIMESTEPS = 8
BULK_TIMESTEPS = 100
SAMPLES = 3


@dataclass(frozen=True)
class Expected:
    """An image, samples for it, and what the golden model makes of them.

    Attributes
    ----------
    learned : tuple
        Learning: image ids after sample k and timestep n of the lesson, by ``(k, n)``.
    """

    image: CoreImage
    spikes: npt.NDArray[np.bool_]
    rewards: npt.NDArray[np.int64] | None
    results: GoldenRun
    learned: dict[tuple[int, int], str] = field(default_factory=dict)


@cache
def draw_case(learns: bool, seed: int) -> Expected:
    """A random network, and what comes of it."""
    return plastic(seed) if learns else plain(seed)


def plain(seed: int, spec: CoreSpec = PLAIN, timesteps: int = TIMESTEPS) -> Expected:
    """One that does not learn."""
    case = cases.draw_case(seed, spec=spec, timesteps=timesteps, samples=SAMPLES)
    model = GoldenModel(case.image, samples=SAMPLES)
    return Expected(case.image, case.spikes, None, model.run(case.spikes, record_v=True))


@cache
def bulk() -> Expected:
    """One with long runs."""
    return plain(0, BULK, BULK_TIMESTEPS)


def plastic(seed: int) -> Expected:
    """One in which every synapse learns."""
    rng = np.random.default_rng(seed)
    image = plastic_image(
        PLASTIC,
        rng.integers(0, 60, (8, 8)),
        rng.integers(-20, 20, (8, 8)),
        neuron_plastic=True,
        rule=LearningRule(
            pre_step=200, post_step=300, w_min=-60, w_max=90, a_pre=3600, a_post=3500,
            a_eligibility=3900, stochastic=True, seed=77, a_h=4000,
        ),
        a_mem=3700,
        v_threshold=40 << PLASTIC.fraction_bits,
        reset_to=1,
        h_step=9,
    )  # fmt: skip
    spikes = rng.random((SAMPLES, TIMESTEPS, 8)) < 0.3
    rewards = np.repeat(rng.integers(-128, 128, (SAMPLES, TIMESTEPS // 4)), 4, axis=1)
    learned = {}
    target = GoldenTarget()
    target.load(image)
    for k in range(SAMPLES):
        before = target.learned_image()
        for n in range(TIMESTEPS + 1):
            target.load(before)
            target.run(spikes[k : k + 1, :n], learn=True, rewards=rewards[k : k + 1, :n])
            learned[k, n] = target.learned_image().id
    assert len(set(learned.values())) > 2 * TIMESTEPS
    return Expected(image, spikes, rewards, lessons(image, spikes, rewards), learned)


def lessons(
    image: CoreImage, spikes: npt.NDArray[np.bool_], rewards: npt.NDArray[np.int64]
) -> GoldenRun:
    """Learn from one sample after the other, each from a cleared state."""
    model = GoldenModel(image)
    runs = []
    for given, rewarded in zip(spikes, rewards, strict=True):
        model.clear(1)
        runs.append(model.run(given[None], record_v=True, learn=True, rewards=rewarded))
    return GoldenRun(
        *(np.concatenate([getattr(run, part.name) for run in runs]) for part in fields(GoldenRun))
    )
