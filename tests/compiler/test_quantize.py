from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import affine, chain, lowered, neuron, options

from spikewright.compiler.graph import Input, Network, Node, Output
from spikewright.compiler.ir import Edge, Quantized
from spikewright.compiler.quantize import quantize
from spikewright.compiler.scales import HEADROOM, SHRINKS
from spikewright.errors import ModelError
from spikewright.spec import CoreSpec

Array = npt.NDArray[np.float64]

SPEC = CoreSpec()
UNIT = 1 << SPEC.fraction_bits
STATE_HIGH = (1 << (SPEC.state_bits - 1)) - 1


def run(
    network: Network,
    spec: CoreSpec = SPEC,
    dt: float = 1.0,
    **chosen: Any,
) -> Quantized:
    given = options(dt, **chosen)
    return quantize(lowered(network, given), spec, given)


def test_each_neuron_has_a_scale_of_its_own() -> None:
    weight = np.array([[1.0, -0.3, 0.0], [0.001, 0.01, -0.02]])
    quantized = run(chain(affine(weight, [0.5, 0.01]), neuron(n=2, v_threshold=[2.0, 0.1])))
    raw, population = quantized.weights[Edge("in", "n1")].toarray(), quantized.populations["n1"]
    np.testing.assert_allclose(population.scale, [1 / 127, 0.02 / 127])
    np.testing.assert_array_equal(raw, [[127, -38, 0], [6, 64, -127]])
    np.testing.assert_array_equal(population.bias, np.rint([0.5 * 127 * 64, 0.5 * 127 * 64]))
    np.testing.assert_array_equal(population.v_threshold, [2 * 127 * 64, 5 * 127 * 64])
    assert quantized.clipped == {"n1": 0}


def test_a_state_too_small_for_the_threshold_makes_the_scale_coarser() -> None:
    quantized = run(chain(affine([[1.0, 0.001]]), neuron(v_threshold=1000.0)))
    population = quantized.populations["n1"]
    assert population.v_threshold[0] <= STATE_HIGH / HEADROOM < population.v_threshold[0] + 1
    assert population.scale[0] == pytest.approx(1000 * UNIT * HEADROOM / STATE_HIGH)
    np.testing.assert_array_equal(quantized.weights[Edge("in", "n1")].toarray(), [[4, 0]])


@pytest.mark.parametrize("threshold", [1.0, 0.7, 0.1, 20320 / 8128, 20321 / 8128])
def test_raw_values_compare_as_real_ones_do(threshold: float) -> None:
    """Weights 1 in a scale of 1/127: v is any multiple of 1/8128."""
    population = run(chain(affine([[1.0]]), neuron(v_threshold=threshold))).populations["n1"]
    v = np.arange(0, 30000)
    # The same threshold in exact arithmetic: as a fraction of the multiples that v can be.
    exact = np.round(threshold * 8128, 6)
    np.testing.assert_array_equal(v > population.v_threshold[0], v > exact)


def test_float32_noise_does_not_move_a_threshold() -> None:
    for threshold in (np.float32(0.1), np.nextafter(np.float32(0.1), np.float32(0))):
        node = neuron(v_threshold=threshold, tau_mem=np.float32(0.0025), r=1.0)
        quantized = run(chain(affine([[1.0]]), node), dt=1e-4)
        assert quantized.populations["n1"].v_threshold[0] == 20320


def test_clipped_and_zeroed_weights() -> None:
    weight = np.ones((1, 100))
    weight[0, 0] = 50.0
    quantized = run(chain(affine(weight), neuron()), percentile=90.0)
    raw = quantized.weights[Edge("in", "n1")].toarray()
    assert quantized.clipped == {"n1": 1}
    assert (raw == 127).all()
    np.testing.assert_allclose(quantized.populations["n1"].scale, 1 / 127)
    assert (
        run(chain(affine(weight), neuron())).weights[Edge("in", "n1")].toarray() == [127] + [3] * 99
    ).all()
    negative = (
        run(chain(affine(-weight), neuron()), percentile=90.0).weights[Edge("in", "n1")].toarray()
    )
    assert negative.min() == -128


