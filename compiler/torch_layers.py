"""Layers of ``torch.nn`` in NIR's terms."""

from collections.abc import Mapping
from typing import Any

import nir
import numpy as np

from .torch_cells import refuse, to_array

__all__ = ["LAYERS", "fold_batch_norm", "is_batch_norm", "is_passed", "to_layer"]

LAYERS = ("Linear", "Conv1d", "Conv2d", "Flatten", "AvgPool2d", "SumPool2d")
"""By class name; Sinabs and SpikingJelly have layers of their own under the same names."""
_PASSED = ("Identity", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout")
_BATCH_NORMS = ("BatchNorm1d", "BatchNorm2d")

Shape = tuple[int, ...]


def is_passed(module: Any) -> bool:
    """Whether a module hands its input on as it is: at inference, dropout does."""
    return type(module).__name__ in _PASSED


def is_batch_norm(module: Any) -> bool:
    """Whether a module is a batch normalization that can be folded."""
    return type(module).__name__ in _BATCH_NORMS


def to_layer(module: Any, name: str, shape_in: Shape) -> Any:
    """Give the NIR node of one of :data:`LAYERS`.

    Parameters
    ----------
    module : torch.nn.Module
    name : str
        For messages.
    shape_in : tuple of int
        Shape of its input, the batch first, or the time where SpikingJelly's step mode says so.

    Raises
    ------
    ModelError
        Something that NIR has no field for.
    """
    kind = type(module).__name__
    if kind == "Linear":
        return _linear(module)
    if kind.startswith("Conv"):
        return _convolution(module, name, shape_in)
    if kind.endswith("Pool2d"):
        return _pool(module, name)
    batch_axes = 2 if getattr(module, "step_mode", "s") == "m" else 1
    # torch counts the batch as an axis, NIR does not.
    axes = [axis - 1 if axis > 0 else axis for axis in (module.start_dim, module.end_dim)]
    if module.start_dim == 0:
        raise refuse(module, name, "start_dim 0 merges samples", "Flatten from start_dim=1 on.")
    return nir.Flatten(np.array(shape_in[batch_axes:]), *axes)


def _linear(module: Any) -> Any:
    weight = to_array(module.weight)
    return nir.Linear(weight) if module.bias is None else nir.Affine(weight, to_array(module.bias))


def _convolution(module: Any, name: str, shape_in: Shape) -> Any:
    """Conv1d or Conv2d."""
    if module.padding_mode != "zeros":
        raise refuse(
            module,
            name,
            f"padding_mode must be 'zeros', not {module.padding_mode!r}",
            "Train with zeros as padding.",
        )
    weight = to_array(module.weight)
    flat = weight.ndim == 3
    fields: Mapping[str, Any] = {
        field: value[0] if flat and not isinstance(value, str) else value
        for field in ("stride", "padding", "dilation")
        for value in [getattr(module, field)]
    }
    return (nir.Conv1d if flat else nir.Conv2d)(
        input_shape=shape_in[-1] if flat else shape_in[-2:],
        weight=weight,
        groups=module.groups,
        bias=np.zeros(len(weight)) if module.bias is None else to_array(module.bias),
        **fields,
    )


def _pool(module: Any, name: str) -> Any:
    """AvgPool2d, or Sinabs's SumPool2d, which has no padding."""
    padding = _pair(getattr(module, "padding", 0))
    odd = {
        "ceil_mode": module.ceil_mode,
        "count_include_pad": padding.any() and not module.count_include_pad,
        "divisor_override": getattr(module, "divisor_override", None) is not None,
    }
    if wrong := [field for field, is_set in odd.items() if is_set]:
        raise refuse(
            module,
            name,
            f"{' and '.join(wrong)} must be as torch has it by default",
            "Choose kernel and stride so that the pool needs no such option.",
        )
    stride = module.kernel_size if module.stride is None else module.stride
    kind = nir.SumPool2d if type(module).__name__ == "SumPool2d" else nir.AvgPool2d
    return kind(_pair(module.kernel_size), _pair(stride), padding)


def _pair(value: Any) -> np.ndarray[Any, Any]:
    return np.array(value if isinstance(value, tuple) else (value, value))


def fold_batch_norm(layer: Any, norm: Any) -> Any:
    """Fold a batch normalization into the NIR layer before it, channel by channel.

    ``y = (x - mean) / sqrt(var + eps) * weight + bias`` of the running statistics.

    Source: Ioffe and Szegedy, "Batch Normalization", 2015, algorithm 2.
    """
    gain = 1 / np.sqrt(to_array(norm.running_var) + norm.eps)
    shift = -to_array(norm.running_mean) * gain
    if norm.affine:
        gain, shift = gain * to_array(norm.weight), shift * to_array(norm.weight)
        shift = shift + to_array(norm.bias)
    weight = layer.weight * gain.reshape(-1, *[1] * (layer.weight.ndim - 1))
    if isinstance(layer, (nir.Linear, nir.Affine)):
        return nir.Affine(weight, getattr(layer, "bias", 0.0) * gain + shift)
    fields = ("input_shape", "stride", "padding", "dilation", "groups")
    return type(layer)(
        weight=weight,
        bias=layer.bias * gain + shift,
        **{field: getattr(layer, field) for field in fields},
    )
