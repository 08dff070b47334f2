from typing import Any

import numpy as np
import pytest
from networks import affine, chain, neuron

from spikewright.compiler import CompileOptions, compile_network
from spikewright.compiler.graph import Network
from spikewright.errors import ModelError, SpecError
from spikewright.spec import CoreSpec

OPTIONS = CompileOptions(dt=1.0, reset="zero", reset_delay=False)


def layer(inputs: int, neurons: int, kind: str = "LIF") -> Network:
    return chain(affine(np.ones((neurons, inputs))), neuron(kind, neurons))


def test_the_smallest_core_has_only_what_the_network_needs() -> None:
    spec = compile_network(layer(5, 11), OPTIONS).spec
    assert spec == CoreSpec(
        axons=5, neurons=16, weight_words=16, refractory_bits=0, synapse_current=False
    )
    delayed = CompileOptions(1.0, "zero", True, weight_bits=4, state_bits=16, lanes=2)
    spec = compile_network(layer(5, 11, "CubaLIF"), delayed).spec
    assert spec == CoreSpec(
        axons=5, neurons=12, weight_words=32, refractory_bits=1, weight_bits=4, state_bits=16,
        lanes=2,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("network", "changes", "reason", "remedy"),
    [
        (layer(9, 8), {"axons": 8}, "axons must be at most 8, not 9", "axons=9 would do"),
        (layer(8, 300), {}, "neurons must be at most 256, not 304", "neurons=304 would do"),
        (
            layer(8, 64),
            {"weight_words": 60},
            "weight_words must be at most 60, not 64",
            "weight_words=64 would do",
        ),
        (
            layer(8, 8, "CubaLIF"),
            {"synapse_current": False},
            "it needs synapse_current, which the core was built without",
            "synapse_current=True would do",
        ),
        (
            layer(8, 64),
            {"neurons": 48, "plasticity": "window", "paired_rows": True},
            "neurons must be at most 48, not 64",
            "neurons=64 would do",
        ),
        (layer(8, 3000), {}, "neurons must be at most 256, not 3000", "No core can hold it"),
    ],
)
def test_too_large_for_the_given_core(
    network: Network, changes: dict[str, Any], reason: str, remedy: str
) -> None:
    with pytest.raises(ModelError) as caught:
        compile_network(network, OPTIONS, spec=CoreSpec(**changes))
    assert caught.value.what == "Network is too large for the core:"
    assert caught.value.reasons == (reason,)
    assert remedy in caught.value.hint


def test_refractory_counter_is_missing() -> None:
    with pytest.raises(ModelError, match="refractory_bits must be at most 0, not 1"):
        compile_network(
            layer(8, 8), CompileOptions(1.0, "zero", True), spec=CoreSpec(refractory_bits=0)
        )


def test_too_large_for_any_core() -> None:
    with pytest.raises(ModelError, match=r"too large for any core:\n.*neurons .*2048\], not 2056"):
        compile_network(layer(2, 2050), OPTIONS)


def test_sizes_are_checked_before_matrices_are_made() -> None:
    n = 1 << 20  # a crossbar of 8 TiB
    with pytest.raises(ModelError, match=r"too large for any core:\n.*axons .*2048\], not 1048576"):
        compile_network(chain(neuron(n=n)), OPTIONS)


def test_options_must_agree_with_a_given_spec() -> None:
    options = CompileOptions(1.0, "zero", False, weight_bits=12, lanes=8)
    with pytest.raises(ModelError, match="weight_bits must be the spec's 8, not 12") as caught:
        compile_network(layer(2, 2), options, spec=CoreSpec())
    assert len(caught.value.reasons) == 1


def test_formats_that_no_core_has() -> None:
    with pytest.raises(SpecError, match="weight_bits must be an integer in"):
        compile_network(layer(2, 2), CompileOptions(1.0, "zero", False, weight_bits=33))