def test_decays_are_rounded_to_nearest_and_lost_leaks_noted() -> None:
    taus = np.array([3.0, 8191.0, 1e6, 1.0])
    quantized = run(chain(affine(np.ones((4, 1))), neuron(n=4, tau_mem=taus, r=taus)))
    np.testing.assert_array_equal(quantized.populations["n1"].a_mem, [2731, 4095, 4096, 0])
    assert len(quantized.notes) == 1
    assert quantized.notes[0].startswith("n1: a_mem rounds to 1 for 1 neurons, which then does not")


def test_shift_decays_must_be_exact() -> None:
    spec = CoreSpec(decay="shift")
    fine = run(chain(affine([[1.0]]), neuron(tau_mem=16.0)), spec)
    assert fine.populations["n1"].a_mem[0] == 4096 - 256
    with pytest.raises(
        ModelError, match=r"neuron 0: a_mem must be .* 0\.9\.\nTrain with 0\.875 or 0\.9375"
    ):
        run(chain(affine([[1.0]]), neuron(tau_mem=10.0)), spec)


def test_a_delayed_subtraction_decays_to_the_amount_as_the_core_decays() -> None:
    """Decays 1.6 / 4096 and 1 / 3, which round to 2 / 4096 and 1365 / 4096."""
    network = chain(affine(np.ones((2, 1))), neuron(n=2, tau_mem=[1 / (1 - 1.6 / 4096), 1.5]))
    delayed = run(network, reset="subtract", reset_delay=True).populations["n1"]
    np.testing.assert_array_equal(delayed.a_mem, [2, 1365])
    kept = delayed.scale / UNIT * delayed.a_mem / 4096
    assert (np.abs(delayed.reset * kept - 1.0) <= kept).all()


@pytest.mark.parametrize("decay", [0.0, 0.4 / 4096])
def test_a_delayed_subtraction_needs_a_decay_above_zero(decay: float) -> None:
    network = chain(affine([[1]]), neuron(tau_mem=1 / (1 - decay)))
    with pytest.raises(ModelError, match=r"Node 'n1', neuron 0: .* keeps some of v") as error:
        run(network, reset="subtract", reset_delay=True)
    assert error.value.hint
    run(network, reset="subtract", reset_delay=False)


def test_weights_that_all_vanish_are_an_error() -> None:
    network = chain(affine([[1e-9, 0], [0, -1e-9]], 1.0), neuron(n=2))
    with pytest.raises(ModelError, match="Node 'n1': all weights into it round to 0") as error:
        run(network)
    assert "fraction_bits" in error.value.hint


def test_neurons_whose_weights_all_vanish_are_noted() -> None:
    network = chain(affine([[1e-9, 0.0], [0.0, 0.0], [1.0, 0.0]], 1.0), neuron(n=3))
    (note,) = run(network).notes
    assert note.startswith("n1: all weights into 1 neurons round to 0")


def test_neurons_without_weights_get_a_scale() -> None:
    quantized = run(chain(affine(np.zeros((2, 1))), neuron("LI", 2)))
    np.testing.assert_array_equal(quantized.populations["n1"].scale, [1.0, 1.0])
    np.testing.assert_array_equal(quantized.populations["n1"].v_threshold, [STATE_HIGH] * 2)


def squared_error(quantized: Quantized, weight: Array) -> Array:
    """Of each neuron's weights."""
    raw, scale = quantized.weights[Edge("in", "n1")].toarray(), quantized.populations["n1"].scale
    error: Array = np.square(weight - raw * scale[:, None]).sum(axis=1)
    return error


