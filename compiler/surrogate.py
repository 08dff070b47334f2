"""The core's timestep in torch: exact integers forward, surrogate gradients backward.

Every value is an integer in a float64, which holds those below ``2**53`` exactly: a decay's product
is below ``2**(24 + 12)``, an accumulator in state steps below ``2**(28 + 16)``, and a division by
4096 only moves the exponent. So floats give what int64 would, and matrix products may add in any
order, on any device.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spikewright.fixed import DECAY_ONE, signed_range
from spikewright.spec import CoreSpec

__all__ = ["Neurons", "State", "rounded"]


class _StraightThrough(torch.autograd.Function):
    """``exact`` forward; backward as if it were ``steps * real``.

    Source: the straight-through estimator of Bengio et al. 2013, arXiv:1308.3432; Jacob et al.
    2018, arXiv:1712.05877, section 3, train rounded weights so. Here it stands for clipping too.
    """

    @staticmethod
    def forward(context: Any, real: Tensor, exact: Tensor, steps: Tensor | float) -> Tensor:
        context.steps = steps
        return exact.clone()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient * context.steps, None, None


class _Spike(torch.autograd.Function):
    """``v > v_threshold`` forward, the derivative of a fast sigmoid backward.

    Source: Zenke and Ganguli 2018, SuperSpike, arXiv:1705.11146: with ``h = slope (v -
    v_threshold)`` in real units the derivative is ``1 / (1 + |h|)**2``, as in snnTorch.
    """

    @staticmethod
    def forward(context: Any, v: Tensor, v_threshold: Tensor, unit: Tensor, slope: float) -> Tensor:
        context.save_for_backward(v, v_threshold, unit)
        context.slope = slope
        return (v > v_threshold).to(v.dtype)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        v, v_threshold, unit = context.saved_tensors
        h = context.slope * unit * (v - v_threshold)
        gradient = gradient * unit / (1 + h.abs()) ** 2
        return gradient, -gradient.sum(dim=0), None, None


def rounded(
    real: Tensor, raw: npt.NDArray[np.int64], steps: npt.NDArray[np.float64] | int
) -> Tensor:
    """Raw integers of real parameters, ``steps`` of them to one real unit.

    Parameters
    ----------
    real : float64 tensor
        Gets ``steps`` times the gradient.
    raw : int64 array
        The values.
    steps : float64 array or int
    """
    exact, steps = (torch.as_tensor(each).to(real) for each in (raw, steps))
    return _StraightThrough.apply(real, exact, steps)


def _decay(x: Tensor, a: Tensor) -> Tensor:
    """``trunc0(x * a / 4096)``."""
    real = x * a / DECAY_ONE
    return _StraightThrough.apply(real, real.detach().trunc(), 1.0)


def _saturate(x: Tensor, bits: int) -> Tensor:
    """Clamp to ``bits`` bits two's complement."""
    low, high = signed_range(bits)
    return _StraightThrough.apply(x, x.detach().clamp(low, high), 1.0)


@dataclass(frozen=True, slots=True)
class Neurons:
    """A population's raw integers, each ``float64[n]``, with gradients to what was rounded.

    ``unit`` is the real value of one step of the state.
    """

    a_mem: Tensor
    a_syn: Tensor
    bias: Tensor
    v_threshold: Tensor
    reset: Tensor
    reset_to: Tensor
    refractory: Tensor
    unit: Tensor


@dataclass(slots=True)
class State:
    """State of a population, each ``float64[samples, n]``; ``spikes`` are its latest."""

    v: Tensor
    i: Tensor
    refractory: Tensor
    spikes: Tensor

    def update(self, acc: Tensor, neurons: Neurons, spec: CoreSpec, slope: float) -> None:
        """One timestep: :func:`spikewright.sim.update.update`.

        A reset passes no gradient to the spike that caused it; see Zenke and Vogels 2021,
        doi:10.1162/neco_a_01367, on why that trains better.
        """
        current = acc * 2.0**spec.fraction_bits + neurons.bias
        self.i = _saturate(_decay(self.i, neurons.a_syn) + current, spec.state_bits)
        v = _saturate(_decay(self.v, neurons.a_mem) + self.i, spec.state_bits)
        held = self.refractory > 0
        self.spikes = _Spike.apply(v, neurons.v_threshold, neurons.unit, slope)
        self.spikes = self.spikes.masked_fill(held, 0)
        fired = self.spikes.detach() > 0
        after = torch.where(neurons.reset_to > 0, neurons.reset, v - neurons.reset)
        self.v = torch.where(held, self.v, torch.where(fired, after, v))
        self.refractory = torch.where(fired, neurons.refractory, self.refractory - held.double())
