import numpy as np
import pytest

from spikewright.fixed import DECAY_ONE, signed_range
from spikewright.sim.cases import draw_case, draw_spec

CASES = [draw_case(seed, timesteps=20) for seed in range(300)]
"""Building an image checks it, so all of these are valid."""


def test_seed_decides() -> None:
    first, again, other = draw_case(7), draw_case(7), draw_case(8)
    assert first.recipe == again.recipe
    assert first.image.id == again.image.id
    assert np.array_equal(first.spikes, again.spikes)
    assert first.image.id != other.image.id


def test_given_spec_is_kept() -> None:
    spec = draw_spec(np.random.default_rng(3))
    case = draw_case(11, spec=spec, timesteps=9, samples=2)
    assert case.image.spec == spec
    assert case.spikes.shape == (2, 9, spec.axons)


def test_specs_vary() -> None:
    specs = [case.image.spec for case in CASES]
    assert {spec.lanes for spec in specs} == {1, 2, 4, 8, 16, 32}
    assert {spec.state_bits for spec in specs} == set(range(12, 25))
    assert {spec.weight_bits for spec in specs} == set(range(2, 17))
    assert {spec.delay_slots for spec in specs} == {1, 2, 4, 8, 16, 32, 64}
    assert {spec.refractory_bits for spec in specs} == set(range(9))
    assert {(spec.synapse_current, spec.decay) for spec in specs} == {
        (current, decay) for current in (False, True) for decay in ("multiply", "shift")
    }
    assert {(spec.sparse, spec.delay_slots > 1) for spec in specs} == {
        (sparse, delays) for sparse in (False, True) for delays in (False, True)
    }
    assert min(spec.axons for spec in specs) == 1
    assert min(spec.neurons for spec in specs) == 1
    assert max(spec.axons for spec in specs) > 200
    assert max(spec.neurons for spec in specs) > 200


def test_sparse_corners_occur() -> None:
    backward = repeated = follows = longer = beyond = 0
    for case in CASES:
        image = case.image
        if not image.spec.sparse:
            continue
        row, word, group = image.row_words(np.arange(image.spec.sources))
        together = row[1:] == row[:-1]
        backward += bool((together & (group[1:] < group[:-1])).any())
        follows += bool((together & (group[1:] == group[:-1])).any())
        repeated += len(set(zip(row, group, strict=True))) < len(row)
        longer += bool((image.word_count > image.groups_used).any())
        beyond += len(set(word)) < len(image.weights)
    assert min(backward, repeated, follows, longer) > 20
    assert beyond > 0


def test_corners_occur() -> None:
    rows_without_words = rows_to_the_end = shared = lowest_sum = unused_groups = 0
    for case in CASES:
        image, spec = case.image, case.image.spec
        count = image.word_count.astype(int)
        _, _, group = image.row_words(np.arange(spec.sources))
        rows_without_words += bool((count == 0).any() and count.any())
        rows_to_the_end += bool((group == image.groups_used - 1).any())
        shared += int(count.sum()) > len(image.weights)
        lowest = signed_range(spec.weight_bits)[0]
        lowest_sum += bool(image.weights.size and (image.weights == lowest).all())
        unused_groups += image.groups_used < spec.groups
    assert min(rows_without_words, rows_to_the_end, shared, unused_groups) > 30
    assert lowest_sum > 5


@pytest.mark.parametrize("name", ["v_threshold", "bias", "reset"])
def test_state_parameters_reach_their_bounds(name: str) -> None:
    low = sum(
        bool((getattr(c.image, name) == signed_range(c.image.spec.state_bits)[0]).any())
        for c in CASES
    )
    high = sum(
        bool((getattr(c.image, name) == signed_range(c.image.spec.state_bits)[1]).any())
        for c in CASES
    )
    assert low > 30
    assert high > 30


def test_decays_reach_their_bounds() -> None:
    for name in ("a_mem", "a_syn"):
        assert sum(bool((getattr(c.image, name) == DECAY_ONE).any()) for c in CASES) > 30
        assert sum(bool((getattr(c.image, name) == 0).any()) for c in CASES) > 30