@given(
    seed=st.integers(0, 2**32 - 1),
    bits=st.integers(2, 8),
    bias=st.sampled_from([0.0, 100.0, 1e3]),
    tail=st.sampled_from([1.0, 3.0, 6.0]),
)
def test_least_squared_error_against_every_scale_that_it_may_take(
    seed: int, bits: int, bias: float, tail: float
) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(3, 40))
    weight = np.sign(weight) * np.abs(weight) ** tail * (rng.random(weight.shape) < 0.7)
    weight[:, 0] = 1.0
    network = chain(affine(weight, bias), neuron("LI", 3))
    spec = CoreSpec(weight_bits=bits)
    widest, found = run(network, spec), run(network, spec, scaling="mse")
    scale, most = found.populations["n1"].scale, widest.populations["n1"].scale
    error = squared_error(found, weight)
    assert (error <= squared_error(widest, weight)).all()
    least = bias * 2.0**spec.fraction_bits * HEADROOM / STATE_HIGH
    assert (scale >= least * (1 - 1e-12)).all()
    for shrink in SHRINKS:
        other = np.maximum(most * shrink, least)[:, None]
        raw = np.clip(np.rint(weight / other), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        tried = np.square(weight - raw * other).sum(axis=1)
        assert (error <= tried * (1 + 1e-9)).all()
    assert found.clipped["n1"] >= widest.clipped["n1"]


def test_least_squared_error_clips_one_large_weight_for_many_small_ones() -> None:
    weight = np.ones((2, 100))
    weight[0, 0], weight[1, 0] = 4.0, -4.0
    spec = CoreSpec(weight_bits=2)
    found = run(chain(affine(weight), neuron(n=2)), spec, scaling="mse")
    # Beside the large weight the small ones round to 0: an error of 99 against at most 3**2.
    assert (squared_error(found, weight) <= 9.1).all()
    np.testing.assert_allclose(found.populations["n1"].scale, 1.0, rtol=0.05)
    assert found.clipped == {"n1": 2}


@pytest.mark.parametrize("split", [1, 20, 39])
def test_least_squared_error_counts_all_that_comes_into_a_neuron(split: int) -> None:
    """Weights of two sources share the scale that they get from one."""
    weight = np.random.default_rng(3).normal(size=(3, 40)) ** 3
    whole = run(chain(affine(weight), neuron(n=3)), CoreSpec(weight_bits=3), scaling="mse")
    nodes: dict[str, Node] = {
        "a": Input((split,)),
        "b": Input((40 - split,)),
        "fa": affine(weight[:, :split]),
        "fb": affine(weight[:, split:]),
        "n1": neuron(n=3),
        "out": Output((3,)),
    }
    edges = (("a", "fa"), ("b", "fb"), ("fa", "n1"), ("fb", "n1"), ("n1", "out"))
    halves = run(Network(nodes, edges), CoreSpec(weight_bits=3), scaling="mse")
    np.testing.assert_allclose(halves.populations["n1"].scale, whole.populations["n1"].scale)


def test_least_squared_error_of_neurons_without_weights() -> None:
    found = run(chain(affine(np.zeros((2, 1))), neuron("LI", 2)), scaling="mse")
    np.testing.assert_array_equal(found.populations["n1"].scale, [1.0, 1.0])


# Bits of projections


def two_sources(a: Array, b: Array) -> Network:
    """Two inputs into the neurons ``n``, and these into ``m``."""
    nodes: dict[str, Node] = {
        "a": Input((a.shape[1],)),
        "b": Input((b.shape[1],)),
        "fa": affine(a),
        "fb": affine(b),
        "n": neuron(n=len(a), v_threshold=0.1),
        "fn": affine(np.eye(len(a)) / 3),
        "m": neuron(n=len(a), v_threshold=0.1),
        "out": Output((len(a),)),
    }
    edges = (("a", "fa"), ("b", "fb"), ("fa", "n"), ("fb", "n"))
    return Network(nodes, (*edges, ("n", "fn"), ("fn", "m"), ("m", "out")))


def test_a_layer_of_fewer_bits_is_that_of_a_core_of_fewer_bits() -> None:
    weight = np.random.default_rng(6).normal(size=(5, 30))
    network = chain(affine(weight), neuron(n=5))
    spec = CoreSpec(weight_bits=9)
    for chosen in ({}, {"scaling": "mse"}, {"percentile": 80.0}):
        narrow = run(network, CoreSpec(weight_bits=3), **chosen)
        for bits in ((3,), {"n1": 3}, {"in:n1": 3}):
            found = run(network, spec, bits=bits, **chosen)
            (edge,) = found.weights
            np.testing.assert_array_equal(found.weights[edge].data, narrow.weights[edge].data)
            np.testing.assert_array_equal(
                found.populations["n1"].v_threshold, narrow.populations["n1"].v_threshold
            )
            assert found.clipped == narrow.clipped


@given(
    seed=st.integers(0, 2**32 - 1),
    few=st.integers(2, 8),
    size=st.sampled_from([1e-3, 0.1, 1.0, 10.0]),
    scaling=st.sampled_from(["percentile", "mse"]),
)
def test_projections_into_a_neuron_share_its_scale(
    seed: int, few: int, size: float, scaling: str
) -> None:
    """Projection b has fewer bits: its grid is a power of two coarser, and holds its weights."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(4, 9)), size * rng.normal(size=(4, 9))
    network = two_sources(a, b)
    spec = CoreSpec(weight_bits=8, state_bits=24)
    found = run(network, spec, bits={"b:n": few}, scaling=scaling)
    scale = found.populations["n"].scale[:, None]
    raw_a, raw_b = (found.weights[Edge(name, "n")].toarray() for name in "ab")
    for raw in (raw_a, raw_b):
        assert ((raw >= -128) & (raw <= 127)).all()
    for row, real, each in zip(raw_b, b, scale[:, 0], strict=True):
        low_bits = [k for k in range(8) if not (row % 2**k).any()]
        step = max(k for k in low_bits if k <= 8 - few)
        assert (np.abs(row >> step) <= 2 ** (few - 1)).all()
        if scaling == "percentile":
            assert np.abs(real - row * each).max() <= each * 2 ** (8 - few)
    if scaling == "percentile":
        assert found.clipped["n"] == 0
        # At most one bit coarser than each projection would be by itself, unless b needs more.
        own = np.abs(a).max(1) / 127
        needs = np.abs(b).max(1) / (2 ** (few - 1) - 1) / 2 ** (8 - few)
        assert (scale[:, 0] <= np.maximum(own, needs) * (1 + 1e-9)).all()


def test_bits_go_to_layers_in_order_and_to_projections_before_layers() -> None:
    rng = np.random.default_rng(0)
    network = two_sources(rng.normal(size=(4, 9)), rng.normal(size=(4, 9)))
    spec = CoreSpec(weight_bits=8, state_bits=24)

    def narrowest(row: Array) -> int:
        """Bits that hold a row of weights, whatever its step."""
        step = max(2**k for k in range(8) if not (row % 2**k).any())
        return int(np.abs(row // step).max()).bit_length() + 1

    def widest(bits: Any) -> dict[str, int]:
        weights = run(network, spec, bits=bits).weights
        return {str(edge): max(map(narrowest, raw.toarray())) for edge, raw in weights.items()}

    names = ("'a' to 'n'", "'b' to 'n'", "'n' to 'm'")
    assert widest((4, 3)) == dict(zip(names, (4, 4, 3), strict=True))
    assert widest({"m": 5, "b:n": 4, "n": 6}) == dict(zip(names, (6, 4, 5), strict=True))
    assert widest({})[names[0]] == 8


@pytest.mark.parametrize(
    ("bits", "message"),
    [
        ((4,), r"one number for each of the 2 layers \(n, m\), not 1"),
        ((4, 4, 4), r"not 3"),
        ({"k": 4}, "no layer or projection 'k'"),
        ({"n:b": 4}, "no layer or projection 'n:b'"),
        ({"n": 9}, "'n' must have 2 bits to the core's 8, not 9"),
    ],
)
def test_wrong_bits(bits: Any, message: str) -> None:
    network = two_sources(np.ones((1, 1)), np.ones((1, 1)))
    with pytest.raises(ModelError, match=message) as error:
        run(network, CoreSpec(), bits=bits)
    assert error.value.hint
