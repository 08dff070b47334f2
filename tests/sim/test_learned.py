"""Learning switched off, state cleared, learned images run on: random networks."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from spikewright.errors import SpikewrightError
from spikewright.image import CoreImage
from spikewright.sim.cases import draw_case, draw_spec
from spikewright.sim.golden import GoldenModel
from spikewright.spec import CoreSpec


def snapshot(model: GoldenModel) -> list[Any]:
    one = model.plasticity
    assert one is not None
    arrays = (one.weights, one.eligibility, one.x, model.y, model.h)
    return [*(array.tolist() for array in arrays), list(one.listed), one.random]


def learning(seed: int) -> tuple[CoreImage, npt.NDArray[np.bool_], list[int]]:
    spec = draw_spec(np.random.default_rng((seed, 96)), most=32, plastic=True)
    case = draw_case((seed, 96), spec=spec, timesteps=20, samples=2)
    rewards = np.zeros(20, int) if case.rewards is None else case.rewards[0]
    return case.image, case.spikes, rewards.tolist()


def run(model: GoldenModel, spikes: npt.NDArray[np.bool_], rewards: list[int]) -> list[Any]:
    seen: list[Any] = []
    for axons, reward in zip(spikes, rewards, strict=True):
        result = model.step(axons[None], learn=True, reward=reward)
        seen.append([*snapshot(model), result.spikes.tolist(), result.cycles.tolist()])
    return seen


@pytest.mark.parametrize("seed", range(30))
def test_learning_off_changes_nothing(seed: int) -> None:
    image, spikes, rewards = learning(seed)
    model = GoldenModel(image)
    run(model, spikes[0], rewards)
    before = snapshot(model)
    for axons in spikes[1]:
        model.step(axons[None], reward=64)
        assert snapshot(model) == before


@pytest.mark.parametrize("seed", range(30))
def test_clear_keeps_what_was_learned(seed: int) -> None:
    image, spikes, rewards = learning(seed)
    model = GoldenModel(image)
    run(model, spikes[0], rewards)
    weights, eligibility, _, _, h, _, random = snapshot(model)
    model.clear()
    x, y = [0] * image.spec.sources, [[0] * image.spec.neurons]
    assert snapshot(model) == [weights, eligibility, x, y, h, [], random]


@pytest.mark.parametrize("seed", range(60))
def test_learned_image_resumes_bit_for_bit(seed: int) -> None:
    image, spikes, rewards = learning(seed)
    model = GoldenModel(image)
    run(model, spikes[0], rewards)
    learned = CoreImage.from_bytes(model.learned_image().to_bytes())
    model.clear()
    resumed = GoldenModel(learned)
    assert run(resumed, spikes[1], rewards) == run(model, spikes[1], rewards)
    assert resumed.learned_image().id == model.learned_image().id


def test_learning_that_cannot_be() -> None:
    model = GoldenModel(learning(0)[0], samples=2)
    with pytest.raises(SpikewrightError, match=r"^Learning takes one sample at a time, not 2\."):
        model.step(np.zeros((2, 1), np.bool_), learn=True)
    plain = GoldenModel(draw_case(1, spec=CoreSpec()).image)
    with pytest.raises(SpikewrightError, match=r"^This core cannot learn: its spec has no"):
        plain.step(np.zeros((1, 1), np.bool_), learn=True)
    with pytest.raises(SpikewrightError, match=r"^This core cannot learn: its spec has no"):
        plain.learned_image()
