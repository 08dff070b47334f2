"""NIR's primitives as nodes of the compiler's graph, with the shapes that they leave open."""

from collections import defaultdict, deque
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from spikewright.errors import ModelError

from .graph import Affine, Convolution, Delay, Input, Neuron, Node, Output, Relay, Scale
from .nir_reader import FIELDS

__all__ = ["MAX_NODE_SIZE", "build_nodes"]

MAX_NODE_SIZE = 1 << 20
"""Far above what any core holds: only keeps absurd shapes from being filled with values."""
_SHAPES_HINT = "Correct the shapes in the model and export it again."
_POOLS = ("SumPool2d", "AvgPool2d")
_SPACE = {"Conv1d": 1, "Conv2d": 2, "SumPool2d": 2, "AvgPool2d": 2}
_KINDS = ("Input", "Output", "Flatten", *FIELDS, *_POOLS)

Array = npt.NDArray[np.float64]
Shape = tuple[int, ...]
Fields = Mapping[str, Array]
Description = Mapping[str, Any]
"""One node as :func:`spikewright.compiler.nir_reader.describe` has it."""


def build_nodes(
    described: Mapping[str, Description],
    arrays: Mapping[str, Array],
    edges: tuple[tuple[str, str], ...],
) -> dict[str, Node]:
    """Build the nodes of a description.

    Raises
    ------
    ModelError
        Primitives that the compiler does not have, and attributes or shapes that cannot be.
    """
    reasons = [
        f"node {path!r} is of unsupported type {node['kind']}"
        for path, node in described.items()
        if node["kind"] not in (*_KINDS, "Relay")
    ]
    if reasons:
        raise ModelError(
            "it has nodes that cannot be compiled:",
            reasons=reasons,
            hint=f"Supported types: {', '.join(_KINDS)}. Replace the others before exporting.",
        )
    fields = {
        path: {key: arrays[f"{path}/{key}"] for key in FIELDS.get(node["kind"], ())}
        for path, node in described.items()
    }
    _check_dimensions(described, fields)
    shapes = _Shapes(described, fields, edges)
    if shapes.reasons:
        raise ModelError(
            "it has nodes of an impossible shape:", reasons=shapes.reasons, hint=_SHAPES_HINT
        )
    return {
        path: shapes.convolutions.get(path) or _node(node["kind"], fields[path], shapes.out[path])
        for path, node in described.items()
    }


def _check_dimensions(described: Mapping[str, Description], fields: Mapping[str, Fields]) -> None:
    reasons = []
    for path, values in fields.items():
        kind = described[path]["kind"]
        wanted = {"weight": 2 + _SPACE.get(kind, 0)}
        if kind in ("Affine", "Conv1d", "Conv2d"):
            wanted["bias"] = 1
        reasons += [
            f"node {path!r}: {key} must have {count} dimension{'s' * (count > 1)}, "
            f"not shape {values[key].shape}"
            for key, count in wanted.items()
            if key in values and values[key].ndim != count
        ]
    if reasons:
        raise ModelError("it has arrays of a wrong shape:", reasons=reasons, hint=_SHAPES_HINT)


