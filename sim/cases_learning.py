"""Random learning for lockstep: specs that learn, rules, plastic synapses, when and for what."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from spikewright.faults import SHIFT_DECAYS
from spikewright.fixed import DECAY_ONE, signed_range
from spikewright.learning import LearningRule
from spikewright.spec import CoreSpec, Region

__all__ = ["draw_learn", "draw_learning", "draw_plastic_spec", "draw_rewards"]

Array = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_CORNERS = 0.5
_FEW_CORNERS = 0.1
"""Shares of a rule's numbers that are at their bounds."""
_MOST_WINDOW = 12
"""Windows are mostly no longer than this, so that they end while a case runs."""


def draw_plastic_spec(rng: np.random.Generator, spec: CoreSpec) -> CoreSpec:
    """The same with on-chip learning, and with rows that are not sparse."""
    trace_bits = int(rng.integers(2, 17))
    most = min(255, spec.neurons)
    winners = min(most, int(rng.geometric(0.3))) if rng.random() < 0.8 else most
    learning = replace(
        spec,
        sparse=False,
        plasticity="trace" if rng.random() < 0.6 else "window",
        trace_bits=trace_bits,
        trace_fraction_bits=int(rng.integers(min(15, trace_bits) + 1)),
        soft_bounds=bool(rng.random() < 0.4),
        reward=bool(rng.random() < 0.35),
        stochastic_rounding=bool(rng.random() < 0.5),
        adaptive_threshold=bool(rng.random() < 0.4),
        winners=winners if rng.random() < 0.4 else 0,
    )
    if learning.reward or learning.stochastic_rounding or rng.random() < 0.5:
        return learning
    return replace(learning, paired_rows=True, weight_words=0)


def draw_learning(
    rng: np.random.Generator,
    spec: CoreSpec,
    arrays: dict[str, Any],
    source: Array,
    word: Array,
    *,
    corners: bool,
) -> dict[str, Any]:
    """What an image of a spec that learns has beyond others, as :class:`CoreImage` names it.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the choices come from.
    spec : CoreSpec
    arrays : dict
        The image's other arrays.
    source, word : int64[n]
        Every word that the rows read, and the source of the row.
    corners : bool
        Half of the numbers, not only a few, are at their bounds.
    """
    plastic = _plastic(rng, spec, source, word, arrays["weights"].shape)
    opposite = rng.random(spec.sources) < rng.choice([0.0, 0.3])
    rule = _rule(rng, spec, arrays["weights"][plastic > 0], corners=corners)
    learned = {"plastic": plastic, "opposite": opposite.astype(np.int64), "rule": rule}
    if spec.reward:
        low, high = signed_range(spec.eligibility_bits)
        drawn = rng.integers(low, high + 1, plastic.shape)
        drawn = np.where(rng.random(plastic.shape) < 0.2, rng.choice([low, high]), drawn)
        # A synapse that is not plastic has an eligibility that nothing asks for.
        kept = (plastic > 0) | (rng.random(plastic.shape) < 0.1)
        learned["eligibility"] = np.where(kept & (rng.random() < 0.4), drawn, 0)
    if spec.adaptive_threshold:
        most = (1 << (spec.state_bits - 1)) - 1
        scale = np.minimum(np.abs(arrays["v_threshold"]), most)
        for name, share in (("h", rng.choice([0.0, 0.2])), ("h_step", 0.2)):
            drawn = np.rint(scale * share * rng.random(spec.neurons)).astype(np.int64)
            corner = rng.random(spec.neurons) < (0.1 if corners else 0.01)
            learned[name] = np.where(corner, rng.choice([0, most], spec.neurons), drawn)
    if spec.winners:
        levels = arrays["level_groups"].shape
        learned["level_winners"] = np.where(
            rng.random(levels) < 0.3, 0, rng.integers(1, spec.winners + 1, levels)
        )
    return learned


