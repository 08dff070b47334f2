import numpy as np
import pytest

from spikewright.fixed import DECAY_ONE, signed_range
from spikewright.image import CoreImage
from spikewright.learning import LearningRule
from spikewright.sim.cases import Case, draw_case, draw_spec
from spikewright.sim.golden import GoldenModel
from spikewright.spec import LEARNING_FIELDS


def learning_case(seed: int, *, timesteps: int = 30, samples: int = 1) -> Case:
    spec = draw_spec(np.random.default_rng((seed, 98)), most=64, plastic=True)
    return draw_case(seed, spec=spec, timesteps=timesteps, samples=samples)


CASES = [learning_case(seed) for seed in range(300)]
"""Building an image checks it, so all of these are valid."""


def rule_of(image: CoreImage) -> LearningRule:
    assert image.rule is not None
    return image.rule


def plastic_weights(image: CoreImage) -> np.ndarray:
    assert image.plastic is not None
    return image.weights[image.plastic > 0]


def test_seed_decides() -> None:
    number = next(k for k, case in enumerate(CASES) if case.image.spec.reward)
    first, again, other = (learning_case(seed, samples=3) for seed in (number, number, number + 1))
    assert first.image.id == again.image.id != other.image.id
    for values, same in ((first.learn, again.learn), (first.rewards, again.rewards)):
        assert values is not None
        assert same is not None
        assert values.shape == (3, 30)
        assert np.array_equal(values, same)


def test_specs_without_plasticity_are_what_they_were() -> None:
    plain = draw_spec(np.random.default_rng(3))
    learns = draw_spec(np.random.default_rng(3), plastic=True)
    assert not plain.plastic
    assert (plain.axons, plain.neurons, plain.lanes) == (learns.axons, learns.neurons, learns.lanes)
    case = draw_case(3, spec=plain)
    assert (case.learn, case.rewards, case.image.rule) == (None, None, None)


def test_specs_vary() -> None:
    specs = [case.image.spec for case in CASES]
    assert {spec.trace_bits for spec in specs} == set(range(2, 17))
    assert {spec.trace_fraction_bits for spec in specs} == set(range(16))
    assert {spec.lanes for spec in specs} == {1, 2, 4, 8, 16, 32}
    for rule in ("window", "trace"):
        of_rule = [spec for spec in specs if spec.plasticity == rule]
        for option in LEARNING_FIELDS[3:]:
            assert {getattr(spec, option) for spec in of_rule} == {False, True}
        assert {spec.delay_slots > 1 for spec in of_rule} == {False, True}
        assert {spec.decay for spec in of_rule} == {"multiply", "shift"}
        assert {0, 1} < {spec.winners for spec in of_rule}


@pytest.mark.parametrize("name", ["pre_step", "post_step", "pre_change", "post_change"])
def test_steps_and_changes_reach_their_bounds(name: str) -> None:
    pairs = [(getattr(rule_of(c.image), name), c.image.spec) for c in CASES]
    pairs = [(value, spec) for value, spec in pairs if name[-4:] == "step" or spec.soft_bounds]
    assert sum(value == 0 for value, _ in pairs) > 10
    tops = [(1 << spec.trace_bits) - 1 for _, spec in pairs]
    least = 10 if name.endswith("step") else 3
    assert sum(value == top for (value, _), top in zip(pairs, tops, strict=True)) > least


def test_bounds_reach_the_weights_and_the_ends() -> None:
    at_weights = at_ends = 0
    for case in CASES:
        weights, rule = plastic_weights(case.image), rule_of(case.image)
        low, high = signed_range(case.image.spec.weight_bits)
        at_ends += (rule.w_min, rule.w_max) == (low, high)
        if weights.size:
            assert rule.w_min <= weights.min() <= weights.max() <= rule.w_max
            at_weights += low < rule.w_min == weights.min()
            at_weights += weights.max() == rule.w_max < high
    assert min(at_weights, at_ends) > 30


@pytest.mark.parametrize("name", ["a_pre", "a_post", "a_eligibility"])
def test_decays_reach_their_bounds(name: str) -> None:
    values = [getattr(rule_of(c.image), name) for c in CASES]
    assert sum(value == DECAY_ONE for value in values) > 5
    assert sum(0 < value < DECAY_ONE for value in values) > 30


def test_flags_and_masks_vary() -> None:
    for name in ("nearest", "pre_raises", "post_lowers", "keep_sign", "soft", "stochastic"):
        assert sum(getattr(rule_of(c.image), name) for c in CASES) > 20
    all_plastic = some_plastic = opposite = 0
    for case in CASES:
        plastic = case.image.arrays["plastic"]
        all_plastic += bool(plastic[plastic.any(axis=1)].all() and plastic.any())
        some_plastic += bool(0 < plastic.sum() < plastic.size)
        opposite += bool((case.image.arrays["opposite"][case.image.learns] > 0).any())
    assert min(all_plastic, some_plastic, opposite) > 20


@pytest.mark.parametrize("name", ["eligibility", "h", "h_step", "level_winners"])
def test_what_was_learned_before_varies(name: str) -> None:
    arrays = [case.image.arrays[name] for case in CASES if name in case.image.arrays]
    assert sum(bool(array.any()) for array in arrays) > 20
    assert sum(not array.any() for array in arrays) > 2


def test_learning_is_mostly_on() -> None:
    learn = np.concatenate([case.learn for case in CASES if case.learn is not None])
    assert learn.mean() > 0.7
    assert learn.all(axis=1).sum() > 100
    assert (~learn[:, 0]).sum() > 10
    assert (~learn).any(axis=1).sum() > 50


def test_rewards_reach_their_bounds() -> None:
    rewards = np.concatenate([case.rewards for case in CASES if case.rewards is not None])
    assert (rewards.min(), rewards.max()) == (-128, 127)
    assert 0.2 < (rewards == 0).mean() < 0.8


def test_weights_change_both_ways() -> None:
    changed = up = down = 0
    for case in CASES:
        model = GoldenModel(case.image)
        assert case.learn is not None
        rewards = np.zeros(30, int) if case.rewards is None else case.rewards[0]
        for t, (learn, reward) in enumerate(zip(case.learn[0], rewards, strict=True)):
            model.step(case.spikes[:, t], learn=bool(learn), reward=int(reward))
        after = model.learned_image().weights.astype(int)
        changed += bool((after != case.image.weights).any())
        up += int((after > case.image.weights).sum())
        down += int((after < case.image.weights).sum())
    print(f"{changed} of {len(CASES)} networks learned: {up} weights up, {down} down")
    assert changed > len(CASES) / 2
    assert min(up, down) > 1000
