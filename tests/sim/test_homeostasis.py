"""Adaptive thresholds and winners, by hand; neurons without synapses."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from spikewright.fixed import DECAY_ONE
from spikewright.image import CoreImage
from spikewright.learning import LearningRule
from spikewright.sim.golden import GoldenModel
from spikewright.spec import CoreSpec

HALF = DECAY_ONE // 2


def neurons(bias: Sequence[int], rule: LearningRule | None = None, **changes: Any) -> CoreImage:
    """Neurons without synapses whose v is their bias, above the threshold 100 each."""
    count = len(bias)
    spec_fields = {name: changes.pop(name) for name in CoreSpec.__annotations__ & changes.keys()}
    spec = CoreSpec(axons=1, neurons=count, lanes=1, plasticity="trace", **spec_fields)
    arrays: dict[str, Any] = {
        "weights": np.zeros((0, 1), int),
        "delays": np.zeros((0, 1), int),
        "level_groups": [count],
        "bias": bias,
        "v_threshold": [100] * count,
        "reset_to": [1] * count,
    }
    for name in ("first_word", "word_count", "first_group"):
        arrays[name] = [0] * (1 + count)
    for name in ("a_mem", "a_syn", "reset", "refractory"):
        arrays[name] = [0] * count
    fields: dict[str, Any] = {name: np.array(v) for name, v in (arrays | changes).items()}
    return CoreImage(spec=spec, rule=rule, **fields)


def quiet(timesteps: int) -> npt.NDArray[np.bool_]:
    return np.zeros((1, timesteps, 1), np.bool_)


def test_adaptive_threshold() -> None:
    image = neurons([105], adaptive_threshold=True, h_step=[10], rule=LearningRule(a_h=HALF), h=[0])
    model = GoldenModel(image)
    seen = []
    for _ in range(5):
        result = model.step(quiet(1)[:, 0], learn=True)
        seen.append((bool(result.spikes[0, 0]), int(model.h[0, 0])))
    # 105 > 100 + h strictly, with h before this timestep's change
    assert seen == [(True, 10), (False, 5), (False, 2), (True, 11), (False, 5)]
    assert not model.run(quiet(3)).spikes.any()
    assert model.h[0, 0] == 5
    model.clear(2)
    assert model.h.tolist() == [[5], [5]]


def test_threshold_offset_saturates() -> None:
    most = (1 << 19) - 1
    image = neurons([1 << 18], adaptive_threshold=True, h_step=[most], h=[most])
    model = GoldenModel(image)
    model.h[:] = 0
    assert model.run(quiet(1), learn=True).spikes.all()
    model.h[:] = 10
    model.run(quiet(1), learn=True)
    assert model.h[0, 0] == most


@pytest.mark.parametrize(
    ("winners", "bias", "spikes", "v"),
    [
        (0, [105, 109, 109, 107], [0, 1, 2, 3], [0, 0, 0, 0]),
        (1, [105, 109, 109, 107], [1], [0, 0, 0, 0]),
        (2, [105, 109, 109, 107], [1, 2], [0, 0, 0, 0]),
        (3, [105, 109, 109, 90], [0, 1, 2], [0, 0, 0, 0]),
        (4, [105, 99, 109, -7], [0, 2], [0, 0, 0, 0]),
        (2, [99, 98, 100, -7], [], [99, 98, 100, -7]),
    ],
)
def test_winners(winners: int, bias: list[int], spikes: list[int], v: list[int]) -> None:
    """The furthest above their thresholds, of equal ones the first; all others start from 0."""
    model = GoldenModel(neurons(bias, winners=4, level_winners=[winners]))
    result = model.step(quiet(1)[:, 0])
    assert np.flatnonzero(result.spikes[0]).tolist() == spikes
    assert model.v[0].tolist() == v


def test_winners_by_their_offsets_level_by_level() -> None:
    image = neurons(
        [105, 109, 109, 107],
        winners=1,
        adaptive_threshold=True,
        h=[0, 5, 0, 0],
        level_groups=[2, 2],
        level_winners=[1, 1],
    )
    result = GoldenModel(image).step(quiet(1)[:, 0])
    assert np.flatnonzero(result.spikes[0]).tolist() == [0, 2]
    neither = neurons([105, 109, 90, 107], winners=1, level_groups=[2, 2], level_winners=[0, 1])
    result = GoldenModel(neither).step(quiet(1)[:, 0])
    assert np.flatnonzero(result.spikes[0]).tolist() == [0, 1, 3]
