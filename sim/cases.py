"""Random specs, networks and stimuli for lockstep: alive, varied, with corner values on purpose."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spikewright.fixed import signed_range
from spikewright.image import CoreImage
from spikewright.spec import CoreSpec, index_width

from .cases_learning import draw_learn, draw_learning, draw_plastic_spec, draw_rewards
from .parameters import draw_neurons

__all__ = [
    "PARAMETERS",
    "ROWS",
    "STIMULI",
    "WEIGHTS",
    "Case",
    "Recipe",
    "draw_case",
    "draw_recipe",
    "draw_spec",
    "draw_spikes",
    "make_case",
    "make_image",
    "make_spikes",
]

ROWS = ("none", "full", "layered", "sparse", "random")
WEIGHTS = ("small", "random", "zeros", "bounds", "lowest")
PARAMETERS = ("alive", "corners")
STIMULI = ("silence", "random", "bursts", "all")
_ODDS = {
    ROWS: (1, 4, 4, 4, 12),
    WEIGHTS: (8, 8, 4, 1, 1),
    PARAMETERS: (3, 1),
    STIMULI: (1, 8, 4, 1),
}

_DELAY_ODDS = (0.5, 0.15, 0.15, 0.08, 0.06, 0.03, 0.03)
_MOST_ACCUMULATORS = 4096

Array = npt.NDArray[np.int64]
Spikes = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a network and its stimulus are like; ``seed`` fills in the numbers.

    The structure is here, and not only in the seed, so that a failing case can shrink.

    Parameters
    ----------
    seed : int
        Everything that the other fields leave open.
    groups : int
        Neuron groups in use, 1 to ``spec.groups``.
    levels : int
        Levels, 1 to ``groups``.
    sources : int
        Sources, axons first, that may have a row; 0 to ``spec.sources``.
    rows : str
        Of :data:`ROWS`: which neuron groups a source's row covers.
    weights : str
        Of :data:`WEIGHTS`. ``lowest`` is the most negative one everywhere, the accumulator's bound.
    parameters : str
        Of :data:`PARAMETERS`: neurons tuned to the drive that they get, or values at their bounds.
    stimulus : str
        Of :data:`STIMULI`.
    timesteps, samples : int
        Shape of the stimulus.
    """

    seed: int
    groups: int
    levels: int
    sources: int
    rows: str
    weights: str
    parameters: str
    stimulus: str
    timesteps: int
    samples: int = 1


@dataclass(frozen=True, slots=True)
class Case:
    """A network and its stimulus, and the recipe that they were made from.

    Attributes
    ----------
    recipe : Recipe
    image : CoreImage
    spikes : bool[samples, timesteps, axons]
    learn : bool[samples, timesteps] or None
        When the core learns; None for a spec that cannot.
    rewards : int64[samples, timesteps] or None
        Q1.6; None for a spec without ``reward``.
    """

    recipe: Recipe
    image: CoreImage
    spikes: Spikes
    learn: Spikes | None = None
    rewards: Array | None = None

    def __str__(self) -> str:
        return f"{self.image.spec}\n{self.recipe}"


def draw_case(
    seed: int | tuple[int, ...],
    *,
    spec: CoreSpec | None = None,
    timesteps: int = 50,
    samples: int = 1,
) -> Case:
    """A random network and stimulus, for a random spec unless one is given; the seed decides."""
    rng = np.random.default_rng(seed)
    spec = spec or draw_spec(rng)
    return make_case(spec, draw_recipe(rng, spec, timesteps=timesteps, samples=samples))


def make_case(spec: CoreSpec, recipe: Recipe) -> Case:
    """The network of a recipe and all that it is run with."""
    image, spikes = make_image(spec, recipe), make_spikes(spec, recipe)
    if not spec.plastic:
        return Case(recipe, image, spikes)
    rng = np.random.default_rng((recipe.seed, 3))
    learn = draw_learn(rng, spikes.shape[:2])
    rewards = draw_rewards(rng, spikes.shape[:2]) if spec.reward else None
    return Case(recipe, image, spikes, learn, rewards)


