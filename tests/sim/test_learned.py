"""Random networks: learning switched off, cleared, learned images run on; the golden target."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from spikewright.errors import SpikewrightError
from spikewright.image import CoreImage
from spikewright.sim.cases import draw_case, draw_spec
from spikewright.sim.golden import GoldenModel, GoldenTarget
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


# The golden target


@pytest.mark.parametrize("seed", range(20))
def test_target_learns_sample_by_sample(seed: int) -> None:
    image, spikes, rewards = learning(seed)
    target, model = GoldenTarget(), GoldenModel(image)
    target.load(image)
    given = np.array([rewards, rewards[::-1]]) if image.spec.reward else None
    finished: list[int] = []
    result = target.run(spikes, learn=True, rewards=given, record_v=True, progress=finished.append)
    assert finished == [1, 1]
    for sample, stimulus in enumerate(spikes):
        model.clear()
        wanted = model.run(
            stimulus[None], True, learn=True, rewards=None if given is None else given[sample]
        )
        assert np.array_equal(result.spikes[sample], wanted.spikes[0])
        assert np.array_equal(result.total_cycles[sample], wanted.cycles.sum())
        assert wanted.v is not None
        assert result.v is not None
        assert np.array_equal(result.v[sample], wanted.v[0])
    assert target.learned_image().id == model.learned_image().id
    after = target.run(spikes)
    model.clear(2)
    assert np.array_equal(after.spikes, model.run(spikes).spikes)


def target_of(spec: CoreSpec) -> GoldenTarget:
    target = GoldenTarget()
    target.load(draw_case(1, spec=spec).image)
    return target


@pytest.mark.parametrize(
    ("spec", "rewards", "message"),
    [
        (CoreSpec(), None, "This core cannot learn: its spec has no plasticity."),
        (
            CoreSpec(plasticity="trace"),
            np.zeros((2, 5), int),
            "This core's rule takes no rewards: its spec has no reward.",
        ),
        (
            CoreSpec(plasticity="trace", reward=True),
            np.zeros((2, 4), int),
            "Rewards must be integers of shape (2, 5), not int64 of shape (2, 4).",
        ),
        (
            CoreSpec(plasticity="trace", reward=True),
            np.zeros((2, 5)),
            "Rewards must be integers of shape (2, 5), not float64 of shape (2, 5).",
        ),
        (
            CoreSpec(plasticity="trace", reward=True),
            np.full((2, 5), -129),
            "Rewards must be in [-128, 127], not -129 to -129.",
        ),
    ],
)
def test_target_refuses(spec: CoreSpec, rewards: Any, message: str) -> None:
    with pytest.raises(SpikewrightError) as error:
        target_of(spec).run(np.zeros((2, 5, 1), np.bool_), learn=True, rewards=rewards)
    assert error.value.what == message


def test_learned_image_of_a_target_that_has_none() -> None:
    with pytest.raises(SpikewrightError, match=r"^No image is loaded\."):
        GoldenTarget().learned_image()
    with pytest.raises(SpikewrightError, match=r"^This core cannot learn: its spec has no"):
        target_of(CoreSpec()).learned_image()