def draw_learn(rng: np.random.Generator, shape: tuple[int, int]) -> Bools:
    """When a core learns, ``bool[samples, timesteps]``: mostly, with switches now and then."""
    rate = rng.choice([0.0, 0.03, 0.3], (shape[0], 1), p=[0.5, 0.4, 0.1])
    is_off = (rng.random((shape[0], 1)) < 0.2) & (rate > 0)
    learn: Bools = (np.cumsum(rng.random(shape) < rate, axis=1) + is_off) % 2 == 0
    return learn


def draw_rewards(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Rewards, ``int64[samples, timesteps]``: of all sizes, their bounds, and mostly none."""
    rewards = rng.integers(-128, 128, shape)
    rewards = np.where(rng.random(shape) < 0.1, rng.choice([-128, 127, 64, -1, 1], shape), rewards)
    given = rng.random(shape) < rng.choice([0.1, 0.5, 1.0])
    return np.asarray(given * rewards, np.int64)


def _plastic(
    rng: np.random.Generator, spec: CoreSpec, source: Array, word: Array, shape: tuple[int, int]
) -> Array:
    """Plastic synapses, all of them in rows that have their words for themselves."""
    readers = np.bincount(word, minlength=shape[0])
    learns = rng.random(spec.sources) < rng.choice([0.5, 0.9, 1.0])
    learns[source[readers[word] > 1]] = False
    there = np.zeros(shape[0], np.bool_)
    there[word] = learns[source]
    some = rng.random(shape) < rng.choice([0.1, 0.8, 1.0], p=[0.2, 0.3, 0.5])
    return np.asarray(there[:, None] & some, np.int64)


def _rule(
    rng: np.random.Generator, spec: CoreSpec, weights: Array, *, corners: bool
) -> LearningRule:
    """A rule with the fields that the spec has; its bounds contain the plastic weights."""
    layout = {field.name: field for field in spec.memories[Region.RULE].layout.fields}
    low, high = signed_range(spec.weight_bits)
    least, most = (int(weights.min()), int(weights.max())) if weights.size else (low, high)
    values: dict[str, Any] = {}
    for name, field in layout.items():
        top = (1 << field.width) - 1
        corner = rng.random() < (_CORNERS if corners else _FEW_CORNERS)
        if name == "w_min":
            values[name] = _pick(rng, low, low, least, int(rng.integers(low, least + 1)))
        elif name == "w_max":
            values[name] = _pick(rng, high, high, most, int(rng.integers(most, high + 1)))
        elif field.width == 1:
            odds = 0.2 if name in ("pre_raises", "post_lowers") else 0.5
            values[name] = bool(rng.random() < odds)
        elif name.startswith("a_"):
            values[name] = _pick(rng, 0, DECAY_ONE) if corner else _decay(rng, spec)
        elif corner:
            values[name] = _pick(rng, 0, top)
        elif spec.plasticity == "window" and name.endswith("_step"):
            values[name] = int(rng.integers(1, min(top, _MOST_WINDOW) + 1))
        else:
            # A quarter of a weight unit or more: less is rounded to nothing.
            least_bits = max(0, spec.trace_fraction_bits - 2)
            values[name] = min(top, int(2 ** rng.uniform(least_bits, field.width)))
    if spec.stochastic_rounding:
        values["seed"] = _pick(rng, 1, (1 << 32) - 1, int(rng.integers(1, 1 << 32)))
    return LearningRule(**values)


def _pick(rng: np.random.Generator, *values: int) -> int:
    return values[int(rng.integers(len(values)))]


def _decay(rng: np.random.Generator, spec: CoreSpec) -> int:
    """One factor, mostly slow enough for a trace to live for some timesteps."""
    if spec.decay == "shift":
        return _pick(rng, *SHIFT_DECAYS)
    return int(rng.integers(0 if rng.random() < 0.2 else DECAY_ONE // 2, DECAY_ONE + 1))