def draw_spec(
    rng: np.random.Generator,
    *,
    most: int = 256,
    most_words: int = 1 << 14,
    plastic: bool = False,
) -> CoreSpec:
    """A random spec; sizes are log-uniform.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the choices come from.
    most : int
        Most axons and most neurons, at least 32.
    most_words : int
        Deepest weight memory, at least 64; with paired rows its depth follows from the sizes.
    plastic : bool
        With on-chip learning.
    """
    lanes = 1 << int(rng.integers(6))
    axons = _log_uniform(rng, 1, most)
    groups = _log_uniform(rng, 1, most // lanes)
    all_to_all = (axons + groups * lanes) * groups
    words = min(all_to_all, most_words)
    if rng.random() < 0.5:
        words = _log_uniform(rng, min(words, 64), words)
    state_bits = int(rng.integers(12, 25))
    # Mostly, a few weights must fit the state: where each spike saturates, little else is tested.
    weight_bits = int(rng.integers(2, 17 if rng.random() < 0.25 else state_bits - 6 + 1))
    weight_bits = min(weight_bits, 16)
    fraction_most = 16 if rng.random() < 0.1 else max(0, min(16, state_bits - weight_bits - 2))
    # A ring of more slots would only make lockstep slow: all of them are read every timestep.
    most_slots = index_width(_MOST_ACCUMULATORS // (groups * lanes) + 1)
    slots = 1 << min(most_slots - 1, int(rng.choice(7, p=_DELAY_ODDS)))
    spec = CoreSpec(
        axons=axons,
        neurons=groups * lanes,
        lanes=lanes,
        weight_bits=weight_bits,
        state_bits=state_bits,
        fraction_bits=int(rng.integers(fraction_most + 1)),
        delay_slots=slots,
        refractory_bits=int(rng.integers(9)),
        synapse_current=bool(rng.random() < 0.6),
        decay="multiply" if rng.random() < 0.7 else "shift",
        weight_words=words,
        sparse=bool(rng.random() < 0.3),
        update_cycles=1 << int(rng.integers(lanes.bit_length()) if rng.random() < 0.4 else 0),
    )
    return draw_plastic_spec(rng, spec) if plastic else spec


def draw_recipe(
    rng: np.random.Generator, spec: CoreSpec, *, timesteps: int, samples: int = 1
) -> Recipe:
    """A random recipe for a spec."""
    groups = spec.groups if rng.random() < 0.5 else int(rng.integers(1, spec.groups + 1))

    return Recipe(
        seed=int(rng.integers(1 << 32)),
        groups=groups,
        levels=_log_uniform(rng, 1, groups),
        sources=spec.sources if rng.random() < 0.8 else int(rng.integers(spec.sources + 1)),
        rows=_pick(rng, ROWS),
        weights=_pick(rng, WEIGHTS),
        parameters=_pick(rng, PARAMETERS),
        stimulus=_pick(rng, STIMULI),
        timesteps=timesteps,
        samples=samples,
    )


def make_image(spec: CoreSpec, recipe: Recipe) -> CoreImage:
    """The network of a recipe."""
    rng = np.random.default_rng((recipe.seed, 0))
    cuts = rng.choice(recipe.groups - 1, recipe.levels - 1, replace=False) + 1
    ends = np.concatenate([np.sort(cuts), [recipe.groups]]).astype(np.int64)
    first_group, word_count = _rows(rng, spec, recipe, ends)
    span = word_count
    if spec.sparse:
        word_count = span * rng.choice([1, 2], spec.sources, p=[0.8, 0.2])
    first_word, word_count, words = _place(rng, spec, first_group, word_count)
    weights = _weights(rng, spec, recipe, words)
    slots = 1 if rng.random() < 0.1 else spec.delay_slots
    delays = rng.integers(slots, size=weights.shape)
    if rng.random() < 0.1:
        delays[:] = spec.delay_slots - 1
    source, word = _read(first_word, word_count)
    group = first_group[source] + word - first_word[source]
    word_group = None
    if spec.sparse:
        word_group = rng.integers(recipe.groups, size=words)
        word_group[word] = _any_order(rng, first_group, span, word_count)
        group, first_group = word_group[word], np.zeros_like(first_group)
        weights = _fitting(spec, weights, word, group)
    drive = _drive(spec, weights[word], group)
    corners = recipe.parameters == "corners"
    arrays: dict[str, Any] = {
        "weights": weights,
        "delays": delays,
        "first_word": first_word,
        "word_count": word_count,
        "first_group": first_group,
        "word_group": word_group,
        "level_groups": np.diff(ends, prepend=0),
        **draw_neurons(rng, spec, drive, corners=corners),
    }
    if spec.plastic:
        rng = np.random.default_rng((recipe.seed, 2))
        arrays |= draw_learning(rng, spec, arrays, source, word, corners=corners)
    return CoreImage(spec=spec, **arrays)


def make_spikes(spec: CoreSpec, recipe: Recipe) -> Spikes:
    """The stimulus of a recipe: ``bool[samples, timesteps, axons]``."""
    rng = np.random.default_rng((recipe.seed, 1))
    return draw_spikes(rng, (recipe.samples, recipe.timesteps, spec.axons), recipe.stimulus)


def draw_spikes(
    rng: np.random.Generator, shape: tuple[int, int, int], stimulus: str | None = None
) -> Spikes:
    """Random input spikes.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the choices come from.
    shape : (samples, timesteps, axons)
        Of the result.
    stimulus : str, optional
        Of :data:`STIMULI`; without it each sample draws its own.
    """
    samples, timesteps, _ = shape
    kinds = [stimulus or _pick(rng, STIMULI) for _ in range(samples)]
    rates = [_rate(rng, kind, timesteps) for kind in kinds]
    return rng.random(shape) < np.reshape(rates, (samples, timesteps, 1))


def _rate(rng: np.random.Generator, stimulus: str, timesteps: int) -> npt.NDArray[np.float64]:
    """Probability of a spike on each axon, in each timestep."""
    if stimulus == "random":
        return np.full(timesteps, 0.5 * 100.0 ** -rng.random())
    if stimulus == "bursts":
        burst = rng.random(timesteps) < 0.2
        return np.where(burst, rng.choice([0.1, 0.5, 1.0], timesteps), 0.0)
    return np.full(timesteps, float(stimulus == "all"))


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    odds = np.array(_ODDS[options], float)
    return options[int(rng.choice(len(options), p=odds / odds.sum()))]


# Structure


def _log_uniform(rng: np.random.Generator, low: int, high: int) -> int:
    return min(high, int(low * ((high + 1) / low) ** rng.random()))


def _rows(
    rng: np.random.Generator, spec: CoreSpec, recipe: Recipe, ends: Array
) -> tuple[Array, Array]:
    """First group and word count of each source's row."""
    sources, groups = spec.sources, recipe.groups
    if recipe.rows == "full":
        first, last = np.zeros(sources, np.int64), np.full(sources, groups)
    elif recipe.rows == "layered":
        # An axon reaches the first level, a neuron the level after its own, the last one itself.
        starts = np.concatenate([[0], ends[:-1]])
        group = np.minimum(np.arange(spec.neurons) // spec.lanes, groups - 1)
        level = np.searchsorted(ends, group, side="right")
        target = np.concatenate([
            np.zeros(spec.axons, np.int64),
            np.minimum(level + 1, len(ends) - 1),
        ])
        first, last = starts[target], ends[target]
    else:
        most = min(groups, 2) if recipe.rows == "sparse" else groups
        first = rng.integers(groups, size=sources)
        last = np.minimum(first + rng.integers(most + 1, size=sources), groups)
        # Rows that end with the last group, rows of one word, and rows without any.
        kind = rng.integers(8, size=sources)
        last = np.where((kind == 0) & (recipe.rows == "random"), groups, last)
        last = np.where(kind == 1, np.minimum(first + 1, groups), last)
        last = np.where(kind == 2, first, last)
    count = last - first
    count[recipe.sources :] = 0
    return first, count if recipe.rows != "none" else np.zeros_like(count)


def _place(
    rng: np.random.Generator, spec: CoreSpec, first_group: Array, word_count: Array
) -> tuple[Array, Array, int]:
    """First word and word count of each row, and words used; where they must, rows share words."""
    if spec.paired_rows:
        first = np.arange(spec.sources) * spec.row_stride + first_group
        return first, word_count, int((first + word_count).max())
    count = np.minimum(word_count, spec.weight_words)
    order = rng.permutation(spec.sources) if rng.random() < 0.5 else np.arange(spec.sources)
    first = np.zeros_like(count)
    first[order] = np.cumsum(count[order]) - count[order]
    words = min(int(count.sum()), spec.weight_words)
    if spec.plastic:  # rows that learn have words of their own: those for which none are left go
        count = np.where(first + count > words, 0, count)
    shared = (first + count > words) | (rng.random(spec.sources) < 0.03)
    first = np.where(shared, rng.integers(words - count + 1), first)
    return first, count, words


def _weights(rng: np.random.Generator, spec: CoreSpec, recipe: Recipe, words: int) -> Array:
    low, high = signed_range(spec.weight_bits)
    shape = (words, spec.lanes)
    if recipe.weights == "lowest":
        return np.full(shape, low)
    if recipe.weights == "bounds":
        return rng.choice([low, low + 1, 0, high - 1, high], shape)
    spread = max(1, high // 8) if recipe.weights == "small" else high
    weights = rng.integers(max(low, -spread), spread + 1, shape)
    if recipe.weights == "zeros":
        weights[rng.random(shape) < 0.8] = 0
    return weights


def _read(first_word: Array, word_count: Array) -> tuple[Array, Array]:
    """Source and index of every word that the rows read, row by row."""
    source = np.repeat(np.arange(len(word_count)), word_count)
    skipped = first_word - (np.cumsum(word_count) - word_count)
    return source, skipped[source] + np.arange(len(source))


def _any_order(
    rng: np.random.Generator, first_group: Array, span: Array, word_count: Array
) -> Array:
    """Groups of every word of sparse rows, row by row: those from the row's first group on.

    In random order; where the row has more words than groups, or by chance, some of them several
    times.
    """
    parts = [np.zeros(0, np.int64)]
    for first, groups, count in zip(first_group, span, word_count, strict=True):
        each = rng.permutation(count) % max(1, groups)
        drawn = rng.integers(max(1, groups), size=count)
        parts.append(first + (each if rng.random() < 0.7 else drawn))
    return np.concatenate(parts)


def _fitting(spec: CoreSpec, weights: Array, word: Array, group: Array) -> Array:
    """The weights, halved until no sum of those that are read overflows an accumulator."""
    low, high = signed_range(spec.acc_bits)
    while True:
        least, most = np.zeros((2, spec.groups, spec.lanes), np.int64)
        np.add.at(least, group, np.minimum(weights[word], 0))
        np.add.at(most, group, np.maximum(weights[word], 0))
        if least.min() >= low and most.max() <= high:
            return weights
        weights = np.trunc(weights / 2).astype(np.int64)


def _drive(spec: CoreSpec, weights: Array, group: Array) -> npt.NDArray[np.float64]:
    """Root of the sum of squares of the weights into each neuron, in state units."""
    squares = np.zeros((spec.groups, spec.lanes))
    np.add.at(squares, group, weights.astype(float) ** 2)
    return np.asarray(np.sqrt(squares).reshape(-1) * (1 << spec.fraction_bits))
