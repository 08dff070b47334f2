"""Images from weight matrices: for networks that learn on the core and come from no model file."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from spikewright.errors import ImageError
from spikewright.fixed import signed_range
from spikewright.image import CoreImage, Manifest
from spikewright.learning import LearningRule
from spikewright.manifest import Population
from spikewright.spec import CoreSpec

from .paired import in_place

__all__ = ["axon_weights_of", "neuron_weights_of", "plastic_image"]

Array = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_PARAMETERS = (
    *("a_mem", "a_syn", "bias", "v_threshold", "reset", "reset_to", "refractory"),
    *("h", "h_step"),
)


def plastic_image(
    spec: CoreSpec,
    axon_weights: npt.ArrayLike,
    neuron_weights: npt.ArrayLike | None = None,
    *,
    axon_plastic: npt.ArrayLike = True,
    neuron_plastic: npt.ArrayLike = False,
    levels: Sequence[int] = (),
    winners: Sequence[int] = (),
    rule: LearningRule | None = None,
    opposite: npt.ArrayLike | None = None,
    manifest: Manifest | None = None,
    **parameters: npt.ArrayLike,
) -> CoreImage:
    """Fill an image from dense matrices; all numbers are raw integers, as in :class:`CoreImage`.

    A row holds the neuron groups from its first synapse to its last. There is a synapse where the
    weight is not 0 and where it is plastic.

    Parameters
    ----------
    spec : CoreSpec
    axon_weights : int[axons, neurons]
        Weight from each axon into each neuron, of as many as are used.
    neuron_weights : int[neurons, neurons], optional
        Weight from each neuron (row) into each neuron (column); none without them.
    axon_plastic, neuron_plastic : bool or bool array
        Which synapses learn: all, none, or as a matrix of the weights' shape.
    levels : sequence of int
        Neurons of each level, multiples of ``spec.lanes`` but for the last; by default one level.
    winners : sequence of int
        Most neurons of each level that spike in a timestep, 0 for all.
    rule : LearningRule, optional
    opposite : bool[spec.sources], optional
        Rows that learn with the other sign: axons, then from ``spec.axons`` on neurons.
    manifest : Manifest, optional
        By default names for the axons and for each level: ``axons``, and ``neurons`` or ``level0``,
        ``level1`` and so on, of which the last is the output.
    **parameters : int or int[neurons]
        ``a_mem``, ``a_syn``, ``bias``, ``v_threshold``, ``reset``, ``reset_to``, ``refractory``,
        ``h`` and ``h_step``, each 0 if not given. Neurons that are not used never spike.

    Raises
    ------
    ImageError
        Matrices of other shapes or kinds than these, unknown parameters, levels that do not hold
        the neurons, and whatever :class:`CoreImage` refuses.
    """
    onto = _matrix("axon_weights", axon_weights)
    axons, neurons = onto.shape
    among = np.zeros((neurons, neurons), np.int64)
    if neuron_weights is not None:
        among = _matrix("neuron_weights", neuron_weights)
    _check_sizes(spec, onto, among, levels, parameters)
    onto_learns = _spread("axon_plastic", axon_plastic, onto.shape)
    among_learns = _spread("neuron_plastic", neuron_plastic, among.shape)
    used = np.array(levels or [neurons])
    optional: dict[str, Any] = {}
    if opposite is not None:
        optional["opposite"] = _spread("opposite", opposite, (spec.sources,)).astype(np.uint8)
    if len(winners):
        optional["level_winners"] = np.array(winners)
    return CoreImage(
        spec=spec,
        level_groups=-(-used // spec.lanes),
        rule=rule,
        manifest=manifest or _manifest(axons, used.tolist()),
        **_rows(spec, _whole(spec, onto, among), _whole(spec, onto_learns, among_learns)),
        **_neurons(spec, neurons, parameters),
        **optional,
    )


def _manifest(axons: int, levels: list[int]) -> Manifest:
    """Names for the axons and the levels, if none is empty: such an image is refused later."""
    if min(levels) < 1:
        return Manifest()
    names = [f"level{k}" for k in range(len(levels))] if len(levels) > 1 else ["neurons"]
    firsts = np.cumsum([0, *levels[:-1]]).tolist()
    return Manifest(
        inputs=(Population(name="axons", first=0, count=axons),),
        populations=tuple(
            Population(name=name, first=first, count=count)
            for name, first, count in zip(names, firsts, levels, strict=True)
        ),
        outputs=(names[-1],),
    )


def axon_weights_of(image: CoreImage, weights: npt.ArrayLike | None = None) -> Array:
    """The weights from axons as a matrix, ``int64[spec.axons, spec.neurons]``.

    Parameters
    ----------
    image : CoreImage
    weights : int[W, lanes], optional
        In place of the image's, for example another array that is laid out as they are.
    """
    return _dense(image, weights)[: image.spec.axons]


def neuron_weights_of(image: CoreImage, weights: npt.ArrayLike | None = None) -> Array:
    """The weights among neurons as a matrix, ``int64[spec.neurons, spec.neurons]``.

    Parameters are those of :func:`axon_weights_of`.
    """
    return _dense(image, weights)[image.spec.axons :]


def _dense(image: CoreImage, weights: npt.ArrayLike | None) -> Array:
    spec = image.spec
    row, word, group = image.row_words(np.arange(spec.sources))
    dense = np.zeros((spec.sources, spec.groups, spec.lanes), np.int64)
    given = image.weights if weights is None else np.asarray(weights)
    np.add.at(dense, (row, group), given[word])
    return dense.reshape(spec.sources, spec.neurons)


def _matrix(name: str, values: npt.ArrayLike) -> Array:
    matrix = np.asarray(values)
    if matrix.dtype.kind not in "iu" or matrix.ndim != 2 or not matrix.size:
        raise ImageError(
            f"{name} must be a matrix of integers, not {matrix.dtype} of shape {matrix.shape}.",
            hint="Round the weights to units of their least significant bit first.",
        )
    return matrix.astype(np.int64)


def _check_sizes(
    spec: CoreSpec,
    onto: Array,
    among: Array,
    levels: Sequence[int],
    parameters: Mapping[str, npt.ArrayLike],
) -> None:
    axons, neurons = onto.shape
    reasons = []
    if axons > spec.axons or neurons > spec.neurons:
        reasons.append(
            f"axon_weights must be at most [{spec.axons}, {spec.neurons}], not {[axons, neurons]}"
        )
    if among.shape != (neurons, neurons):
        reasons.append(
            f"neuron_weights must be [{neurons}, {neurons}] as there are {neurons} neurons, "
            f"not {list(among.shape)}"
        )
    if levels and sum(levels) != neurons:
        reasons.append(f"levels must add up to {neurons} neurons, not {sum(levels)}")
    reasons += [
        f"levels but the last must be multiples of {spec.lanes} lanes, not {size}"
        for size in levels[:-1]
        if size % spec.lanes
    ]
    reasons += [f"{name} is no parameter" for name in parameters if name not in _PARAMETERS]
    if reasons:
        raise ImageError(
            "Matrices do not make an image of this spec:",
            reasons=reasons,
            hint="Give integers, [axons, neurons] and [neurons, neurons], that the spec can hold.",
        )


def _spread(name: str, values: npt.ArrayLike, shape: tuple[int, ...]) -> Bools:
    given = np.asarray(values)
    if given.dtype != np.bool_ or given.shape not in ((), shape):
        raise ImageError(
            f"{name} must be true, false or bools of shape {list(shape)}, "
            f"not {given.dtype} of shape {list(given.shape)}.",
            hint="Give one value for each weight, or one for all.",
        )
    return np.broadcast_to(given, shape)


def _whole(spec: CoreSpec, onto: npt.NDArray[Any], among: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Matrices from axons and among neurons as one with a row for every source, 0 elsewhere."""
    axons, neurons = onto.shape
    whole = np.zeros((spec.sources, spec.neurons), onto.dtype)
    whole[:axons, :neurons] = onto
    whole[spec.axons : spec.axons + neurons, :neurons] = among
    return whole


