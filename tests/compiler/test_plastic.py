"""Images from matrices: the same weights come out, and the core delivers them."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from spikewright.compiler.plastic import axon_weights_of, neuron_weights_of, plastic_image
from spikewright.errors import ImageError
from spikewright.learning import LearningRule
from spikewright.sim.golden import GoldenModel
from spikewright.spec import CoreSpec

SPEC = CoreSpec(axons=6, neurons=16, lanes=4, plasticity="trace", adaptive_threshold=True)
RULE = LearningRule(w_min=-128, w_max=127)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sparse", [False, True])
def test_matrices_come_back(seed: int, sparse: bool) -> None:
    rng = np.random.default_rng(seed)
    spec = CoreSpec(axons=6, neurons=16, lanes=4, sparse=sparse)
    onto = rng.integers(-128, 128, (5, 14)) * (rng.random((5, 14)) < 0.2)
    among = rng.integers(-128, 128, (14, 14)) * (rng.random((14, 14)) < 0.1)
    image = plastic_image(spec, onto, among, axon_plastic=False, v_threshold=1)
    dense = np.zeros((22, 16), int)
    dense[:5, :14], dense[6:20, :14] = onto, among
    assert (axon_weights_of(image) == dense[:6]).all()
    assert (neuron_weights_of(image) == dense[6:]).all()


@pytest.mark.parametrize("seed", range(5))
def test_paired_rows_hold_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    packed = replace(SPEC, neurons=12)
    paired = replace(packed, paired_rows=True, weight_words=0)
    onto = rng.integers(-128, 128, (5, 9)) * (rng.random((5, 9)) < 0.2)
    among = rng.integers(-128, 128, (9, 9)) * (rng.random((9, 9)) < 0.1)
    plastic = rng.random((5, 9)) < 0.1
    one, other = (
        plastic_image(spec, onto, among, axon_plastic=plastic, rule=RULE, v_threshold=1)
        for spec in (packed, paired)
    )
    np.testing.assert_array_equal(axon_weights_of(other), axon_weights_of(one))
    np.testing.assert_array_equal(neuron_weights_of(other), neuron_weights_of(one))
    for image in (one, other):
        assert (axon_weights_of(image, image.plastic)[:5, :9] == plastic).all()
    held = np.flatnonzero(other.word_count)
    np.testing.assert_array_equal(other.first_word[held], 4 * held + other.first_group[held])


def test_a_plastic_synapse_is_there_though_its_weight_is_zero() -> None:
    plastic = np.zeros((3, 16), bool)
    plastic[1, [5, 13]] = True
    image = plastic_image(SPEC, np.zeros((3, 16), int), axon_plastic=plastic, rule=RULE)
    assert image.word_count.tolist() == [0, 3, *[0] * 20]
    assert image.first_group[1] == 1
    assert image.arrays["plastic"].nonzero()[0].tolist() == [0, 2]
    assert (axon_weights_of(image, image.arrays["plastic"])[:3] == plastic).all()


def test_neurons_that_are_not_used_never_spike() -> None:
    image = plastic_image(SPEC, np.ones((2, 5), int), rule=RULE, v_threshold=0, levels=[4, 1])
    assert image.level_groups.tolist() == [1, 1]
    spikes = GoldenModel(image).run(np.ones((1, 3, 2), bool)).spikes
    assert spikes[0].sum(axis=0).tolist() == [3] * 5 + [0] * 11


def test_parameters_reach_their_neurons() -> None:
    image = plastic_image(SPEC, np.ones((1, 3), int), rule=RULE, a_mem=7, h_step=[1, 2, 3])
    assert image.a_mem.tolist() == [7] * 3 + [0] * 13
    assert image.arrays["h_step"].tolist() == [1, 2, 3] + [0] * 13


def test_rows_and_levels_have_their_options() -> None:
    spec = CoreSpec(axons=2, neurons=8, lanes=4, plasticity="window", winners=3)
    opposite = np.arange(10) == 9
    image = plastic_image(
        spec, np.ones((2, 8), int), np.eye(8, dtype=int), rule=RULE, neuron_plastic=True,
        levels=[4, 4], winners=[3, 0], opposite=opposite,
    )  # fmt: skip
    assert image.arrays["level_winners"].tolist() == [3, 0]
    assert image.arrays["opposite"].tolist() == opposite.tolist()
    assert image.learns.all()


@pytest.mark.parametrize(("changes", "reason"), [
    ({"axon_weights": np.ones((7, 16), int)}, "axon_weights must be at most [6, 16], not [7, 16]"),
    ({"axon_weights": np.ones((2, 3))}, "axon_weights must be a matrix of integers, not float64"),
    ({"neuron_weights": np.ones((2, 2), int)}, "neuron_weights must be [16, 16]"),
    ({"levels": [8, 4]}, "levels must add up to 16 neurons, not 12"),
    ({"levels": [6, 10]}, "levels but the last must be multiples of 4 lanes, not 6"),
    ({"axon_plastic": np.ones(3, bool)}, "axon_plastic must be true, false or bools"),
    ({"a_men": 3}, "a_men is no parameter"),
    ({"a_mem": [1, 2]}, "a_mem must be one integer or one for each of 16 neurons"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(changes: dict[str, Any], reason: str) -> None:
    given: dict[str, Any] = {"axon_weights": np.ones((2, 16), int), "rule": RULE} | changes
    with pytest.raises(ImageError, match=re.escape(reason)):
        plastic_image(SPEC, **given)


def test_axons_and_levels_have_names() -> None:
    image = plastic_image(SPEC, np.ones((2, 5), int), rule=RULE, levels=[4, 1])
    assert [(p.name, p.first, p.count) for p in image.manifest.inputs] == [("axons", 0, 2)]
    levels = [(p.name, p.first, p.count) for p in image.manifest.populations]
    assert levels == [("level0", 0, 4), ("level1", 4, 1)]
    assert image.manifest.outputs == ("level1",)
    one = plastic_image(SPEC, np.ones((2, 5), int), rule=RULE).manifest
    assert [p.name for p in one.populations] == ["neurons"]
    assert one.outputs == ("neurons",)
