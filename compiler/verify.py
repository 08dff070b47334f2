"""Checks between passes: what each pass may rely on, and what the one before must have made."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from spikewright.errors import ModelError
from spikewright.fixed import DECAY_ONE, signed_range
from spikewright.image import CoreImage
from spikewright.spec import CoreSpec

from .graph import Affine, Convolution, Delay, Input, Network, Neuron, Node, Output, Scale
from .ir import Circuit, Placement, Quantized
from .matrices import rows_of
from .report import accumulator_range

__all__ = [
    "check_accumulators",
    "check_circuit",
    "check_image",
    "check_network",
    "check_placement",
    "check_quantized",
    "check_resolved",
]


# The network is a user's: everything wrong with it is a ModelError.


def check_network(network: Network) -> None:
    """Check edges, values and sizes of a graph.

    Raises
    ------
    ModelError
        Every fault of the first kind that there is, each naming its node.
    """
    again = "in the model and export it again."
    for what, find, hint in (
        ("nodes or edges missing", _incomplete, f"Correct the graph {again}"),
        ("values out of range", _wrong_values, f"Correct these values {again}"),
        ("sizes that do not match", _wrong_sizes, f"Correct the shapes {again}"),
        (
            "nodes that are not connected",
            _unconnected,
            "Connect them on both sides, or leave them out.",
        ),
    ):
        if reasons := find(network):
            raise ModelError(f"Network has {what}:", reasons=reasons, hint=hint)


def _incomplete(network: Network) -> list[str]:
    nodes = network.nodes
    reasons = [
        f"it has no {kind.__name__} node" for kind in (Input, Output) if not network.of_type(kind)
    ]
    if not network.of_type(Neuron):
        reasons.append("it has no neurons, only transforms; add a node such as LIF or LI")
    reasons += [
        f"edge {a!r} to {b!r}: there is no node {end!r}"
        for a, b in network.edges
        for end in (a, b)
        if end not in nodes
    ]
    seen: set[tuple[str, str]] = set()
    for a, b in network.edges:
        if (a, b) in seen:
            reasons.append(f"edge {a!r} to {b!r} must be there once, not twice")
        seen.add((a, b))
        if type(nodes.get(a)) is Output:
            reasons.append(f"edge {a!r} to {b!r} must not start at an Output")
        if type(nodes.get(b)) is Input:
            reasons.append(f"edge {a!r} to {b!r} must not end at an Input")
    return reasons


def _wrong_values(network: Network) -> list[str]:
    reasons = []
    for name, node in network.nodes.items():
        for field, values in _arrays(node).items():
            where = f"node {name!r}: {field}"
            if not np.isfinite(values).all():
                bad = values.flat[int(np.isfinite(values).argmin())]
                reasons.append(f"{where} must be finite, not {bad}")
            elif field.startswith("tau") and (values <= 0).any():
                reasons.append(f"{where} must be above 0 s, not {values.min():g}")
            elif field == "delay" and (values < 0).any():
                reasons.append(f"{where} must be 0 s or more, not {values.min():g}")
    return reasons


def _arrays(node: Node) -> dict[str, npt.NDArray[Any]]:
    if isinstance(node, Neuron):
        return dict(node.parameters)
    if isinstance(node, Affine):
        weight = node.weight.data if isinstance(node.weight, sparse.csr_array) else node.weight
        return {"weight": weight, "bias": node.bias}
    if isinstance(node, Convolution):
        return {"weight": node.weight, "bias": node.bias}
    if isinstance(node, Delay):
        return {"delay": node.delay}
    return {"scale": node.scale} if isinstance(node, Scale) else {}


def _wrong_sizes(network: Network) -> list[str]:
    reasons = [
        f"node {name!r}: {why}"
        for name, node in network.nodes.items()
        if isinstance(node, Convolution) and (why := _wrong_convolution(node))
    ]
    if reasons:
        return reasons
    for name, node in network.nodes.items():
        if isinstance(node, Neuron):
            reasons += [
                f"node {name!r}: {field} must have {node.size_out} values, not {values.size}"
                for field, values in node.parameters.items()
                if values.shape != (node.size_out,)
            ]
        elif isinstance(node, Affine) and node.bias.shape != (node.size_out,):
            reasons.append(
                f"node {name!r}: bias must have {node.size_out} values, as weight has rows, not "
                f"{node.bias.size}"
            )
        if node.size_out < 1 or node.size_in < 1:
            reasons.append(f"node {name!r} must have at least one value, not 0")
    for a, b in network.edges:
        given, wanted = network.nodes[a].size_out, network.nodes[b].size_in
        if given != wanted:
            reasons.append(f"node {b!r} must get {wanted} values, not the {given} of {a!r}")
    return reasons


def _wrong_convolution(node: Convolution) -> str:
    """What does not fit in a convolution; empty if it all does."""
    space = node.weight.ndim - 2
    each = (node.stride, node.padding, node.dilation, node.shape_in[1:])
    if space < 1 or any(len(values) != space for values in each):
        return "stride, padding, dilation and shape_in must be of weight's dimensions"
    if min(*node.stride, *node.dilation, node.groups) < 1 or np.min(node.padding) < 0:
        return "stride, dilation and groups must be 1 or more, padding 0 or more"
    if node.shape_in[0] != node.weight.shape[1] * node.groups or len(node.weight) % node.groups:
        return "channels in and out must be those of weight, in groups"
    if node.bias.shape != (len(node.weight),) or min(node.shape_out) < 1:
        return "bias must have a value a channel, and the kernel fit into the padded input"
    return ""


def _unconnected(network: Network) -> list[str]:
    reasons = []
    for kind, edges, what in (
        (Input, network.edges, "no path from any Input leads to it"),
        (Output, tuple((b, a) for a, b in network.edges), "no path from it leads to any Output"),
    ):
        reached = set(network.of_type(kind))
        frontier = reached
        while frontier:
            frontier = {b for a, b in edges if a in frontier} - reached
            reached = reached | frontier
        reasons += [f"node {name!r}: {what}" for name in network.nodes if name not in reached]
    return reasons


# What passes make is ours: a fault in it is a bug, but one that must not reach an image.

_OURS = "This is a mistake in Spikewright: please report it, with the network."


def check_resolved(network: Network) -> None:
    """Check that no node leaves anything open that a later pass would have to guess.

    Raises
    ------
    ModelError
    """
    reasons = []
    for name, node in network.nodes.items():
        timed = isinstance(node, Delay) or (isinstance(node, Neuron) and not node.is_memoryless)
        if timed and network.dt is None:
            reasons.append(f"node {name!r} must have dt")
        if isinstance(node, Neuron) and node.v_threshold is not None and node.strict is None:
            reasons.append(f"node {name!r} must have strict")
        if isinstance(node, Neuron) and node.resets:
            reasons += [
                f"node {name!r} must have {field}"
                for field in ("reset", "reset_delay")
                if getattr(node, field) is None
            ]
    if reasons:
        raise ModelError("Semantics are not resolved:", reasons=reasons, hint=_OURS)


def check_circuit(circuit: Circuit) -> None:
    """Check that matrices fit their ends and that every parameter is finite and in range.

    Raises
    ------
    ModelError
        Parameters that overflow in discrete time, such as a gain beyond what a float holds.
    """
    reasons = []
    sizes = {name: int(np.prod(shape)) for name, shape in circuit.inputs.items()}
    sizes |= {name: population.size for name, population in circuit.populations.items()}
    for edge, weight in circuit.weights.items():
        shape = sizes[edge.target], sizes[edge.source]
        if weight.shape != shape:
            reasons.append(f"weights {edge} must have shape {shape}")
        if not np.isfinite(weight.data).all():
            reasons.append(f"weights {edge} must be finite in discrete time")
    for name, p in circuit.populations.items():
        for field in ("a_mem", "a_syn", "bias", "reset", "v_leak", "v_threshold"):
            values = getattr(p, field)
            if values.shape != (p.size,):
                reasons.append(f"node {name!r}: {field} must have {p.size} values")
            elif field != "v_threshold" and not np.isfinite(values).all():
                reasons.append(f"node {name!r}: {field} must be finite in discrete time")
        for field in ("a_mem", "a_syn"):
            if ((getattr(p, field) < 0) | (getattr(p, field) > 1)).any():
                reasons.append(f"node {name!r}: {field} must be in [0, 1]")
    placed = sorted(name for level in circuit.levels for name in level)
    if circuit.levels and placed != sorted(circuit.populations):
        reasons.append("every population must be in exactly one level")
    elif circuit.levels:
        reasons += [
            f"weights {edge} must have a delay, or lead to a later level"
            for edge in circuit.weights
            if not edge.delay and not circuit.is_onward(edge)
        ]
    if reasons:
        raise ModelError(
            "Network has parameters out of range in discrete time:",
            reasons=reasons,
            hint="Correct time constants, resistances and weights of these nodes.",
        )


def check_quantized(circuit: Circuit, quantized: Quantized, spec: CoreSpec) -> None:
    """Check that every raw integer fits its format.

    Raises
    ------
    ModelError
    """
    reasons = []
    state = signed_range(spec.state_bits)
    limits = {"a_mem": (0, DECAY_ONE), "a_syn": (0, DECAY_ONE), "bias": state, "reset": state}
    limits |= {"v_threshold": state}
    for name in circuit.populations:
        for field, (low, high) in limits.items():
            values = getattr(quantized.populations[name], field)
            if values.min() < low or values.max() > high:
                reasons.append(
                    f"node {name!r}: {field} must fit [{low}, {high}], not {values.min()} to "
                    f"{values.max()}"
                )
    low, high = signed_range(spec.weight_bits)
    for edge, weight in quantized.weights.items():
        if weight.data.min(initial=0) < low or weight.data.max(initial=0) > high:
            reasons.append(f"weights {edge} must fit [{low}, {high}]")
    if reasons:
        raise ModelError(
            "Network does not fit the core's number formats:", reasons=reasons, hint=_OURS
        )


def check_placement(circuit: Circuit, placement: Placement, lanes: int) -> None:
    """Check that everybody has a place of their own, and rows words of their own.

    Raises
    ------
    ModelError
    """
    reasons = []
    ends = np.cumsum(placement.level_groups) * lanes
    used = np.zeros(int(ends[-1]), np.int64)
    for k, level in enumerate(circuit.levels):
        for name in level:
            where = placement.populations[name]
            if where.first < ends[k] - placement.level_groups[k] * lanes or (
                where.first + where.count > ends[k]
            ):
                reasons.append(f"node {name!r} must lie within the groups of level {k}")
            used[where.slice] += 1
    if (used > 1).any():
        reasons.append(f"slot {int(used.argmax())} must belong to one node, not {used.max()}")
    count, first = placement.rows["word_count"], placement.rows["first_word"]
    rows = np.flatnonzero(count)
    rows = rows[np.argsort(first[rows])]
    if not np.array_equal(first[rows], np.cumsum(count[rows]) - count[rows]):
        reasons.append("rows must follow one another")
    if count.sum() != len(placement.rows["weights"]):
        reasons.append("every word must belong to a row")
    if reasons:
        raise ModelError("Placement is not sound:", reasons=reasons, hint=_OURS)


def check_accumulators(circuit: Circuit, quantized: Quantized, spec: CoreSpec) -> None:
    """Check that no order of additions can overflow an accumulator.

    Only several synapses from one source to one neuron can bring more than a spec allows for.

    Raises
    ------
    ModelError
        The first neuron of each node whose accumulator could.
    """
    low, high = signed_range(spec.acc_bits)
    reasons = []
    for name in circuit.populations:
        least, greatest = accumulator_range(circuit, quantized, name)
        wrong = (least < low) | (greatest > high)
        if wrong.any():
            n = int(wrong.argmax())
            reasons.append(
                f"node {name!r}, neuron {n}: the sum of its weights must fit [{low}, {high}], not "
                f"{least[n]:.0f} to {greatest[n]:.0f}"
            )
    if reasons:
        raise ModelError(
            "Network could overflow the core's accumulators:",
            reasons=reasons,
            hint="Use fewer synapses of different delays between the same neurons, fewer "
            "weight_bits, or a core with more axons or neurons, whose accumulators are wider.",
        )


def check_image(
    image: CoreImage, circuit: Circuit, placement: Placement, quantized: Quantized
) -> None:
    """Read an image's rows back as the core does and compare them with the weights.

    Raises
    ------
    ModelError
    """
    found, weights = _stored(image)
    expected = []
    for edge, matrix in quantized.weights.items():
        rows, columns = rows_of(matrix), matrix.indices
        kept = np.flatnonzero(matrix.data)
        if edge.source in placement.inputs:
            source = placement.inputs[edge.source].positions[columns[kept]]
        else:
            neuron = placement.populations[edge.source].positions[columns[kept]]
            source = image.spec.axons + neuron
        slot = placement.populations[edge.target].positions[rows[kept]]
        keys = _keys(source, slot, circuit.core_delay(edge), image.spec)
        order = np.argsort(keys)
        keys = keys[order]
        at = np.minimum(np.searchsorted(found, keys), max(0, len(found) - 1))
        if len(keys) and (
            not len(found)
            or (found[at] != keys).any()
            or (weights[at] != matrix.data[kept][order]).any()
        ):
            raise ModelError(f"Image does not hold the weights from {edge}.", hint=_OURS)
        expected.append(keys)
    if not np.array_equal(np.sort(np.concatenate(expected)), found):
        raise ModelError("Image holds weights that the network does not have.", hint=_OURS)


def _keys(
    source: npt.NDArray[Any], slot: npt.NDArray[Any], delay: npt.NDArray[Any] | int, spec: CoreSpec
) -> npt.NDArray[np.int64]:
    """A number for each place that a synapse can have."""
    keys: npt.NDArray[np.int64] = source.astype(np.int64) * spec.neurons + slot
    return keys * spec.delay_slots + delay


def _stored(image: CoreImage) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Places of an image's nonzero weights, sorted, and these weights."""
    source, word, group = image.row_words(np.arange(image.spec.sources))
    at, lane = np.nonzero(image.weights[word])
    word = word[at]
    slot = group[at] * image.spec.lanes + lane
    keys = _keys(source[at], slot, image.delays[word, lane], image.spec)
    order = np.argsort(keys)
    return keys[order], image.weights[word, lane][order]
