"""Emission: a placed network as a core image."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from spikewright.fixed import signed_range
from spikewright.image import CoreImage, Manifest
from spikewright.spec import CoreSpec

from .graph import Network, Neuron
from .ir import Circuit, Placement, Quantized
from .lower import MISTAKEN
from .options import Discretization
from .paired import in_place

__all__ = ["directory", "emit"]

_STATE = ("a_mem", "a_syn", "bias", "v_threshold", "reset", "reset_to", "refractory")


def emit(
    network: Network,
    circuit: Circuit,
    quantized: Quantized,
    placement: Placement,
    spec: CoreSpec,
    discretization: Discretization,
    report: Mapping[str, Any],
) -> CoreImage:
    """Fill an image. Neuron slots in use by no population never spike."""
    parameters: dict[str, Any] = {name: np.zeros(spec.neurons, np.int64) for name in _STATE}
    parameters["v_threshold"][:] = signed_range(spec.state_bits)[1]
    parameters["reset_to"][:] = 1
    for name, raw in quantized.populations.items():
        for field, values in parameters.items():
            values[placement.populations[name].index] = getattr(raw, field)
    return CoreImage(
        spec=spec,
        level_groups=np.array(placement.level_groups),
        manifest=_manifest(network, circuit, quantized, placement, discretization, report),
        **directory(placement, spec),
        **parameters,
    )


def directory(placement: Placement, spec: CoreSpec) -> dict[str, Any]:
    """Weights, and descriptors moved to where the spec has their sources."""
    axons = placement.lines
    arrays = {name: placement.rows[name] for name in ("weights", "delays")}
    if spec.sparse:
        arrays["word_group"] = placement.rows["word_group"]
    for name in ("first_word", "word_count", "first_group"):
        values = placement.rows[name]
        arrays[name] = np.zeros(spec.sources, np.int64)
        arrays[name][:axons] = values[:axons]
        arrays[name][spec.axons : spec.axons + len(values) - axons] = values[axons:]
    return in_place(arrays, spec) if spec.paired_rows else arrays


def _manifest(
    network: Network,
    circuit: Circuit,
    quantized: Quantized,
    placement: Placement,
    discretization: Discretization,
    report: Mapping[str, Any],
) -> Manifest:
    return Manifest(
        name=network.name,
        inputs=tuple(placement.inputs.values()),
        populations=tuple(placement.populations.values()),
        outputs=tuple(dict.fromkeys(circuit.outputs.values())),
        semantics=_semantics(network, circuit, discretization),
        scales={name: raw.scale.tolist() for name, raw in quantized.populations.items()},
        report=dict(report),
        source=dict(network.source),
    )


def _one_or_each(values: Mapping[str, Any]) -> Any:
    """The value if it is the same for all, else the values by name; None if there are none."""
    distinct = list(dict.fromkeys(values.values()))
    return next(iter(distinct), None) if len(distinct) < 2 else dict(values)


def _semantics(
    network: Network, circuit: Circuit, discretization: Discretization
) -> dict[str, Any]:
    """What was resolved about how the network runs; by population where that differs.

    ``spike_order`` has the source, the target and the delay [timesteps] of all synapses: a spike
    arrives in its own timestep where that is 0, as feed-forward ones do, and in the next where it
    is 1, as recurrent ones do if the network says no more. ``threshold_mistaken`` is the bound of
    :data:`~spikewright.compiler.lower.MISTAKEN`, for non-strict thresholds.
    """
    nodes = {name: network.nodes[name] for name in circuit.populations}
    spiking = {
        name: node
        for name, node in nodes.items()
        if isinstance(node, Neuron) and node.reset is not None
    }
    thresholds = {
        name: "strict" if node.strict else "non-strict"
        for name, node in nodes.items()
        if isinstance(node, Neuron) and node.v_threshold is not None
    }
    reached = "non-strict" in thresholds.values()
    return {
        "dt": network.dt,
        "threshold": _one_or_each(thresholds),
        **({"threshold_mistaken": MISTAKEN} if reached else {}),
        "reset": _one_or_each({name: node.reset for name, node in spiking.items()}),
        "reset_delay": _one_or_each({name: node.reset_delay for name, node in spiking.items()}),
        "refractory": _one_or_each({
            name: circuit.populations[name].refractory for name in spiking
        }),
        "discretization": discretization,
        "kinds": {name: p.kind for name, p in circuit.populations.items()},
        "v_leak": {
            name: p.v_leak.tolist() for name, p in circuit.populations.items() if p.v_leak.any()
        },
        "outputs": dict(circuit.outputs),
        "spike_order": sorted(list(edge) for edge in circuit.weights),
    }
