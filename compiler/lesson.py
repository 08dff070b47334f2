"""A compiled network whose core goes on learning: which synapses, by which rule."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spikewright.errors import ImageError, ModelError, SpecError
from spikewright.image import CoreImage
from spikewright.learning import LearningRule
from spikewright.spec import LEARNING_FIELDS, CoreSpec
from spikewright.storage import read_file

from .paired import in_place

__all__ = ["Lesson", "read_lesson", "with_lesson"]

_MOST_BYTES = 1 << 20
_EXAMPLE = (
    '{"synapses": ["input:hidden"], "core": {"plasticity": "window"}, '
    '"rule": {"pre_step": 5, "post_step": 5, "pre_change": 64, "post_change": 64, '
    '"w_min": -128, "w_max": 127}}'
)
_HINT = f"Write an object such as: {_EXAMPLE}"


@dataclass(frozen=True)
class Lesson:
    """What a core is to learn in.

    Attributes
    ----------
    synapses : tuple of str
        Projections whose synapses are plastic, as ``source:target`` by the image's names of inputs
        and populations.
    rule : LearningRule
    core : mapping of str to value
        Fields of :class:`~spikewright.spec.CoreSpec` about learning, for an image whose spec has no
        plasticity yet.
    """

    synapses: tuple[str, ...]
    rule: LearningRule
    core: Mapping[str, Any] = field(default_factory=dict)


def read_lesson(path: Path | str) -> Lesson:
    """Read a lesson from a JSON file with the attributes of :class:`Lesson`.

    Raises
    ------
    ModelError
        The file cannot be read, or has other content.
    """
    source = Path(path)
    try:
        raw = json.loads(read_file(source, _MOST_BYTES))
    except OSError as error:
        raise ModelError(
            f"Cannot read lesson {str(source)!r}: {error.strerror or error}.", hint=_HINT
        ) from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"Lesson {str(source)!r} is not JSON: {error}.", hint=_HINT) from None
    if not isinstance(raw, dict):
        raise ModelError(f"Lesson {str(source)!r} must be a JSON object.", hint=_HINT)
    known = {one.name for one in fields(Lesson)}
    reasons = [f"{name!r} is no field of it" for name in sorted(raw.keys() - known)]
    reasons += [f"{name!r} is missing" for name in ("synapses", "rule") if name not in raw]
    names, core = raw.get("synapses", []), raw.get("core", {})
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        reasons.append(f"synapses must be a list of projections by name, not {names!r:.40}")
    if not isinstance(core, dict) or not core.keys() <= set(LEARNING_FIELDS):
        reasons.append(
            f"core must be an object with some of {', '.join(LEARNING_FIELDS)}, not {core!r:.40}"
        )
    if reasons:
        raise ModelError(f"Lesson {str(source)!r} is not valid:", reasons=reasons, hint=_HINT)
    try:
        rule = LearningRule.from_dict(raw["rule"])
    except ImageError as error:
        raise ModelError(
            f"Lesson {str(source)!r} is not valid:", reasons=[error.what], hint=error.hint
        ) from None
    return Lesson(tuple(names), rule, core)


def with_lesson(image: CoreImage, lesson: Lesson) -> CoreImage:
    """The image with plastic synapses: those of the lesson's projections, where there is a weight.

    Until it learns it computes what it did.

    Raises
    ------
    ModelError
        Projections that the image does not have or that have no synapse, a core that cannot
        learn so, a rule that the spec lacks, or bounds that do not hold the weights.
    """
    image = _for_core(image, _spec(image.spec, lesson))
    plastic = np.zeros(image.weights.shape, np.uint8)
    reasons = []
    for name in dict.fromkeys(lesson.synapses):
        try:
            at = _synapses(image, name)
        except ImageError as error:
            reasons.append(f"{name!r}: {error.what} {error.hint}")
            continue
        if not len(at[0]):
            reasons.append(f"{name!r} has no synapse")
        plastic[at] = 1
    if reasons:
        raise ModelError(
            "Lesson does not fit the network:",
            reasons=reasons,
            hint="Name projections as source:target; spikewright info lists the populations.",
        )
    try:
        return replace(image, plastic=plastic, rule=lesson.rule)
    except ImageError as error:
        raise ModelError(
            "Lesson does not fit the core:",
            reasons=error.reasons,
            hint="Correct its rule: it is in the integers that the network was rounded to.",
        ) from None


def _for_core(image: CoreImage, spec: CoreSpec) -> CoreImage:
    """The image for a core that learns; until something is plastic it does what it did."""
    if not spec.paired_rows or image.spec.paired_rows:
        return replace(image, spec=spec)
    names = ("weights", "delays", "first_word", "word_count", "first_group")
    return replace(image, spec=spec, **in_place({n: image.arrays[n] for n in names}, spec))


def _spec(spec: CoreSpec, lesson: Lesson) -> CoreSpec:
    """The image's spec with plasticity."""
    if spec.plastic:
        if lesson.core:
            raise ModelError(
                "The spec has plasticity already, and the lesson's core would change it.",
                hint="Leave out the lesson's core, or compile without --spec.",
            )
        return spec
    core = dict(lesson.core)
    if core.get("paired_rows"):
        core["weight_words"] = 0  # it follows from the sources
    try:
        learns = replace(spec, **core)
    except SpecError as error:
        hint = "Compile with --no-sparse, or for a spec without." if spec.sparse else _HINT
        raise ModelError(
            "No core can learn this lesson:", reasons=error.reasons, hint=hint
        ) from None
    if not learns.plastic:
        raise ModelError(
            "The lesson is for a core that learns, and neither it nor the spec has plasticity.",
            hint=_HINT,
        )
    return learns


def _synapses(image: CoreImage, name: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Words and lanes of a projection's weights. Raises :class:`ImageError` for unknown names."""
    source, _, target = name.partition(":")
    given = {p.name: p.positions for p in image.manifest.inputs}
    if source in given:
        sources = given[source]
    else:
        sources = image.spec.axons + image.population(source).positions
    wanted = np.zeros(image.spec.neurons, np.bool_)
    wanted[image.population(target).index] = True
    _, word, group = image.row_words(sources)
    lanes = wanted.reshape(-1, image.spec.lanes)[group] & (image.weights[word] != 0)
    at, lane = np.nonzero(lanes)
    return word[at], lane
