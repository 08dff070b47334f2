"""What is wrong with a core image: shapes, ranges and references that its spec does not allow."""

from typing import TYPE_CHECKING

import numpy as np

from spikewright.fixed import DECAY_ONE, signed_range
from spikewright.learning import LearningRule

if TYPE_CHECKING:
    from spikewright.image import CoreImage

__all__ = ["SHIFT_DECAYS", "image_faults"]

SHIFT_DECAYS = [0, DECAY_ONE, *(DECAY_ONE - (DECAY_ONE >> k) for k in range(1, 13))]
"""The factors of a spec with shift decay."""


def image_faults(image: "CoreImage") -> list[str]:
    """Everything about an image that its spec does not allow; only shapes, if those are wrong.

    Parameters
    ----------
    image : CoreImage
        Its arrays are of their dtypes.
    """
    if wrong := _wrong_shapes(image):
        return wrong
    rows = _wrong_rows(image)
    return [
        *_wrong_ranges(image),
        *rows,
        *_wrong_neurons(image),
        *_wrong_learning(image),
        *([] if rows else _wrong_plastic_words(image)),
        *image.manifest.faults(image.spec.axons, image.spec.neurons),
    ]


def _wrong_shapes(image: "CoreImage") -> list[str]:
    spec = image.spec
    words = len(image.weights) if image.weights.ndim else 0
    wanted: dict[str, tuple[int, ...]] = dict.fromkeys(image.arrays, (spec.neurons,))
    wanted |= dict.fromkeys(("first_word", "word_count", "first_group"), (spec.sources,))
    words_of = {"weights", "delays", "plastic", "eligibility"} & wanted.keys()
    wanted |= dict.fromkeys(words_of, (words, spec.lanes))
    levels_of = {"level_groups", "level_winners"} & wanted.keys()
    wanted |= dict.fromkeys(levels_of, (image.level_groups.size,))
    if spec.sparse:
        wanted["word_group"] = (words,)
    if spec.plastic:
        wanted["opposite"] = (spec.sources,)
    reasons = [
        f"{name} must have shape {shape}, not {image.arrays[name].shape}"
        for name, shape in wanted.items()
        if image.arrays[name].shape != shape
    ]
    if words > spec.weight_words:
        reasons.append(f"weights must fit {spec.weight_words} weight words, not {words}")
    return reasons


def _wrong_ranges(image: "CoreImage") -> list[str]:
    spec = image.spec
    reasons = []

    def limit(name: str, low: int, high: int) -> None:
        array = image.arrays[name]
        if array.size and (array.min() < low or array.max() > high):
            reasons.append(f"{name} must be in [{low}, {high}], not {array.min()} to {array.max()}")

    limit("weights", *signed_range(spec.weight_bits))
    limit("delays", 0, spec.delay_slots - 1)
    limit("a_mem", 0, DECAY_ONE)
    limit("a_syn", 0, DECAY_ONE if spec.synapse_current else 0)
    for name in ("bias", "v_threshold", "reset"):
        limit(name, *signed_range(spec.state_bits))
    limit("reset_to", 0, 1)
    limit("refractory", 0, (1 << spec.refractory_bits) - 1)
    if spec.sparse:
        limit("first_group", 0, 0)
        limit("word_group", 0, spec.groups - 1)
    if spec.plastic:
        limit("plastic", 0, 1)
        limit("opposite", 0, 1)
    if spec.reward:
        limit("eligibility", *signed_range(spec.eligibility_bits))
    if spec.adaptive_threshold:
        limit("h", 0, (1 << (spec.state_bits - 1)) - 1)
        limit("h_step", 0, (1 << (spec.state_bits - 1)) - 1)
    if spec.winners:
        limit("level_winners", 0, spec.winners)
    limit("level_groups", 1, spec.groups)
    if not 1 <= image.groups_used <= spec.groups:
        reasons.append(f"level_groups must add up to [1, {spec.groups}], not {image.groups_used}")
    return reasons


def _wrong_rows(image: "CoreImage") -> list[str]:
    reasons = []
    count = image.word_count.astype(np.int64)
    limits = [("first_word", len(image.weights), "words")]
    if not image.spec.sparse:
        limits.append(("first_group", image.groups_used, "groups"))
    for name, size, what in limits:
        end = np.where(count > 0, image.arrays[name].astype(np.int64) + count, 0)
        if end.max() > size:
            reasons.append(
                f"row of source {int(end.argmax())} must end within {size} {what}, not {end.max()}"
            )
    if image.spec.sparse and not reasons:
        reasons += _wrong_groups(image)
    if image.spec.paired_rows:
        places = np.arange(image.spec.sources) * image.spec.row_stride + image.first_group
        wrong = (count > 0) & (image.first_word != places)
        if wrong.any():
            j = int(wrong.argmax())
            reasons.append(
                f"row of source {j} must begin at word {places[j]}, which is its place with "
                f"paired_rows, not at {image.first_word[j]}"
            )
    return reasons