class _Shapes:
    """Output shape of each node; one that follows from no array comes along the edges.

    Attributes
    ----------
    out : dict of str to shape
    convolutions : dict of str to Convolution
        Nodes that had to be built for their shape.
    reasons : list of str
        What cannot be.
    """

    def __init__(
        self,
        described: Mapping[str, Description],
        fields: Mapping[str, Fields],
        edges: tuple[tuple[str, str], ...],
    ) -> None:
        self.out: dict[str, Shape] = {}
        self.convolutions: dict[str, Convolution] = {}
        self.reasons: list[str] = []
        after = defaultdict(list)
        given: dict[str, Shape] = {}
        for a, b in edges:
            after[a].append(b)
        queue = deque(described)
        while queue:
            path = queue.popleft()
            if path in self.out or path not in described:
                continue
            try:
                shape = self._shape_out(path, described[path], fields[path], given.get(path))
            except ValueError as error:
                self.reasons.append(f"node {path!r}: {error}")
                shape = ()
            if shape is None:
                continue
            self.out[path] = shape
            if prod(shape) > MAX_NODE_SIZE or min(shape, default=1) < 1:
                self.reasons.append(
                    f"node {path!r}: shape must have 1 to {MAX_NODE_SIZE} elements, not {shape}"
                )
            for other in after[path]:
                given.setdefault(other, shape)
                queue.append(other)
        for path in described.keys() - self.out.keys():
            if path not in self.convolutions and described[path]["kind"] in _SPACE:
                self.reasons.append(f"node {path!r}: nothing before it says its input's shape")
            sizes = [values.shape for values in fields[path].values()]
            self.out[path] = max(sizes, key=prod, default=(1,)) or (1,)

    def _shape_out(
        self, path: str, node: Description, fields: Fields, given: Shape | None
    ) -> Shape | None:
        """Shape of what a node gives, as far as it is known. Raises :class:`ValueError`."""
        kind = node["kind"]
        if kind in _SPACE:
            convolution = _convolution(kind, node["attributes"], fields, given)
            if convolution is None:
                return None
            self.convolutions[path] = convolution
            return convolution.shape_out
        if "weight" in fields:
            return fields["weight"].shape[:1]
        if fields:
            return _elementwise(max((f.shape for f in fields.values()), key=prod), given)
        shape = tuple(node["shape"]) if node.get("shape") is not None else given
        return _flatten(shape, node["attributes"]) if kind == "Flatten" and shape else shape


def _elementwise(own: Shape, given: Shape | None) -> Shape | None:
    """Shape of neurons and the like; one value stands for as many as there are along its axis.

    So snnTorch exports a layer with one ``beta`` for all of it, or one for each channel.
    """
    if given is None:
        return None if 1 in own or not own else own
    if prod(own) == 1 or (
        len(own) == len(given) and all(a in (1, b) for a, b in zip(own, given, strict=True))
    ):
        return given
    return own


def _flatten(shape: Shape, attributes: Mapping[str, Any]) -> Shape:
    """``shape`` with a range of its dimensions made one; NIR counts them without samples."""
    given = [*(attributes["start_dim"] or ()), *(attributes["end_dim"] or ())]
    if len(given) != 2:
        raise ValueError(f"start_dim and end_dim must be a number each, not {given}")
    start, end = given
    first, last = (k + len(shape) if k < 0 else k for k in (start, end))
    if first >= len(shape):
        return shape
    if not 0 <= first <= last < len(shape):
        raise ValueError(
            f"start_dim and end_dim must be a range of the dimensions of {shape}, not {start} to "
            f"{end}"
        )
    return (*shape[:first], prod(shape[first : last + 1]), *shape[last + 1 :])


