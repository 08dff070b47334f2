"""What a compilation needs beyond the graph: the semantics that NIR leaves open, and formats."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from spikewright.errors import ModelError

__all__ = [
    "LEAST_BITS",
    "MOST_BITS",
    "CompileOptions",
    "Discretization",
    "ProjectionBits",
    "Reset",
    "Scaling",
]

Reset = Literal["subtract", "zero"]
Discretization = Literal["euler", "exact"]
Scaling = Literal["percentile", "mse"]
ProjectionBits = tuple[int, ...] | Mapping[str, int]

LEAST_BITS, MOST_BITS = 2, 16
"""Of a weight, on any core."""


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """Semantics that a NIR graph does not carry, and the number formats of the core.

    Parameters
    ----------
    dt : float or None
        Timestep [s], in the unit of the graph's time constants. Needed by every neuron.
    reset : {"subtract", "zero"} or None
        On a spike ``v`` loses ``v_threshold - v_reset``, or becomes ``v_reset``. Needed by every
        spiking neuron.
    reset_delay : bool or None
        The reset takes effect in the next timestep, on what v would be there, or at once. Needed by
        every spiking neuron. snnTorch's default is a delayed one; its ``Leaky`` (not ``RLeaky``)
        with ``reset_mechanism="zero"`` lets the next timestep's input in, and so is False here
        whatever it was given.
    discretization : {"euler", "exact"}
        With dt/tau = x the decay is ``1 - x`` and the input's gain ``x`` (as in snnTorch's
        export, Norse and Lava), or ``exp(-x)`` and ``1 - exp(-x)``.
    weight_bits, state_bits, fraction_bits, lanes, update_cycles : int or None
        Fields of the core's spec, as in :class:`~spikewright.spec.CoreSpec`; None takes them from
        the given spec, or the spec's own default. With a spec they must agree with it.
    sparse : bool or None
        Each weight word says for itself which neuron group it is for, so that rows hold only words
        with synapses in them. None takes it from the given spec; without one it is chosen where
        that leaves out a quarter of the words, or where a source reaches a neuron with several
        delays.
    bits : tuple of int, or mapping of str to int
        Weight bits of layers in the order of their levels, one each; or of some layers by name,
        "hidden", or of single projections, "in:hidden". The others have ``weight_bits``, which is
        by default as much as the bits need. A projection of fewer bits is rounded to a coarser
        grid, which the core computes with exactly; its weights take as much memory as all others.
        All projections into a neuron share its scale, so their grids are powers of two apart.
    scaling : {"percentile", "mse"}
        A neuron's weight scale covers a percentile of its weights, or is the one with the least
        squared error of rounding and clipping them.
    percentile : float
        Of a neuron's nonzero ``|weight|``, above 0 to 100, that ``scaling="percentile"`` covers;
        larger weights are clipped.
    tune : bool
        Choose by the calibration spikes: a percentile is one of the spikes' arrivals, not of the
        weights; a squared error is that of the potential, not of the weights; and biases,
        thresholds and decays are rounded to what errs least with the scale. See
        :mod:`spikewright.compiler.tune`.

    Raises
    ------
    ModelError
        A value out of range.
    """

    dt: float | None = None
    reset: Reset | None = None
    reset_delay: bool | None = None
    discretization: Discretization = "euler"
    weight_bits: int | None = None
    state_bits: int | None = None
    fraction_bits: int | None = None
    lanes: int | None = None
    update_cycles: int | None = None
    sparse: bool | None = None
    bits: ProjectionBits = ()
    scaling: Scaling = "percentile"
    percentile: float = 100.0
    tune: bool = False

    def __post_init__(self) -> None:
        reasons = []
        if self.dt is not None and not (math.isfinite(self.dt) and self.dt > 0):
            reasons.append(f"dt must be a positive time [s], not {self.dt!r}")
        for name, choices in (
            ("reset", (*get_args(Reset), None)),
            ("reset_delay", (True, False, None)),
            ("discretization", get_args(Discretization)),
            ("scaling", get_args(Scaling)),
        ):
            if getattr(self, name) not in choices:
                wanted = ", ".join(map(repr, choices))
                reasons.append(f"{name} must be one of {wanted}, not {getattr(self, name)!r}")
        each = self.bits.values() if isinstance(self.bits, Mapping) else self.bits
        reasons += [
            f"bits must be {LEAST_BITS} to {MOST_BITS}, not {bits!r}"
            for bits in each
            if not isinstance(bits, int) or not LEAST_BITS <= bits <= MOST_BITS
        ]
        if not 0 < self.percentile <= 100:
            reasons.append(f"percentile must be above 0 and at most 100, not {self.percentile!r}")
        if self.scaling == "mse" and self.percentile != 100:
            reasons.append(f"percentile {self.percentile!r} is for scaling='percentile' alone")
        if reasons:
            raise ModelError(
                "Compiler options are not valid:",
                reasons=reasons,
                hint="Correct them, or leave them out to get their defaults.",
            )
