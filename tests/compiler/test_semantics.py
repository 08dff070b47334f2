"""What the graph says, what the options say, and what neither does."""

from dataclasses import replace

import pytest
from networks import affine, chain, neuron, options

from spikewright.compiler.graph import Neuron
from spikewright.compiler.pipeline import compile_network
from spikewright.compiler.semantics import resolve
from spikewright.errors import ModelError

OPEN = chain(affine([[1.0]]), neuron())
OWN = replace(neuron(), reset="subtract", reset_delay=True)
CLOSED = replace(chain(affine([[1.0]]), OWN, affine([[1.0]]), neuron()), dt=2.0)


def test_options_fill_in_what_the_graph_leaves_open() -> None:
    resolved = resolve(OPEN, options(dt=0.5, reset="zero", reset_delay=False))
    node = resolved.nodes["n1"]
    assert isinstance(node, Neuron)
    assert (resolved.dt, node.reset, node.reset_delay) == (0.5, "zero", False)


def test_what_neither_says_is_refused() -> None:
    with pytest.raises(ModelError) as caught:
        resolve(CLOSED, options(dt=None, reset=None, reset_delay=None))
    assert caught.value.reasons == ("node 'n3' (LIF) needs reset, reset_delay",)


def test_contradictions_are_refused() -> None:
    with pytest.raises(ModelError) as caught:
        resolve(CLOSED, options(dt=1.0, reset="zero", reset_delay=True))
    assert caught.value.reasons == (
        "dt is 2.0 in the model and 1.0 in the options",
        "node 'n1': reset is 'subtract' in the model and 'zero' in the options",
    )


def test_image_says_what_was_resolved() -> None:
    other = replace(neuron(), reset="zero", reset_delay=False)
    network = replace(chain(affine([[1.0]]), OWN, affine([[1.0]]), other), dt=1.0)
    said = compile_network(network).manifest.semantics
    assert said["dt"] == 1.0
    assert said["reset"] == {"n1": "subtract", "n3": "zero"}
    assert said["reset_delay"] == {"n1": True, "n3": False}
    same = compile_network(OPEN, options()).manifest.semantics
    assert (same["reset"], same["reset_delay"]) == ("zero", False)
