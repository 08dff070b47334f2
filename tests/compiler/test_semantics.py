"""What the graph says, what the options say, and what neither does."""

from dataclasses import replace

import numpy as np
import pytest
from networks import affine, chain, neuron, options

from spikewright.compiler.graph import Input, Network, Neuron, Node, Output
from spikewright.compiler.lower import MISTAKEN
from spikewright.compiler.pipeline import compile_network
from spikewright.compiler.semantics import resolve
from spikewright.errors import ModelError
from spikewright.sim.golden import GoldenModel

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


def test_threshold_and_spike_order_are_said() -> None:
    nodes: dict[str, Node] = {
        "in": Input((1,)), "w": affine([[1.0]]), "a": neuron(), "back": affine([[0.5]]),
        "u": affine([[1.0]]), "b": replace(neuron(), strict=False), "out": Output((1,)),
    }  # fmt: skip
    edges = (("in", "w"), ("w", "a"), ("a", "back"), ("back", "a"), ("a", "u"), ("u", "b"))
    network = Network(nodes, (*edges, ("b", "out")))
    resolved = resolve(network, options())
    assert [getattr(resolved.nodes[name], "strict", None) for name in "ab"] == [True, False]
    said = compile_network(network, options()).manifest.semantics
    assert said["threshold"] == {"a": "strict", "b": "non-strict"}
    assert said["threshold_mistaken"] == MISTAKEN
    assert said["refractory"] == 0
    assert said["spike_order"] == [["a", "a", 1], ["a", "b", 0], ["in", "a", 0]]


def test_a_threshold_to_be_reached_is_exact_in_integers() -> None:
    """``v >= T`` of raw integers is ``v > ceil(T) - 1``, up to the largest T of a 24-bit state."""
    rng = np.random.default_rng(4)
    whole = np.concatenate([
        np.arange(1, 100), rng.integers(100, 1 << 22, 500), [(1 << 22) - 1, (1 << 21) + 1]
    ]).astype(float)  # fmt: skip
    between = rng.uniform(2, whole.max(), 500)
    threshold = np.concatenate([whole[1:], -whole[:-2], [0.0], between])
    n = len(threshold)
    node = replace(neuron("IF", n, v_threshold=threshold), strict=False)
    formats = {"weight_bits": 8, "state_bits": 24, "fraction_bits": 0}
    image = compile_network(chain(affine(np.full((n, 1), 127.0)), node), options(**formats))
    assert set(image.manifest.scales["n1"]) == {1.0}
    least = image.v_threshold[:n] + 1  # that spikes
    beyond = np.ceil(threshold) - threshold
    exact = (beyond == 0) | ((beyond < 0.5) & (threshold < 1 << 21))
    np.testing.assert_array_equal(least[exact], np.ceil(threshold)[exact])
    assert (least <= np.ceil(threshold)).all()
    assert (least >= threshold - np.abs(threshold) * MISTAKEN).all()


@pytest.mark.parametrize(("strict", "fired"), [(True, [0, 0, 1]), (False, [0, 1, 0])])
def test_a_neuron_at_its_threshold(strict: bool, fired: list[int]) -> None:
    node = replace(neuron("IF", v_threshold=254), strict=strict)
    network = chain(affine([[127.0]]), node)
    run = GoldenModel(compile_network(network, options())).run(np.ones((1, 3, 1), bool))
    assert run.spikes[0, :, 0].tolist() == fired
