"""A layer of neurons as torch frameworks have it, in discrete time, and the same in NIR's terms."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np
import numpy.typing as npt

from spikewright.errors import ModelError

from .options import Reset

__all__ = ["Cells", "Converters", "refuse", "to_array", "to_nir"]

Array = npt.NDArray[np.float64]

LEAST_LEAK = 2.0**-40
"""Stands for no leak at all: time constants must be finite, and decays round to 2**-12."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Neurons of one layer; arrays broadcast to the layer's shape.

    ``i <- a_syn i + x``, ``v <- a_mem v + (1 - a_mem) v_leak + gain i``, spiking where
    ``v > v_threshold``; without ``a_syn``, ``i = x``.

    Attributes
    ----------
    a_mem : float64[...]
        Decay of the membrane, in [0, 1].
    a_syn : float64[...] or None
        Decay of the current, in [0, 1].
    gain : float64[...]
    v_threshold : float64[...] or None
        None: never spikes, its membrane is read.
    strict : bool
        False: spikes where ``v >= v_threshold``.
    v_leak, v_reset : float64[...]
        ``v_reset`` is 0 where the reset subtracts ``v_threshold``.
    reset, reset_delay : Reset or None, bool or None
        As in :class:`~spikewright.compiler.graph.Neuron`; None where nothing spikes.
    recurrent : torch.nn.Module, float64[...] or None
        From spikes to x of the next timestep: a layer, or one weight a neuron.
    batch_axes : int
        Leading axes of the layer's input that are no neurons: batch, or batch and time.
    dt : float or None
        Timestep [s], where the framework has one.
    """

    a_mem: Array
    a_syn: Array | None = None
    gain: Array
    v_threshold: Array | None
    strict: bool = True
    v_leak: Array
    v_reset: Array
    reset: Reset | None = None
    reset_delay: bool | None = None
    recurrent: Any = None
    batch_axes: int = 1
    dt: float | None = None


Converters = Mapping[str, Callable[[Any, str], Cells]]
"""Of one framework: what to make of a class, by its name, from a module and the node's name."""


def to_array(value: Any) -> Array:
    """A tensor, or a number, in float64."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().double().numpy()
    return np.asarray(value, np.float64)


def refuse(module: Any, name: str, why: str, hint: str) -> ModelError:
    """The error for a node that cannot be had, to raise."""
    return ModelError(f"Node {name!r} ({type(module).__name__}): {why}.", hint=hint)


def to_nir(cells: Cells, shape: tuple[int, ...], dt: float) -> Any:
    """Give the NIR node whose Euler step of ``dt`` is one timestep of the cells.

    NIR cannot say ``strict`` and how the cells reset.

    ``tau = dt / (1 - decay)``, so that a step keeps ``decay``; ``r`` and ``w_in`` undo the gain
    ``dt / tau`` that such a step has. The same as snnTorch's own export.
    """

    def full(value: Array) -> Array:
        return np.array(np.broadcast_to(value, shape))

    leak = full(np.maximum(1 - cells.a_mem, LEAST_LEAK))
    terms = {"r": full(cells.gain) / leak, "v_leak": full(cells.v_leak)}
    if cells.v_threshold is not None:
        terms |= {"v_threshold": full(cells.v_threshold), "v_reset": full(cells.v_reset)}
    if cells.a_syn is None:
        kind = nir.LI if cells.v_threshold is None else nir.LIF
        return kind(tau=dt / leak, **terms)
    leak_syn = full(np.maximum(1 - cells.a_syn, LEAST_LEAK))
    kind = nir.CubaLI if cells.v_threshold is None else nir.CubaLIF
    return kind(tau_mem=dt / leak, tau_syn=dt / leak_syn, w_in=1 / leak_syn, **terms)