def _convolution(
    kind: str, attributes: Mapping[str, Any], fields: Fields, given: Shape | None
) -> Convolution | None:
    """A convolution or a pool; None while its input's shape is not known.

    The average of a pool is over the whole kernel, padding included, as torch's default is.
    """
    space = _SPACE[kind]

    def whole(field: str, least: int) -> Shape:
        values = attributes.get(field, [1])
        if (
            not isinstance(values, list)
            or len(values) not in (1, space)
            or not all(least <= value <= MAX_NODE_SIZE for value in values)
        ):
            raise ValueError(
                f"{field} must be {space} whole numbers from {least} to {MAX_NODE_SIZE}, not "
                f"{values!r:.60}"
            )
        return tuple(values * space)[:space]

    if kind in _POOLS:
        if given is None:
            return None
        if len(given) != 1 + space:
            raise ValueError(f"it must get (channels, height, width), not shape {given}")
        kernel = whole("kernel_size", 1)
        value = 1.0 if kind == "SumPool2d" else 1 / prod(kernel)
        weight: Array = np.broadcast_to(value, (given[0], 1, *kernel))
        groups, bias, shape_in = given[0], np.zeros(given[0]), given
    else:
        weight, bias, groups = fields["weight"], fields["bias"], whole("groups", 1)[0]
        if attributes["input_shape"] is not None:
            shape_in = (weight.shape[1] * groups, *whole("input_shape", 1))
        elif given is None:
            return None
        else:
            shape_in = given
        _check_channels(weight, bias, groups, shape_in, given)
    stride, dilation = whole("stride", 1), whole("dilation", 1)
    if isinstance(attributes["padding"], str):
        padding = _named_padding(attributes["padding"], weight.shape[2:], dilation, stride)
    else:
        padding = tuple((size, size) for size in whole("padding", 0))
    node = Convolution(weight, bias, shape_in, stride, padding, dilation, groups)
    if min(node.shape_out) < 1:
        raise ValueError(
            f"a kernel of {weight.shape[2:]} with dilation {dilation} must fit into the input of "
            f"{shape_in[1:]} with padding {padding}"
        )
    return node


def _check_channels(
    weight: Array, bias: Array, groups: int, shape_in: Shape, given: Shape | None
) -> None:
    channels = weight.shape[1] * groups
    if len(weight) % groups or len(bias) != len(weight) or 0 in weight.shape:
        raise ValueError(
            f"weight and bias must have as many channels out, a multiple of groups ({groups}), not "
            f"{len(weight)} and {len(bias)}"
        )
    if shape_in[0] != channels or len(shape_in) != weight.ndim - 1:
        raise ValueError(
            f"it must get {channels} channels of {weight.ndim - 2} dimensions, not shape {shape_in}"
        )
    if given is not None and len(given) > 1 and given != shape_in:
        raise ValueError(f"it must get shape {shape_in}, not {given}")


def _named_padding(
    name: str, kernel: Shape, dilation: Shape, stride: Shape
) -> tuple[tuple[int, int], ...]:
    """Padding by torch's names; where 'same' is odd, the larger part comes after."""
    if name == "valid":
        return ((0, 0),) * len(kernel)
    if name != "same":
        raise ValueError(f"padding must be 'same', 'valid' or numbers, not {name!r:.60}")
    if max(stride) > 1:
        raise ValueError(f"stride must be 1 for padding 'same', not {stride}")
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    return tuple((size // 2, size - size // 2) for size in total)


def _node(kind: str, fields: Fields, shape: Shape) -> Node:
    """One node of any other kind."""
    if kind in ("Input", "Output"):
        return Input(shape) if kind == "Input" else Output(shape)
    if kind in ("Relay", "Flatten"):
        return Relay(shape)
    if "weight" in fields:
        weight = fields["weight"]
        return Affine(weight, fields.get("bias", np.zeros(len(weight))))

    def values(name: str, default: float = 0.0) -> Array:
        value = fields.get(name, np.full((), default))
        if value.size == 1:
            return np.full(prod(shape), value.item())
        if value.ndim == len(shape) and _elementwise(value.shape, shape) == shape:
            value = np.broadcast_to(value, shape)
        return value.reshape(-1)

    if kind == "Scale":
        return Scale(values("scale"))
    if kind == "Delay":
        return Delay(values("delay"))
    tau_mem = "tau_mem" if "tau_mem" in fields else "tau"
    threshold = "threshold" if kind == "Threshold" else "v_threshold"
    return Neuron(
        kind=kind,
        shape=shape,
        r=values("r", 1.0),
        tau_mem=values(tau_mem) if tau_mem in fields else None,
        tau_syn=values("tau_syn") if "tau_syn" in fields else None,
        w_in=values("w_in", 1.0),
        v_leak=values("v_leak"),
        v_threshold=values(threshold) if threshold in fields else None,
        v_reset=values("v_reset"),
    )
