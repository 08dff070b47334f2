"""States of the random register many at a time: those that it has one after the other."""

import pytest

from spikewright.sim.plasticity import next_random, random_states


@pytest.mark.parametrize("seed", [1, 2, 0xDEADBEEF, 0xFFFFFFFF, 0])
@pytest.mark.parametrize("count", [0, 1, 1023, 1024, 1025, 2500])
def test_states_are_those_one_after_the_other(seed: int, count: int) -> None:
    expected, state = [], seed
    for _ in range(count):
        expected.append(state)
        state = next_random(state)
    assert random_states(seed, count).tolist() == expected
