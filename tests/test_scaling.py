"""Synaptic scaling: sums, proportions, bounds, signs, and what must stay as it is."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from spikewright.compiler.plastic import axon_weights_of, neuron_weights_of, plastic_image
from spikewright.errors import SpikewrightError
from spikewright.image import CoreImage
from spikewright.learning import LearningRule
from spikewright.scaling import incoming_sums, scale_incoming
from spikewright.sim.cases import draw_case, draw_spec
from spikewright.spec import CoreSpec

SPEC = CoreSpec(axons=8, neurons=16, lanes=8, plasticity="trace")


def column(*weights: int, plastic: Any = True, **rule: Any) -> CoreImage:
    """One neuron, and an axon for each weight."""
    bounds: dict[str, Any] = {"w_min": -128, "w_max": 127, **rule}
    matrix = np.array(weights)[:, None]
    learns = np.broadcast_to(np.array(plastic), len(weights))[:, None]
    return plastic_image(SPEC, matrix, axon_plastic=learns, rule=LearningRule(**bounds))


def scaled(image: CoreImage, total: int) -> list[int]:
    """The weights that :func:`column` was given, after scaling."""
    after: list[int] = axon_weights_of(scale_incoming(image, total))[:, 0].tolist()
    return after


@pytest.mark.parametrize(
    ("weights", "total", "rule", "after"),
    [
        ((10, 20, 30), 120, {}, [20, 40, 60]),
        ((10, -20, 30), 30, {}, [5, -10, 15]),
        ((1, 1, 1), 5, {}, [2, 2, 1]),  # one factor does not meet 5: the first ones step
        ((3, 5, 7), 10, {}, [2, 3, 5]),  # 2, 3.33, 4.67
        ((10, 0, 30), 80, {}, [20, 0, 60]),
        ((0, 0, 0), 80, {}, [0, 0, 0]),
        ((90, 20, 10), 200, {"w_max": 100}, [100, 67, 33]),  # what one cannot take, others do
        ((-90, 20, 10), 200, {"w_min": -100}, [-100, 67, 33]),
        ((90, 20, 10), 400, {"w_max": 100}, [100, 100, 100]),  # out of reach
        ((90, 20, 10), 15, {"w_min": 10}, [10, 10, 10]),
        ((-100, 40, 2), 3, {}, [-2, 1, 0]),
        ((-100, -2, 1), 5, {"keep_sign": True}, [-4, -1, 0]),  # -1 is as near to 0 as it may get
        ((1, 2), 1 << 30, {}, [127, 127]),
        ((1, 2, 3), 6, {}, [1, 2, 3]),
    ],
)
def test_one_neuron(
    weights: tuple[int, ...], total: int, rule: dict[str, Any], after: list[int]
) -> None:
    assert scaled(column(*weights, **rule), total)[: len(weights)] == after


def test_synapses_that_do_not_learn_count_for_nothing() -> None:
    image = column(10, 50, 30, plastic=[True, False, True])
    assert incoming_sums(image)[0] == 40
    assert scaled(image, 80)[:3] == [20, 50, 60]


def test_recurrent_weights_count_too() -> None:
    image = plastic_image(
        SPEC, [[10, 4]], [[0, 20], [30, 2]], neuron_plastic=True, rule=LearningRule(w_max=127)
    )
    after = scale_incoming(image, 80)
    assert axon_weights_of(after)[0, :2].tolist() == [20, 12]
    assert neuron_weights_of(after)[:2, :2].tolist() == [[0, 62], [60, 6]]


SEEDS = range(60)


def drawn(seed: int) -> CoreImage:
    """A network of random shape, rule and weights."""
    rng = np.random.default_rng(seed)
    return draw_case(seed, spec=draw_spec(rng, most=48, plastic=True)).image


def synapses(image: CoreImage) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """All weights ``[sources, neurons]``, and which of them learn."""
    both = []
    for array in (None, image.arrays["plastic"]):
        both.append(
            np.concatenate([axon_weights_of(image, array), neuron_weights_of(image, array)])
        )
    return both[0], both[1] > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_random_networks(seed: int) -> None:
    image = drawn(seed)
    rule = image.rule
    assert rule is not None
    total = int(np.random.default_rng([seed, 1]).integers(1, 3000))
    after = scale_incoming(image, total)
    assert scale_incoming(after, total).id == after.id
    weights, plastic = synapses(image)
    found, _ = synapses(after)
    assert (found[~plastic] == weights[~plastic]).all()
    assert (found[weights == 0] == 0).all()
    assert (found * weights >= 0).all()
    if rule.keep_sign:
        assert ((found < 0) == (weights < 0)).all()
    for n in range(image.spec.neurons):
        alive = plastic[:, n] & (weights[:, n] != 0)
        before, sizes = np.abs(weights[alive, n]), np.abs(found[alive, n])
        side = np.where(weights[alive, n] < 0, -rule.w_min, rule.w_max)
        nearest = np.where(
            weights[alive, n] < 0, max(-rule.w_max, int(rule.keep_sign)), max(rule.w_min, 0)
        )
        assert ((nearest <= sizes) & (sizes <= side)).all()
        if not alive.any() or sizes.sum() != total:
            at_most, at_least = (sizes == side).all(), (sizes == nearest).all()
            assert at_most if sizes.sum() < total else at_least
            continue
        # One factor gives all of them: the ranges of those that round to each have one in common.
        free_low, free_high = sizes > nearest, sizes < side
        pairs = list(zip(sizes.tolist(), before.tolist(), strict=True))
        lows = [
            Fraction(2 * s - 1, 2 * b) for (s, b), free in zip(pairs, free_low, strict=True) if free
        ]
        highs = [
            Fraction(2 * s + 1, 2 * b)
            for (s, b), free in zip(pairs, free_high, strict=True)
            if free
        ]
        assert max(lows, default=Fraction(0)) - min(highs, default=Fraction(1 << 20)) < Fraction(
            1, 1 << 20
        )


def test_random_networks_are_scaled_up_and_down() -> None:
    """The test above has something to test."""
    up = down = 0
    for seed in SEEDS:
        image = drawn(seed)
        total = int(np.random.default_rng([seed, 1]).integers(1, 3000))
        sums, after = incoming_sums(image), incoming_sums(scale_incoming(image, total))
        up += int(((sums < total) & (after == total)).sum())
        down += int(((sums > total) & (after == total)).sum())
    print(f"{up} neurons scaled up, {down} down")
    assert min(up, down) > 50


def test_nothing_else_changes() -> None:
    image = drawn(3)
    after = scale_incoming(image, 500)
    assert (after.rule, after.manifest) == (image.rule, image.manifest)
    for name, array in image.arrays.items():
        assert np.array_equal(after.arrays[name], array) == (name != "weights"), name


def test_wide_weights_do_not_overflow() -> None:
    spec = replace(SPEC, weight_bits=16, state_bits=24)
    rule = LearningRule(w_min=-32768, w_max=32767)
    image = plastic_image(spec, [[32767], [-32768], [1]], rule=rule)
    after = axon_weights_of(scale_incoming(image, 40_000))[:3, 0].tolist()
    assert after == [19_999, -20_000, 1]


@pytest.mark.parametrize("total", [0, -1, 1 << 31, 2.0, True])
def test_wrong_sums(total: Any) -> None:
    with pytest.raises(SpikewrightError, match="must be an integer from 1 to 2147483647, not"):
        scale_incoming(column(1), total)


def test_a_core_that_cannot_learn_has_no_plastic_weights() -> None:
    spec = replace(SPEC, plasticity="none")
    image = plastic_image(spec, [[1]], axon_plastic=False)
    for action in (incoming_sums, lambda image: scale_incoming(image, 1)):
        with pytest.raises(SpikewrightError, match="This core cannot learn"):
            action(image)