def _rows(spec: CoreSpec, weights: Array, plastic: Bools) -> dict[str, Any]:
    """Weight words and directory of matrices with a row for every source."""
    shape = spec.sources, spec.groups, spec.lanes
    there = ((weights != 0) | plastic).reshape(shape).any(axis=2)
    first = there.argmax(axis=1)
    last = spec.groups - 1 - there[:, ::-1].argmax(axis=1)
    count = np.where(there.any(axis=1), last - first + 1, 0)
    group = np.arange(spec.groups)
    held = (group >= first[:, None]) & (group < (first + count)[:, None])
    words = weights.reshape(shape)[held]
    optional: dict[str, Any] = {}
    if spec.plastic or plastic.any():
        optional["plastic"] = plastic.reshape(shape)[held].astype(np.uint8)
    if spec.sparse:
        optional["word_group"] = np.nonzero(held)[1]
    rows = {
        "weights": words,
        "delays": np.zeros(words.shape, np.uint8),
        "first_word": np.cumsum(count) - count,
        "word_count": count,
        "first_group": np.zeros(spec.sources, int) if spec.sparse else first,
        **optional,
    }
    return in_place(rows, spec) if spec.paired_rows else rows


def _neurons(spec: CoreSpec, used: int, given: dict[str, npt.ArrayLike]) -> dict[str, Any]:
    """Parameters of all neurons; those that are not used have a threshold out of reach."""
    there = _PARAMETERS if spec.adaptive_threshold else _PARAMETERS[:-2]
    arrays: dict[str, Any] = {}
    for name in dict.fromkeys([*there, *given]):
        values = np.asarray(given.get(name, 0))
        if values.dtype.kind not in "iu" or values.shape not in ((), (used,)):
            raise ImageError(
                f"{name} must be one integer or one for each of {used} neurons, "
                f"not {values.dtype} of shape {list(values.shape)}.",
                hint="State-like parameters have the spec's fraction_bits below one weight unit.",
            )
        rest = signed_range(spec.state_bits)[1] if name == "v_threshold" else 0
        arrays[name] = np.full(spec.neurons, rest, np.int64)
        arrays[name][:used] = values
    return arrays
