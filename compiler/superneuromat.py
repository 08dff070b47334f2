"""SuperNeuroMAT networks as core images, spike for spike; what no core does exactly is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spikewright.errors import ModelError
from spikewright.fixed import DECAY_ONE, signed_range
from spikewright.image import CoreImage, Manifest, Population
from spikewright.spec import CoreSpec

from .emit import directory
from .fit import Needs, fit
from .ir import Placement
from .options import CompileOptions
from .place import Synapses, weight_rows
from .snm_delays import fold_delays
from .snm_numbers import (
    SnmIntegers,
    check_formats,
    check_neurons,
    draft_for,
    exact_timesteps,
    integers,
)
from .snm_reader import SnmNetwork, read_superneuromat

__all__ = ["compile_superneuromat", "input_lines", "stimulus"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_SEMANTICS = (
    *("dt", "reset", "reset_delay", "discretization"),
    *("bits", "scaling", "percentile", "tune"),
)
_DEFAULT = CompileOptions()
_LONGEST_DELAY = 64
"""Of a synapse on any core [timesteps]."""


def input_lines(network: SnmNetwork) -> list[tuple[int, float]]:
    """Number in the file, and value, of the neuron that each input line of the image feeds.

    One line for each neuron and value of the external spikes in the file; if there are none, one of
    value 1 for each neuron that is not part of a delay.
    """
    fed = network.ids[network.input_neuron].tolist()
    given = zip(fed, network.input_value.tolist(), strict=True)
    lines = sorted({(neuron, value) for neuron, value in given if value})
    return lines or [(neuron, 1.0) for neuron in network.ids[~network.is_hidden].tolist()]


def stimulus(network: SnmNetwork, timesteps: int) -> Bools:
    """The external spikes in the file, as input spikes of the image: ``bool[timesteps, lines]``."""
    lines = {line: k for k, line in enumerate(input_lines(network))}
    spikes = np.zeros((timesteps, len(lines)), np.bool_)
    fed = network.ids[network.input_neuron].tolist()
    events = zip(network.input_time.tolist(), fed, network.input_value.tolist(), strict=True)
    for time, neuron, value in events:
        if time < timesteps and value:
            spikes[time, lines[neuron, value]] = True
    return spikes


def compile_superneuromat(
    source: Path | str | SnmNetwork,
    options: CompileOptions | None = None,
    *,
    spec: CoreSpec | None = None,
) -> CoreImage:
    """Compile a SuperNeuroMAT network; its image spikes as the network does there.

    All neurons are in one level, so a spike of timestep t arrives in t + 1, or later where a
    synapse is delayed. Weights of a neuron become integers in a unit of its own, without rounding.

    Parameters
    ----------
    source : path or SnmNetwork
    options : CompileOptions
        Number formats; by default the least that hold the network exactly.
    spec : CoreSpec
        The core to fit; by default the smallest.

    Returns
    -------
    CoreImage
        Its axons are :func:`input_lines`; which neuron of the file each slot is stands in the
        manifest's semantics, as does the number of timesteps for which the image is exact, where
        a neuron that never leaks could count further than a state has bits.

    Raises
    ------
    ModelError
        A file that cannot be read, neurons that no core updates exactly, numbers that are not
        multiples of one unit or do not fit, or a network too large; names neuron, limit and remedy.
    SpecError
        Number formats that no core has.
    """
    options = options or CompileOptions()
    given = [name for name in _SEMANTICS if getattr(options, name) != getattr(_DEFAULT, name)]
    if given:
        raise ModelError(
            "SuperNeuroMAT itself says how its networks run:",
            reasons=[f"{name} must be left out" for name in given],
            hint="Give these options for NIR files only.",
        )
    whole = source if isinstance(source, SnmNetwork) else read_superneuromat(source)
    check_neurons(whole)
    network = fold_delays(whole, spec.delay_slots if spec else _LONGEST_DELAY)
    lines = input_lines(whole)
    raw = integers(network, lines)
    draft = draft_for(network, raw, options, spec)
    check_formats(network, raw, draft)
    return _emit(network, lines, raw, draft, spec)


def _emit(
    network: SnmNetwork,
    lines: list[tuple[int, float]],
    raw: SnmIntegers,
    draft: CoreSpec,
    spec: CoreSpec | None,
) -> CoreImage:
    order = np.argsort(network.is_hidden, kind="stable")  # those of delays behind all others
    slot = np.argsort(order)
    neurons = len(order) + -len(order) % draft.lanes
    fit(_needs(network, len(lines), neurons, 0), draft, spec)  # before matrices of its size
    index = {number: k for k, number in enumerate(network.ids.tolist())}
    fed = slot[np.array([index[number] for number, _ in lines], np.int64)]
    weight = np.concatenate([raw.line_weight, raw.weight]).astype(np.int16)
    some = weight != 0
    row = np.concatenate([np.arange(len(lines)), len(lines) + slot[network.pre]])
    delay = np.concatenate([np.zeros(len(lines), np.int64), network.delay - 1])
    synapses = Synapses(
        row=row[some].astype(np.int32),
        slot=np.concatenate([fed, slot[network.post]])[some].astype(np.int32),
        delay=delay[some].astype(np.uint8),
        weight=weight[some],
        sources=len(lines) + neurons,
        lanes=draft.lanes,
    )
    inputs = {"lines": Population(name="lines", first=0, count=len(lines))} if lines else {}
    populations = {"neurons": Population(name="neurons", first=0, count=neurons)}
    placement = Placement(inputs, populations, (neurons // draft.lanes,), {})
    placement = replace(placement, rows=weight_rows(synapses, placement, draft.sparse))
    words = len(placement.rows["weights"])
    fitted = fit(_needs(network, len(lines), neurons, words), draft, spec)
    return CoreImage(
        spec=fitted,
        level_groups=np.array(placement.level_groups),
        manifest=_manifest(network, lines, order, exact_timesteps(network, raw, fitted)),
        **directory(placement, fitted),
        **_parameters(network, raw, slot, fitted),
    )


def _needs(network: SnmNetwork, axons: int, neurons: int, words: int) -> Needs:
    return Needs(
        axons=max(1, axons),
        neurons=neurons,
        weight_words=words,
        delay_slots=1 << (int(network.delay.max(initial=1)) - 1).bit_length(),
        refractory_bits=int(network.refractory.max(initial=0)).bit_length(),
    )


def _parameters(
    network: SnmNetwork, raw: SnmIntegers, slot: Ints, spec: CoreSpec
) -> dict[str, Any]:
    """Neurons' parameters; slots in use by none never spike."""
    low, high = signed_range(spec.state_bits)
    never = {"v_threshold": high, "reset_to": 1}
    values: dict[str, Any] = {
        "a_mem": np.where(network.leak == 0, DECAY_ONE, 0),
        "a_syn": 0,
        "bias": 0,
        "v_threshold": np.clip(raw.v_threshold << spec.fraction_bits, low, high),
        "reset": raw.reset << spec.fraction_bits,
        "reset_to": 1,
        "refractory": network.refractory,
    }
    found = {}
    for name, own in values.items():
        found[name] = np.full(spec.neurons, never.get(name, 0), np.int64)
        found[name][slot] = own
    return found


def _manifest(
    network: SnmNetwork,
    lines: list[tuple[int, float]],
    order: Ints,
    exact_timesteps: int | None,
) -> Manifest:
    hidden = int(network.is_hidden.sum())
    visible = len(order) - hidden
    populations = [Population(name="neurons", first=0, count=visible)] if visible else []
    if hidden:
        populations.append(Population(name="delays", first=visible, count=hidden))
    return Manifest(
        name=network.name,
        inputs=(Population(name="inputs", first=0, count=len(lines)),) if lines else (),
        populations=tuple(populations),
        outputs=(populations[0].name,),
        semantics={
            "model": "SuperNeuroMAT",
            "threshold": "strict",
            "reset": "to reset state, at once",
            "spike_order": "next timestep, or later by delay",
            "exact_timesteps": "all" if exact_timesteps is None else exact_timesteps,
            "neurons": network.ids[order].tolist(),
            "inputs": [list(line) for line in lines],
        },
        source=dict(network.source),
    )
