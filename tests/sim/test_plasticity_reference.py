"""Golden model that learns against a scalar reference, on random networks of every kind."""

import numpy as np
import pytest
from learning_reference import LearningReference

from spikewright.sim.cases import Case, draw_case, draw_spec
from spikewright.sim.golden import GoldenModel, StepResult

SEEDS = range(150)


def small_case(seed: int) -> Case:
    spec = draw_spec(np.random.default_rng((seed, 97)), most=32, most_words=256, plastic=True)
    return draw_case((seed, 97), spec=spec, timesteps=25, samples=2)


def compare(model: GoldenModel, reference: LearningReference, where: str) -> None:
    learns, learner = reference.learns, model.plasticity
    assert learner is not None
    for (word, lane), (weight, eligibility) in reference.learned().items():
        assert learner.weights[word, lane] == weight, f"{word}, {lane}, {where}"
        assert learner.eligibility[word, lane] == eligibility, f"{word}, {lane}, {where}"
    assert learner.x.tolist() == [x if y else 0 for x, y in zip(reference.x, learns, strict=True)]
    assert learner.listed == reference.listed, where
    assert learner.random == reference.random, where
    for name in ("v", "i", "refractory", "y", "h", "acc"):
        assert getattr(model, name)[0].tolist() == getattr(reference, name), f"{name} {where}"


def compare_step(result: StepResult, spikes: list[int], cycles: int, where: str) -> None:
    assert np.flatnonzero(result.spikes[0]).tolist() == spikes, where
    assert result.cycles[0] == cycles, where


@pytest.mark.parametrize("seed", SEEDS)
def test_equals_the_scalar_reference(seed: int) -> None:
    case = small_case(seed)
    assert case.learn is not None
    model, reference = GoldenModel(case.image), LearningReference(case.image)
    fixed = ~np.isin(np.arange(len(case.image.weights)), [w for w, _ in reference.learned()])
    for sample, stimulus in enumerate(case.spikes):
        model.clear()
        reference.clear()
        for t, axons in enumerate(stimulus):
            learn = bool(case.learn[sample, t])
            reward = 0 if case.rewards is None else int(case.rewards[sample, t])
            result = model.step(axons[None], learn=learn, reward=reward)
            spikes, cycles = reference.step(np.flatnonzero(axons).tolist(), learn, reward)
            where = f"sample {sample}, timestep {t} of\n{case}\n{case.image.rule}"
            compare_step(result, spikes, cycles, where)
            compare(model, reference, where)
    learned = model.learned_image()
    assert np.array_equal(learned.weights[fixed], case.image.weights[fixed])
