"""Numbers of a SuperNeuroMAT network as integers, without rounding; what has none is refused."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from spikewright.errors import ModelError
from spikewright.fixed import signed_range
from spikewright.spec import CoreSpec

from .fit import draft_spec
from .options import CompileOptions
from .snm_reader import SnmNetwork

__all__ = [
    "SnmIntegers",
    "check_formats",
    "check_neurons",
    "draft_for",
    "exact_timesteps",
    "integers",
]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_FLOAT_BITS = 53
"""Of a float64's significand: integers of so many bits are added without rounding."""
_MOST_STATE_BITS = 24


@dataclass(frozen=True, eq=False)
class SnmIntegers:
    """What a network adds and compares, in integers: each neuron in a unit of its own.

    Attributes
    ----------
    weight : int64[s]
    line_weight : int64[lines]
    v_threshold, reset : int64[n]
        Relative to where the state begins, which a core has at 0.
    highest, lowest : int64[n]
        Most and least that can arrive in a timestep.
    """

    weight: Ints
    line_weight: Ints
    v_threshold: Ints
    reset: Ints
    highest: Ints
    lowest: Ints


def _refuse(what: str, reasons: Iterable[str], hint: str) -> None:
    if found := list(reasons):
        raise ModelError(f"SuperNeuroMAT network {what}", reasons=found, hint=hint)


def _first(network: SnmNetwork, wrong: Bools, what: str, values: npt.NDArray[Any]) -> Iterator[str]:
    """One reason for all neurons that have the same fault."""
    found = np.flatnonzero(wrong)
    if found.size:
        more = f" (and {found.size - 1} more neurons)" if found.size > 1 else ""
        k = found[0]
        yield f"{what.format(network.ids[k])}, not {values[k]:.10g}{more}"


def check_neurons(network: SnmNetwork) -> None:
    """Refuse neurons that no core updates as SuperNeuroMAT does. Raises :class:`ModelError`."""
    counts = network.leak == 0
    leaks = ~counts & ~np.isinf(network.leak)
    _refuse(
        "has neurons that no core updates exactly:",
        [
            *_first(
                network,
                leaks,
                "leak of neuron {} must be infinite, or 0: a core's decay is a factor, no amount",
                network.leak,
            ),
            *_first(
                network,
                counts & (network.refractory > 0),
                "refractory period of neuron {} must be 0, as it never leaks: a core's neuron "
                "takes nothing up while it is refractory, SuperNeuroMAT's does",
                network.refractory,
            ),
            *_first(
                network,
                network.refractory > 255,
                "refractory period of neuron {} must be at most 255 timesteps",
                network.refractory,
            ),
        ],
        "Change these neurons in the model and save it again.",
    )


