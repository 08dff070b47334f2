"""What the checks between passes refuse: each fault put into a pass's sound result."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from networks import affine, chain, lowered, neuron, options

from spikewright.compiler import compile_network, pipeline
from spikewright.compiler.emit import emit
from spikewright.compiler.graph import Network
from spikewright.compiler.ir import Circuit, Edge
from spikewright.compiler.levels import assign_levels
from spikewright.compiler.matrices import as_csr
from spikewright.compiler.place import place
from spikewright.compiler.quantize import quantize
from spikewright.compiler.semantics import resolve
from spikewright.compiler.verify import (
    check_accumulators,
    check_circuit,
    check_image,
    check_network,
    check_placement,
    check_quantized,
    check_resolved,
)
from spikewright.errors import ModelError
from spikewright.image import CoreImage
from spikewright.manifest import Population as Range
from spikewright.spec import CoreSpec

NETWORK = chain(affine([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), neuron(n=3))
CIRCUIT = assign_levels(lowered(NETWORK, options()))
SPEC = CoreSpec()
QUANTIZED = quantize(CIRCUIT, SPEC)


def test_sound_results_pass() -> None:
    check_network(NETWORK)
    check_circuit(CIRCUIT)
    check_quantized(CIRCUIT, QUANTIZED, SPEC)


def with_parameter(field: str, value: Any) -> Circuit:
    population = replace(CIRCUIT.populations["n1"], **{field: value})
    return replace(CIRCUIT, populations={"n1": population})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: with_parameter("a_mem", np.array([0.5, 1.5, 0.5])),
            r"'n1': a_mem must be in \[0, 1",
        ),
        (lambda: with_parameter("bias", np.full(3, np.nan)), "'n1': bias must be finite"),
        (lambda: with_parameter("reset", np.zeros(2)), "'n1': reset must have 3 values"),
        (
            lambda: replace(CIRCUIT, weights={Edge("in", "n1"): as_csr(np.ones((2, 3)))}),
            r"weights 'in' to 'n1' must have shape \(3, 2\)",
        ),
        (lambda: replace(CIRCUIT, levels=(("n1",), ("n1",))), "must be in exactly one level"),
        (
            lambda: replace(CIRCUIT, weights={Edge("n1", "n1"): as_csr(np.eye(3))}),
            "weights 'n1' to 'n1' must have a delay, or lead to a later level",
        ),
    ],
)
def test_a_faulty_circuit(make: Callable[[], Circuit], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        check_circuit(make())


def test_raw_values_that_do_not_fit() -> None:
    raw = replace(QUANTIZED.populations["n1"], bias=np.array([0, 1 << 19, 0]))
    faulty = replace(
        QUANTIZED,
        populations={"n1": raw},
        weights={Edge("in", "n1"): as_csr(np.full((3, 2), -129))},
    )
    with pytest.raises(ModelError, match="bias must fit") as caught:
        check_quantized(CIRCUIT, faulty, SPEC)
    assert len(caught.value.reasons) == 2


def test_semantics_left_open() -> None:
    resolved = resolve(NETWORK, options())
    check_resolved(resolved)
    with pytest.raises(ModelError, match="node 'n1' must have dt"):
        check_resolved(replace(resolved, dt=None))
    open_reset = replace(neuron(n=3), reset_delay=True)
    nodes = dict(resolved.nodes) | {"n1": open_reset}
    with pytest.raises(ModelError, match="node 'n1' must have reset\n"):
        check_resolved(replace(resolved, nodes=nodes))


PLACEMENT = place(CIRCUIT, QUANTIZED, SPEC.lanes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"populations": {"n1": Range(name="n1", first=6, count=3)}}, "within the groups of level"),
        ({"level_groups": (0,)}, "node 'n1' must lie within the groups of level 0"),
        (
            {"rows": dict(PLACEMENT.rows) | {"first_word": np.ones(10, int)}},
            "must follow one anoth",
        ),
        ({"rows": dict(PLACEMENT.rows) | {"weights": np.ones((3, 8))}}, "must belong to a row"),
    ],
)
def test_a_faulty_placement(change: dict[str, Any], message: str) -> None:
    check_placement(CIRCUIT, PLACEMENT, SPEC.lanes)
    with pytest.raises(ModelError, match=message):
        check_placement(CIRCUIT, replace(PLACEMENT, **change), SPEC.lanes)


def test_two_nodes_in_one_slot() -> None:
    nodes = dict(chain(affine(np.eye(3)), neuron(n=3)).nodes) | {"n2": neuron(n=3)}
    edges = (("in", "n0"), ("n0", "n1"), ("n0", "n2"), ("n1", "out"), ("n2", "out2"))
    nodes["out2"] = nodes["out"]
    circuit = assign_levels(lowered(Network(nodes, edges), options()))
    placement = place(circuit, quantize(circuit, SPEC), SPEC.lanes)
    check_placement(circuit, placement, SPEC.lanes)
    both = dict(placement.populations) | {"n2": Range(name="n2", first=2, count=3)}
    with pytest.raises(ModelError, match="slot 2 must belong to one node, not 2"):
        check_placement(circuit, replace(placement, populations=both), SPEC.lanes)


def test_sums_that_could_overflow() -> None:
    """One synapse a source fits any core; three of other delays do not fit a small one."""
    spec = CoreSpec(axons=1, neurons=1, lanes=1)
    edges = [Edge("in", "n1", delay) for delay in range(5)]
    circuit = replace(CIRCUIT, weights={edge: as_csr(np.ones((3, 2))) for edge in edges})
    quantized = quantize(circuit, spec)
    check_accumulators(CIRCUIT, QUANTIZED, SPEC)
    with pytest.raises(
        ModelError,
        match=r"node 'n1', neuron 0: the sum of its weights must fit \[-256, 255\], not 0 to 1270",
    ) as caught:
        check_accumulators(circuit, quantized, spec)
    assert caught.value.hint


def test_an_image_with_other_weights() -> None:
    image = compile_network(NETWORK, options())
    placement = place(CIRCUIT, QUANTIZED, SPEC.lanes)
    check_image(image, CIRCUIT, placement, QUANTIZED)
    weights = image.weights.copy()
    weights[1, 2] -= 1
    with pytest.raises(ModelError, match="does not hold the weights from 'in' to 'n1'"):
        check_image(replace(image, weights=weights), CIRCUIT, placement, QUANTIZED)
    weights = image.weights.copy()
    weights[1, 7] = 1
    with pytest.raises(ModelError, match="holds weights that the network does not have"):
        check_image(replace(image, weights=weights), CIRCUIT, placement, QUANTIZED)


def test_the_compiler_checks_its_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(*passes: Any) -> CoreImage:
        image = emit(*passes)
        return replace(image, weights=image.weights // 2)

    monkeypatch.setattr(pipeline, "emit", faulty)
    with pytest.raises(ModelError, match="does not hold the weights"):
        compile_network(NETWORK, options())


def test_neuron_parameters_of_a_wrong_size() -> None:
    network = chain(affine([[1.0]] * 3), replace(neuron(n=3), r=np.ones(2)))
    with pytest.raises(ModelError, match="node 'n1': r must have 3 values, not 2"):
        compile_network(network, options())
