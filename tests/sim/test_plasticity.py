"""What single spikes do to single synapses, by hand from the learning rule's docstrings."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from spikewright.compiler.plastic import plastic_image
from spikewright.fixed import DECAY_ONE
from spikewright.image import CoreImage
from spikewright.learning import REWARD_ONE, LearningRule
from spikewright.sim.golden import GoldenModel
from spikewright.sim.plasticity import Plasticity, next_random
from spikewright.spec import CoreSpec

ONE = 64
"""The weight change 1.0, with 6 fraction bits."""
HALF = DECAY_ONE // 2
TRACE: dict[str, Any] = {"pre_step": 8 * ONE, "post_step": 16 * ONE, "a_pre": HALF, "a_post": HALF}
WINDOW: dict[str, Any] = {
    "pre_step": 3,
    "post_step": 3,
    "pre_change": 3 * ONE,
    "post_change": 5 * ONE,
}
DRIVERS = 4
"""Axons that together make the neuron spike, whatever the plastic weight is."""

Times = Sequence[int]


def one_synapse(weight: int = 0, kind: str = "trace", **changes: Any) -> CoreImage:
    """Axon 0 learns its weight into the one neuron, which spikes when axons 1 to 4 do.

    ``changes`` are fields of the spec, of the rule, or arrays of the image.
    """
    spec_fields = {name: changes.pop(name) for name in CoreSpec.__annotations__ & changes.keys()}
    sizes = {"axons": 1 + DRIVERS, "neurons": 1, "lanes": 1, "fraction_bits": 0}
    spec = CoreSpec.from_dict({**sizes, "plasticity": kind, **spec_fields})
    low, high = -(1 << (spec.weight_bits - 1)), (1 << (spec.weight_bits - 1)) - 1
    rule: dict[str, Any] = {"w_min": low, "w_max": high}
    rule |= TRACE if kind == "trace" else WINDOW
    rule |= {name: changes.pop(name) for name in LearningRule.__annotations__ & changes.keys()}
    arrays: dict[str, Any] = {
        "weights": [[weight], *[[high]] * DRIVERS],
        "delays": [[0]] * (1 + DRIVERS),
        "first_word": [*range(1 + DRIVERS), 0],
        "word_count": [*[1] * (1 + DRIVERS), 0],
        "first_group": [0] * (2 + DRIVERS),
        "level_groups": [1],
        "plastic": [[1], *[[0]] * DRIVERS],
        "a_mem": [0],
        "a_syn": [0],
        "bias": [0],
        "v_threshold": [5 * high // 2],
        "reset": [0],
        "reset_to": [1],
        "refractory": [0],
    }
    fields: dict[str, Any] = {name: np.array(v) for name, v in (arrays | changes).items()}
    return CoreImage(spec=spec, rule=LearningRule(**rule), **fields)


def learner(model: GoldenModel) -> Plasticity:
    assert model.plasticity is not None
    return model.plasticity


def spikes_at(pre: Times, post: Times, timesteps: int | None = None) -> npt.NDArray[np.bool_]:
    axons = np.zeros((timesteps or max([*pre, *post]) + 1, 1 + DRIVERS), np.bool_)
    axons[list(pre), 0] = True
    axons[list(post), 1:] = True
    return axons


def weights_after(
    image: CoreImage, pre: Times, post: Times, rewards: dict[int, int] | None = None
) -> list[int]:
    """The plastic weight after each timestep; checks that the neuron spikes as it should."""
    model, axons = GoldenModel(image), spikes_at(pre, post)
    weights = []
    for t, spikes in enumerate(axons):
        result = model.step(spikes[None], learn=True, reward=(rewards or {}).get(t, 0))
        assert result.spikes[0, 0] == (t in post)
        weights.append(int(learner(model).weights[0, 0]))
    assert (learner(model).weights[1:] == image.weights[1:]).all()
    return weights


def change(pre: Times, post: Times, **changes: Any) -> int:
    return weights_after(one_synapse(**changes), pre, post)[-1]


# Pairs


@pytest.mark.parametrize(
    ("lag", "wanted"), [(-3, -2), (-2, -4), (-1, -8), (0, 8), (1, 4), (2, 2), (3, 1)]
)
def test_pair_of_traces(lag: int, wanted: int) -> None:
    """``8 / 2**lag`` up if the neuron spikes with or after the axon, ``16 / 2**-lag`` down else."""
    assert change([3], [3 + lag]) == wanted


@pytest.mark.parametrize(
    ("lag", "wanted"), [(-3, 0), (-2, -3), (-1, -3), (0, 5), (1, 5), (2, 5), (3, 0)]
)
def test_pair_in_a_window(lag: int, wanted: int) -> None:
    """Windows of 3 timesteps: pairs at most 2 apart."""
    assert change([3], [3 + lag], kind="window") == wanted


@pytest.mark.parametrize(("steps", "wanted"), [(0, 0), (1, 5), (2, 5)])
def test_shortest_windows(steps: int, wanted: int) -> None:
    both = {"kind": "window", "pre_step": steps, "post_step": steps}
    assert change([3], [3], **both) == wanted
    assert change([3], [2], **both) == (-3 if steps == 2 else 0)
    assert change([3], [4], **both) == (5 if steps == 2 else 0)


def test_all_spikes_or_the_nearest() -> None:
    # At the post event, all-to-all: (8/2 + 8)/2; the nearest alone: 8/2.
    assert change([0, 1], [2]) == 6
    assert change([0, 1], [2], nearest=True) == 4
    # At the pre event, (16/2 + 16)/2 or 16/2; both post events find no pre trace.
    assert change([2], [0, 1]) == -12
    assert change([2], [0, 1], nearest=True) == -8


def test_traces_saturate() -> None:
    image = one_synapse(pre_step=4000, a_pre=DECAY_ONE, weight_bits=16)
    assert weights_after(image, [0, 1, 2], [3])[-1] == 64  # 4095 / 64, rounded, not 12000 / 64


def test_signs() -> None:
    assert change([0], [0], post_lowers=True) == -8
    assert change([1], [0], pre_raises=True) == 8
    for lag, wanted in ((0, -8), (-1, 8)):
        assert change([3], [3 + lag], opposite=[1, 0, 0, 0, 0, 0]) == wanted
    assert change([0], [0], post_lowers=True, opposite=[1, 0, 0, 0, 0, 0]) == 8


def test_depression_comes_before_potentiation() -> None:
    # Timestep 1: first -16/2 from the neuron's spike in 0, to the bound, then (8/2 + 8) up.
    assert weights_after(one_synapse(w_min=-2), [0, 1], [0, 1]) == [8, 12]
    assert weights_after(one_synapse(w_min=-2, pre_step=0), [1], [0, 1]) == [0, -2]
    assert weights_after(one_synapse(w_min=5, weight=6), [1], [0, 1]) == [6, 13]


# Bounds


def test_weights_saturate_and_never_wrap() -> None:
    assert change([0], [0], weight=127, pre_step=ONE) == 127
    assert change([1], [0], weight=-128, post_step=2 * ONE) == -128
    assert change([0], [0], weight=19, w_max=20) == 20
    assert change([1], [0], weight=-19, w_min=-20) == -20


def test_weights_go_to_the_bound_step_by_step() -> None:
    """NeuroCoreX jumps from -50 to -1."""
    image = one_synapse(-50, kind="window", w_min=-53, post_step=9, pre_change=ONE)
    assert weights_after(image, range(1, 7), [0]) == [-50, -51, -52, -53, -53, -53, -53]
    image = one_synapse(-50, kind="window", pre_step=9, post_change=ONE, w_max=-47)
    assert weights_after(image, [0], range(1, 6)) == [-50, -49, -48, -47, -47, -47]


@pytest.mark.parametrize(
    ("weight", "free", "kept"), [(3, -5, 0), (-3, -11, -11), (0, -8, 0), (-1, -9, -9)]
)
def test_sign_is_kept_downwards(weight: int, free: int, kept: int) -> None:
    assert change([1], [0], weight=weight) == free
    assert change([1], [0], weight=weight, keep_sign=True) == kept


@pytest.mark.parametrize(("weight", "free", "kept"), [(3, 11, 11), (-3, 5, -1), (0, 8, 8)])
def test_sign_is_kept_upwards(weight: int, free: int, kept: int) -> None:
    assert change([0], [0], weight=weight) == free
    assert change([0], [0], weight=weight, keep_sign=True) == kept


def test_soft_bounds() -> None:
    soft = {"soft_bounds": True, "soft": True, "pre_step": 16 * ONE, "post_step": 32 * ONE}
    assert change([0], [0], weight=27, **soft) == 27 + 6  # 16 * 100 / 256 = 6.25
    assert change([0], [0], weight=127, **soft) == 127
    assert change([1], [0], weight=-28, **soft) == -28 - 6
    assert change([1], [0], weight=-128, **soft) == -128
    assert change([0], [0], weight=27, w_max=51, **soft) == 27 + 2  # 16 * 24 / 256 = 1.5
    assert change([0], [0], weight=27, **{**soft, "soft": False}) == 27 + 16


def test_only_plastic_synapses_change() -> None:
    assert change([0], [0], plastic=[[0]] * 5) == 0


# Rounding


@pytest.mark.parametrize(
    ("size", "wanted"), [(0, 0), (31, 0), (32, 1), (33, 1), (95, 1), (96, 2), (4095, 64)]
)
def test_rounding_to_nearest(size: int, wanted: int) -> None:
    """Exact halves away from the old weight, either way."""
    both = {"kind": "window", "pre_change": size, "post_change": size}
    assert change([0], [0], **both) == wanted
    assert change([1], [0], **both) == -wanted
    assert change([0], [0], weight=-50, **both) == -50 + wanted


def test_no_fraction_bits() -> None:
    both = {"kind": "window", "trace_fraction_bits": 0, "post_change": 7}
    assert change([0], [0], **both) == 7
    assert change([0], [0], stochastic_rounding=True, stochastic=True, **both) == 7


def stochastic(size: int, seed: int) -> list[int]:
    """Weights while one constant change is made 2000 times."""
    image = one_synapse(
        kind="window",
        weight_bits=16,
        pre_step=4095,
        post_change=size,
        stochastic_rounding=True,
        stochastic=True,
        seed=seed,
    )
    return weights_after(image, [0], range(2000))


@pytest.mark.parametrize("size", [1, 16, 32, 61, 64, 80])
def test_stochastic_rounding_is_unbiased(size: int) -> None:
    steps = np.diff(stochastic(size, seed=12345), prepend=0)
    low, fraction = divmod(size, ONE)
    assert set(steps) <= {low, low + (fraction > 0)}
    sigma = np.sqrt(2000 * fraction / ONE * (1 - fraction / ONE))
    assert abs(steps.sum() - 2000 * size / ONE) <= 4 * sigma


def test_seed_decides() -> None:
    assert stochastic(32, seed=7) == stochastic(32, seed=7) != stochastic(32, seed=8)


def test_random_register() -> None:
    """The first states from 1 of the generator that G. Marsaglia gives, 13, 17, 5."""
    states = [1]
    for _ in range(3):
        states.append(next_random(states[-1]))
    assert states == [1, 270369, 67634689, 2647435461]


# Reward


@pytest.mark.parametrize(("reward", "wanted"), [(64, 4), (-128, -8), (0, 0), (8, 1), (7, 0)])
def test_reward_turns_eligibility_into_weight(reward: int, wanted: int) -> None:
    """16.0 in timestep 1, halved by then twice: 4.0 times the reward Q1.6."""
    image = one_synapse(
        kind="window", reward=True, post_change=16 * ONE, a_eligibility=HALF, weight=2
    )
    model = GoldenModel(image)
    seen = []
    for t, spikes in enumerate(spikes_at([0], [1], 5)):
        model.step(spikes[None], learn=True, reward=reward if t == 3 else 0)
        seen.append((int(learner(model).eligibility[0, 0]), int(learner(model).weights[0, 0])))
    assert seen == [(0, 2), (512, 2), (256, 2), (128, 2 + wanted), (64, 2 + wanted)]


def test_reward_in_the_same_timestep() -> None:
    image = one_synapse(reward=True, a_eligibility=0)
    assert weights_after(image, [0], [1], {1: REWARD_ONE}) == [0, 4]
    assert weights_after(image, [1], [0], {1: REWARD_ONE}) == [0, -8]
    assert weights_after(image, [1], [0], {1: -REWARD_ONE // 2}) == [0, 4]
    assert weights_after(image, [0], [1, 2], {2: REWARD_ONE}) == [0, 0, 2]


def test_eligibility_saturates_and_decays_to_zero() -> None:
    image = one_synapse(reward=True, pre_step=4095, a_pre=DECAY_ONE, a_eligibility=DECAY_ONE)
    model = GoldenModel(image)
    for spikes in spikes_at([0], range(4)):
        model.step(spikes[None], learn=True)
    assert learner(model).eligibility[0, 0] == 4095
    image = one_synapse(reward=True, a_eligibility=HALF)
    model = GoldenModel(image)
    for spikes in spikes_at([1], [0], 14):  # -8.0, rounded toward zero
        model.step(spikes[None], learn=True)
    assert learner(model).eligibility[0, 0] == 0
    assert learner(model).listed == []


# Order in a timestep


def test_row_delivers_what_it_was_before_its_event() -> None:
    model = GoldenModel(one_synapse(weight=50))
    axons = spikes_at([1, 2], [0])
    consumed = [int(model.step(axons[None, t], learn=True).consumed[0, 0]) for t in range(3)]
    assert consumed == [4 * 127, 50, 42]


def test_event_is_the_integration_whatever_the_delay() -> None:
    delays = [[2], [0], [0], [0], [0]]
    model = GoldenModel(one_synapse(weight=50, delay_slots=4, delays=delays))
    axons = spikes_at([0], [0], 4)
    results = [model.step(axons[None, t], learn=True) for t in range(4)]
    assert [int(r.consumed[0, 0]) for r in results] == [4 * 127, 0, 50, 0]
    assert learner(model).weights[0, 0] == 58


def test_recurrent_row_is_integrated_a_timestep_later() -> None:
    # The neuron's own row: its event finds y = 16/2. Then x = 8 meets no further spike.
    image = one_synapse(
        0,
        first_word=[0, 1, 2, 3, 4, 0],
        word_count=[0, 1, 1, 1, 1, 1],
    )
    assert weights_after(image, [], [0, 2]) == [0, -8, -4]


def test_feedforward_spike_counts_in_its_own_timestep() -> None:
    # Axon 0 makes neuron 0 spike, and that neuron 1 of the next level, all in one timestep.
    spec = CoreSpec(axons=1, neurons=2, lanes=1, fraction_bits=0, plasticity="trace")
    both = np.zeros(2, int)
    zeros: dict[str, Any] = dict.fromkeys(("a_mem", "a_syn", "bias", "reset", "refractory"), both)
    image = CoreImage(
        spec=spec,
        weights=np.array([[100], [100]]),
        delays=np.zeros((2, 1), int),
        first_word=np.array([0, 1, 0]),
        word_count=np.array([1, 1, 0]),
        first_group=np.array([0, 1, 0]),
        level_groups=np.array([1, 1]),
        plastic=np.array([[0], [1]]),
        rule=LearningRule(**TRACE, w_min=-128, w_max=127),
        v_threshold=both + 99,
        reset_to=both + 1,
        **zeros,
    )
    model = GoldenModel(image)
    assert model.step(np.ones((1, 1), np.bool_), learn=True).spikes.all()
    assert learner(model).weights.tolist() == [[100], [108]]


def test_learned_weights_count_when_learning_is_off() -> None:
    model = GoldenModel(one_synapse(weight=50))
    model.run(spikes_at([0], [0])[None], learn=True)
    result = model.step(spikes_at([0], [], 1))
    assert result.consumed[0, 0] == 58


@pytest.mark.parametrize(
    ("axons", "pairs"), [([0], 1), ([0, 1], 1), ([1, 2], 2), ([1, 3, 5], 3), ([2, 3, 4, 5], 2)]
)
@pytest.mark.parametrize(("bias", "most"), [(0, 1), (9, 3)])
def test_two_rows_of_a_pair_take_the_cycles_of_one(
    axons: list[int], pairs: int, bias: int, most: int
) -> None:
    # With the bias all neurons fire, three in each lane; without it none does.
    spikes = np.zeros((1, 6), np.bool_)
    spikes[0, axons] = True
    for paired_rows in (False, True):
        spec = CoreSpec(axons=6, neurons=6, lanes=2, plasticity="window", paired_rows=paired_rows)
        rule = LearningRule(pre_step=3, post_step=3, w_min=-1, w_max=1)
        image = plastic_image(
            spec, np.ones((6, 6), int), bias=bias << 6, v_threshold=8 << 6, rule=rule
        )
        on, off = (
            int(GoldenModel(image).step(spikes, learn=learn).cycles[0]) for learn in (True, False)
        )
        rows = pairs if paired_rows else len(axons)
        assert on - off == spec.learn_overhead + rows * most