def integers(network: SnmNetwork, lines: list[tuple[int, float]]) -> SnmIntegers:
    """Give each neuron the greatest unit of which all that it adds up is a multiple.

    Parameters
    ----------
    network : SnmNetwork
    lines : list of (int, float)
        Number of the neuron that each input line feeds, and what it adds to its state.

    Raises
    ------
    ModelError
        There is no such unit, or sums of so many of them are rounded in SuperNeuroMAT itself.
    """
    neurons = len(network.ids)
    index = {number: k for k, number in enumerate(network.ids.tolist())}
    fed = np.array([index[number] for number, _ in lines], np.int64)
    value = np.array([value for _, value in lines])
    counts = network.leak == 0
    origin = np.where(counts, network.state, network.reset_state)
    target = np.concatenate([network.post, fed, np.arange(neurons), np.arange(neurons)])
    exact = np.concatenate([network.weight, value, origin, network.reset_state])
    shift = _binary_places(exact, target, neurons)
    with np.errstate(over="ignore"):
        scaled = np.ldexp(exact, shift[target])
    too_wide = np.zeros(neurons, np.bool_)
    too_wide[target[np.abs(scaled) >= 2.0**_FLOAT_BITS]] = True
    _refuse_wide(network, too_wide)
    whole = scaled.astype(np.int64)
    unit = np.zeros(neurons, np.int64)
    np.gcd.at(unit, target, whole)
    unit = np.maximum(unit, 1)
    raw = whole // unit[target]
    ends = np.cumsum([len(network.post), len(fed), neurons])
    weight, line_weight, start, reset = np.split(raw, ends)
    # Sums in floating point are exact while whole units fit the significand.
    _refuse_wide(network, (np.abs(start) + (1 << _MOST_STATE_BITS)) > (1 << _FLOAT_BITS) // unit)
    arriving, onto = np.concatenate([weight, line_weight]), np.concatenate([network.post, fed])
    highest, lowest = np.zeros((2, neurons), np.int64)
    np.add.at(highest, onto, np.maximum(arriving, 0))
    np.add.at(lowest, onto, np.minimum(arriving, 0))
    thresholds = [
        _threshold(threshold, Fraction(int(u), 1) / (1 << int(places)), int(begin))
        for threshold, u, places, begin in zip(network.threshold, unit, shift, start, strict=True)
    ]
    return SnmIntegers(weight, line_weight, np.array(thresholds), reset - start, highest, lowest)


def _binary_places(values: Floats, target: Ints, neurons: int) -> Ints:
    """Bits after the binary point of the longest of each neuron's values, ``int64[neurons]``."""
    significand, exponent = np.frexp(values)
    bits = np.ldexp(significand, _FLOAT_BITS).astype(np.int64)
    trailing = np.frexp((bits & -bits).astype(np.float64))[1] - 1
    places = np.where(values == 0, 0, _FLOAT_BITS - exponent - trailing)
    found = np.zeros(neurons, np.int64)
    np.maximum.at(found, target, places)
    return found


def _refuse_wide(network: SnmNetwork, wrong: Bools) -> None:
    numbers = ", ".join(map(str, network.ids[wrong][:5].tolist()))
    _refuse(
        "has numbers that no core holds exactly:",
        [
            f"weights, inputs and reset state of neuron {numbers} must be small multiples of one "
            f"number, within {_FLOAT_BITS} bits in all: 0.5 and 3 are, 0.1 and 3 are not"
        ]
        if wrong.any()
        else [],
        "Round them in the model, or scale them to integers, and save it again.",
    )


def _threshold(threshold: float, unit: Fraction, start: int) -> int:
    """Most whole units above ``start`` that do not exceed a threshold; 32 bits at most."""
    most = 1 << 31
    if np.isinf(threshold):
        return most if threshold > 0 else -most
    return max(-most, min(most, Fraction(threshold) // unit - start))


def draft_for(
    network: SnmNetwork, raw: SnmIntegers, options: CompileOptions, spec: CoreSpec | None
) -> CoreSpec:
    """The given spec, or one of the least number formats that hold the network.

    Raises
    ------
    ModelError
        Options that contradict the given spec.
    SpecError
        Number formats that no core has.
    """
    if spec:
        return draft_spec(spec, options)
    weight = max(int(np.abs(w).max(initial=0)) for w in (raw.weight, raw.line_weight))
    reach = int(max(raw.highest.max(), -raw.lowest.min()))
    fraction_bits = options.fraction_bits or 0
    state_bits = reach.bit_length() + 1 + fraction_bits
    if (network.leak == 0).any():
        state_bits = _MOST_STATE_BITS
    chosen = replace(
        options,
        weight_bits=options.weight_bits or min(16, max(2, weight.bit_length() + 1)),
        state_bits=options.state_bits or min(_MOST_STATE_BITS, max(12, state_bits)),
        fraction_bits=fraction_bits,
    )
    slots = 1 << (int(network.delay.max(initial=1)) - 1).bit_length()
    return replace(draft_spec(None, chosen), delay_slots=slots)


def check_formats(network: SnmNetwork, raw: SnmIntegers, spec: CoreSpec) -> None:
    """Refuse integers that are too large for a core. Raises :class:`ModelError`."""
    low, high = signed_range(spec.weight_bits)
    widest = np.zeros(len(network.ids), np.int64)
    np.maximum.at(widest, network.post, np.abs(raw.weight))
    most = _most_units(spec)
    counts = network.leak == 0
    reach = np.maximum(raw.highest, -raw.lowest)
    lines = [w for w in raw.line_weight.tolist() if not low <= w <= high]
    reasons = [
        *_first(
            network,
            widest > high,
            f"weights into neuron {{}} must be at most {high} times their unit "
            f"({spec.weight_bits} bits)",
            widest,
        ),
        *_first(
            network,
            reach > most,
            f"the weights into neuron {{}} must add up to at most {most} times their unit "
            f"({spec.state_bits} bits, {spec.fraction_bits} of them fraction)",
            reach,
        ),
        *_first(
            network,
            counts & (np.abs(raw.reset) > most),
            f"reset state of neuron {{}} must be at most {most} units from where it begins",
            raw.reset,
        ),
    ]
    if lines:
        reasons.append(f"inputs must be at most {high} times the unit, not {lines[0]}")
    _refuse(
        "does not fit the number formats:",
        reasons,
        "Give more --weight-bits or --state-bits, or scale the numbers to small integers.",
    )


def _most_units(spec: CoreSpec) -> int:
    """Largest state in whole units."""
    return signed_range(spec.state_bits)[1] >> spec.fraction_bits


def exact_timesteps(network: SnmNetwork, raw: SnmIntegers, spec: CoreSpec) -> int | None:
    """Timesteps after which a neuron that never leaks could at worst saturate; None if never."""
    most = _most_units(spec)
    counts = network.leak == 0
    down, up = counts & (raw.lowest < 0), counts & (raw.v_threshold + raw.highest > most)
    falls = (most + np.minimum(raw.reset, 0))[down] // -raw.lowest[down]
    rises = (most - np.maximum(raw.reset, 0))[up] // np.maximum(raw.highest[up], 1)
    found = np.concatenate([falls, rises[raw.highest[up] > 0]])
    return int(found.min()) if found.size else None