def _wrong_groups(image: "CoreImage") -> list[str]:
    """Words for groups that are never updated; sums that a sparse image's accumulators overflow."""
    spec = image.spec
    source, word, group = image.row_words(np.arange(spec.sources))
    unused = group >= image.groups_used
    if unused.any():
        k = int(unused.argmax())
        return [
            f"word {word[k]}, in the row of source {source[k]}, must be for one of "
            f"{image.groups_used} groups, not for group {group[k]}"
        ]
    low, high = signed_range(spec.acc_bits)
    for lane in range(spec.lanes):
        weights = image.weights[word, lane]
        least = np.bincount(group, np.minimum(weights, 0), spec.groups)
        most = np.bincount(group, np.maximum(weights, 0), spec.groups)
        wrong = (least < low) | (most > high)
        if wrong.any():
            g = int(wrong.argmax())
            return [
                f"synapses into neuron {g * spec.lanes + lane} must add up to [{low}, {high}] "
                f"whichever of them deliver, not {least[g]:.0f} to {most[g]:.0f}"
            ]
    return []


def _wrong_neurons(image: "CoreImage") -> list[str]:
    reasons = []
    state_low, _ = signed_range(image.spec.state_bits)
    # A subtract reset must not leave the state's range from any v above the threshold.
    lowest = np.maximum(image.v_threshold.astype(np.int64) + 1, state_low) - image.reset
    wrong = (image.reset_to == 0) & ((image.reset < 0) | (lowest < state_low))
    if wrong.any():
        n = int(wrong.argmax())
        reasons.append(
            f"reset of neuron {n} must be in [0, v_threshold + 1 - ({state_low})] "
            f"to be subtracted, not {image.reset[n]}"
        )
    if image.spec.decay == "shift":
        reasons += [
            f"{name} must be 0, 4096 or 4096 - 4096 / 2**k for a spec with shift decay"
            for name in ("a_mem", "a_syn")
            if not np.isin(image.arrays[name], SHIFT_DECAYS).all()
        ]
    return reasons


def _wrong_learning(image: "CoreImage") -> list[str]:
    """A rule the spec lacks, bounds without the weights."""
    spec, rule = image.spec, image.rule
    if rule is None:
        return []
    if not isinstance(rule, LearningRule):
        return [f"rule must be a LearningRule, not {rule!r:.40}"]
    reasons = rule.faults(spec)
    if reasons or image.plastic is None:
        return reasons
    outside = (image.plastic != 0) & ((image.weights < rule.w_min) | (image.weights > rule.w_max))
    if outside.any():
        word, lane = np.argwhere(outside)[0]
        reasons.append(
            f"plastic weights must be in [{rule.w_min}, {rule.w_max}], the rule's bounds, "
            f"not {image.weights[word, lane]} as in word {word}, lane {lane}"
        )
    if spec.decay == "shift":
        reasons += [
            f"rule.{name} must be 0, 4096 or 4096 - 4096 / 2**k for a spec with shift decay"
            for name in ("a_pre", "a_post", "a_eligibility", "a_h")
            if getattr(rule, name) not in SHIFT_DECAYS
        ]
    return reasons


def _wrong_plastic_words(image: "CoreImage") -> list[str]:
    """Words that two rows share, one of which learns; with paired rows, that none has."""
    if image.plastic is None:
        return []
    reasons = []
    _, word, _ = image.row_words(np.flatnonzero(image.learns))
    _, every, _ = image.row_words(np.arange(image.spec.sources))
    readers = np.bincount(every, minlength=len(image.weights))
    shared = word[readers[word] > 1]
    if shared.size:
        reasons.append(f"rows with plastic synapses must not share words, as word {shared[0]}")
    # A learning pass of paired rows reaches all groups, whichever of them a row has words for.
    stray = image.plastic.any(axis=1) & (readers == 0)
    if image.spec.paired_rows and stray.any():
        reasons.append(
            f"plastic synapses must be in rows with paired_rows, as those of word {stray.argmax()} "
            "are not"
        )
    return reasons
