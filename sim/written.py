"""The image that stands in a device's memories: what a loader's records mean."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from spikewright.image import CoreImage
from spikewright.learning import LearningRule
from spikewright.spec import CoreSpec, Region

__all__ = ["written_image"]

Columns = Mapping[Region, Mapping[str, npt.NDArray[np.int64]]]


def written_image(spec: CoreSpec, memories: Mapping[Region, npt.NDArray[np.uint8]]) -> CoreImage:
    """Read an image from the records of every region; it has all the weight words of the spec.

    Parameters
    ----------
    spec : CoreSpec
    memories : mapping of Region to uint8[records, size]

    Raises
    ------
    ImageError
        The records are no image for the spec.
    """
    columns = {
        region: spec.memories[region].layout.unpack(records) for region, records in memories.items()
    }
    weights, levels = columns[Region.WEIGHTS], columns[Region.LEVELS]
    none = np.zeros(spec.weight_words, np.int64)
    end = int(np.argmax(levels["end"])) + 1
    ends = np.flatnonzero(levels["last"][:end]) + 1
    nothing = np.zeros(spec.neurons, np.int64)
    rows, neurons = columns[Region.DESCRIPTORS], columns[Region.NEURONS]
    return CoreImage(
        spec=spec,
        weights=_lanes(spec, weights, "weight"),
        delays=np.stack([weights.get(f"delay{k}", none) for k in range(spec.lanes)], axis=1),
        first_word=rows["first_word"],
        word_count=rows["word_count"],
        first_group=rows.get("first_group", np.zeros(spec.sources, np.int64)),
        word_group=weights.get("group"),
        level_groups=np.diff(ends, prepend=0),
        a_mem=neurons["a_mem"],
        a_syn=neurons.get("a_syn", nothing),
        bias=neurons["bias"],
        v_threshold=neurons["v_threshold"],
        reset=np.where(neurons["reset_to"], neurons["reset_by"], -neurons["reset_by"]),
        reset_to=neurons["reset_to"],
        refractory=neurons.get("refractory", nothing),
        **_options(spec, columns, ends),
    )


def _options(spec: CoreSpec, columns: Columns, ends: npt.NDArray[np.int64]) -> dict[str, Any]:
    """What the image of a spec with winners or plasticity has beyond others."""
    words, rows = columns[Region.WEIGHTS], columns[Region.DESCRIPTORS]
    neurons = columns[Region.NEURONS]
    found: dict[str, Any] = {}
    if spec.winners:
        found["level_winners"] = columns[Region.LEVELS]["winners"][ends - 1]
    if spec.plastic:
        rule: dict[str, Any] = {n: int(c[0]) for n, c in columns[Region.RULE].items()}
        flags = {f.name for f in fields(LearningRule) if f.default is False}
        rule |= {name: bool(rule[name]) for name in flags & rule.keys()}
        found["rule"] = LearningRule(**rule, seed=int(columns[Region.RANDOM]["random"][0]))
        # Words that no row reads may be left from another image, with other bounds.
        plastic, is_read = _lanes(spec, words, "plastic"), np.zeros(spec.weight_words, np.bool_)
        for first, count in zip(rows["first_word"], rows["word_count"], strict=True):
            is_read[first : first + count] = True
        found["plastic"] = plastic * is_read[:, None]
        found["opposite"] = rows["opposite"]
    if spec.reward:
        found["eligibility"] = _lanes(spec, words, "eligibility")
    if spec.adaptive_threshold:
        found |= {"h": neurons["h"], "h_step": neurons["h_step"]}
    return found


def _lanes(
    spec: CoreSpec, words: Mapping[str, npt.NDArray[np.int64]], name: str
) -> npt.NDArray[np.int64]:
    """A field of every lane: ``int64[words, lanes]``."""
    return np.stack([words[f"{name}{k}"] for k in range(spec.lanes)], axis=1)
