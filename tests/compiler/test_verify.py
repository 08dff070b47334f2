"""What the checks between passes refuse: each fault put into a pass's sound result."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from networks import affine, chain, lowered, neuron, options

from spikewright.compiler import compile_network, pipeline
from spikewright.compiler.emit import emit
from spikewright.compiler.ir import Circuit, Edge
from spikewright.compiler.levels import assign_levels
from spikewright.compiler.matrices import as_csr
from spikewright.compiler.place import place
from spikewright.compiler.quantize import quantize
from spikewright.compiler.verify import check_circuit, check_image, check_network, check_quantized
from spikewright.errors import ModelError
from spikewright.image import CoreImage
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
