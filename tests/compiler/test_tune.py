"""Tuning on spikes: against every combination that it may choose, run one by one."""

from dataclasses import replace
from itertools import product
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from conformance import run_golden
from conformance_nir import BRAILLE, braille
from networks import affine, chain, network, neuron, options, random_spikes, whole_weights

from spikewright.compiler import CompileReport, compile_network
from spikewright.compiler.divergence import compare_with_float
from spikewright.compiler.graph import Input, Network, Node, Output
from spikewright.compiler.ir import Edge, Quantized
from spikewright.compiler.levels import assign_levels
from spikewright.compiler.lower import lower
from spikewright.compiler.options import CompileOptions
from spikewright.compiler.quantize import quantize
from spikewright.compiler.reference import Reference
from spikewright.compiler.semantics import resolve
from spikewright.compiler.tune import FLOOR, MOST_TIMESTEPS, WIDTH
from spikewright.errors import ModelError
from spikewright.fixed import decay, saturate, signed_range
from spikewright.spec import CoreSpec

Bools = npt.NDArray[np.bool_]
Array = npt.NDArray[np.float64]


def quantized(source: Network, spec: CoreSpec, spikes: Bools | None, **chosen: Any) -> Quantized:
    given = options(**chosen)
    circuit = assign_levels(lower(resolve(source, given), given.discretization))
    return quantize(circuit, spec, given, spikes)


def forced_error(
    source: Network, spikes: Bools, spec: CoreSpec, raw: dict[str, Any], chosen: CompileOptions
) -> float:
    """The objective of a single CubaLIF with raw parameters, timestep by timestep in integers."""
    circuit = assign_levels(lower(resolve(source, chosen), chosen.discretization))
    (edge,) = circuit.weights
    population = circuit.populations[edge.target]
    threshold = float(population.v_threshold[0])
    run = Reference(circuit, len(spikes)).run(spikes)
    unit = raw["scale"] / 2**spec.fraction_bits
    total = weights = 0.0
    for sample, lines in enumerate(spikes):
        i = v = np.zeros(1, np.int64)
        held = 0
        for t, line in enumerate(lines):
            c = np.array([int(raw["weights"] @ line)]) << spec.fraction_bits
            i = saturate(decay(i, raw["a_syn"]) + c + raw["bias"], spec.state_bits)
            if held:
                held -= 1
                continue
            v = saturate(decay(v, raw["a_mem"]) + i, spec.state_bits)
            margin = run.v[edge.target][sample, t, 0] - threshold
            weight = FLOOR + np.exp(-((margin / (WIDTH * threshold)) ** 2))
            total += weight * ((v[0] - raw["v_threshold"]) * unit - margin) ** 2
            weights += weight
            if run.spikes[edge.target][sample, t, 0]:
                v = v - raw["reset"] if chosen.reset == "subtract" else np.full(1, raw["reset"])
                held = population.refractory
    return float(total / weights)


@pytest.mark.parametrize(("reset", "delay"), [("zero", False), ("zero", True), ("subtract", True)])
def test_no_neighbouring_combination_errs_less(reset: str, delay: bool) -> None:
    rng = np.random.default_rng(11)
    spec = CoreSpec(weight_bits=3, state_bits=14, fraction_bits=3)
    source = chain(affine(rng.normal(0.2, 0.5, (1, 12)), 0.03), neuron("CubaLIF", tau_mem=7.3))
    spikes = rng.random((6, 30, 12)) < 0.3
    chosen = options(reset=reset, reset_delay=delay, tune=True, scaling="mse")
    found = quantized(
        source, spec, spikes, reset=reset, reset_delay=delay, tune=True, scaling="mse"
    )
    population, tuning = found.populations["n1"], found.tuning["n1"]
    names = ("a_mem", "a_syn", "bias", "v_threshold", "reset", "scale")
    best = {name: getattr(population, name)[0] for name in names}
    best["weights"] = found.weights[Edge("in", "n1")].toarray()[0]
    least = forced_error(source, spikes, spec, best, chosen)
    assert np.sqrt(least) == pytest.approx(tuning.error_after)
    assert tuning.error_after < 0.6 * tuning.error_before
    for mem, syn, bias, up in product((-1, 0, 1), (-1, 0, 1), (-2, -1, 0, 1, 2), (-1, 0, 1)):
        other = best | {
            "a_mem": best["a_mem"] + mem,
            "a_syn": best["a_syn"] + syn,
            "bias": best["bias"] + bias,
            "v_threshold": best["v_threshold"] + up,
        }
        # What truncation does differs by combination, and is not in the parabola.
        assert forced_error(source, spikes, spec, other, chosen) > least * 0.97


def test_biases_take_back_what_rounding_the_weights_takes() -> None:
    """Weights that all round down: only the bias can make up for it."""
    weight = np.full((1, 20), 0.4)
    weight[0, 0] = 1.0
    source = chain(affine(weight), neuron(v_threshold=3.0))
    spikes = np.random.default_rng(3).random((8, 40, 20)) < 0.3
    spec = CoreSpec(weight_bits=2)
    plain, tuned = (quantized(source, spec, spikes, tune=tune) for tune in (False, True))
    assert plain.populations["n1"].bias[0] == 0
    assert plain.weights[Edge("in", "n1")].toarray().sum() == 1
    bias = tuned.populations["n1"].bias[0] / 2**spec.fraction_bits
    assert bias == pytest.approx(0.3 * 19 * 0.4, rel=0.1)
    assert tuned.tuning["n1"].biases == 1


def test_a_network_that_is_exact_stays_as_it_is() -> None:
    rng = np.random.default_rng(4)
    source = chain(
        whole_weights(rng, 6, 5), neuron("IF", 6, v_threshold=200.0, r=1.0),
        whole_weights(rng, 3, 6), neuron("IF", 3, v_threshold=200.0, r=1.0),
    )  # fmt: skip
    spikes = rng.random((4, 30, 5)) < 0.4
    image = compile_network(source, options(), calibration=spikes)
    tuned = compile_network(source, options(tune=True, scaling="mse"), calibration=spikes)
    for name, array in image.arrays.items():
        np.testing.assert_array_equal(array, tuned.arrays[name])
    for tuning in CompileReport.of(tuned).tuning.values():
        assert (tuning.scales, tuning.decays, tuning.thresholds, tuning.biases) == (0, 0, 0, 0)
        assert tuning.error_after == 0.0


def two_layers(seed: int) -> Network:
    rng = np.random.default_rng(seed)
    return chain(
        affine(rng.normal(0.1, 0.4, (30, 20)), 0.05), neuron("LIF", 30),
        affine(rng.normal(0.05, 0.3, (10, 30)), 0.05), neuron("LIF", 10),
    )  # fmt: skip


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_spikes_are_closer_to_float_on_samples_not_seen(bits: int) -> None:
    rng = np.random.default_rng(bits)
    source = two_layers(bits)
    seen, unseen = (rng.random((40, 50, 20)) < 0.3 for _ in range(2))
    chosen = options(weight_bits=bits, scaling="mse")
    circuit = assign_levels(lower(resolve(source, chosen), chosen.discretization))
    agreement = [
        compare_with_float(
            circuit,
            compile_network(source, replace(chosen, tune=tune), calibration=seen),
            unseen,
        ).agreement
        for tune in (False, True)
    ]
    print(f"{bits} bits: {agreement[0]:.2%} of spikes are equal, {agreement[1]:.2%} tuned")
    assert 1 - agreement[1] < 0.92 * (1 - agreement[0])


def test_recurrent_delayed_and_unspiking_populations() -> None:
    """Every kind of edge arrives when it does in the core: an exact network has no error."""
    rng = np.random.default_rng(8)
    nodes: dict[str, Node] = {
        "in": Input((5,)),
        "w": whole_weights(rng, 4, 5),
        "a": neuron("IF", 4, v_threshold=300.0, r=1.0),
        "r": whole_weights(rng, 4, 4),
        "u": whole_weights(rng, 2, 4),
        "b": replace(neuron("IF", 2, r=1.0), kind="I", v_threshold=None),
        "out": Output((2,)),
    }
    source = network(nodes, "in>w>a>u>b>out", "a>r>a")
    tuned = quantized(source, CoreSpec(), random_spikes(8, 5)[None], tune=True, scaling="mse")
    assert {name: tuning.error_before for name, tuning in tuned.tuning.items()} == {"a": 0, "b": 0}


def test_percentiles_count_weights_as_often_as_spikes_arrive_over_them() -> None:
    weight = np.array([[1.0, 1.0, 1.0, 9.0]])
    source = chain(affine(weight), neuron(v_threshold=5.0))
    spikes = np.ones((1, 100, 4), np.bool_)
    spikes[:, 1:, 3] = False
    scales = [
        quantized(source, CoreSpec(), spikes, tune=tune, percentile=90.0).populations["n1"].scale[0]
        for tune in (True, False)
    ]
    assert scales[0] == pytest.approx(1 / 127)
    assert scales[1] > 6 / 127


def test_as_many_samples_as_there_is_time_for_evenly() -> None:
    spikes = np.zeros((64, MOST_TIMESTEPS // 4, 1), np.bool_)
    spikes[::16] = True
    source = chain(affine([[0.3]]), neuron("IF", v_threshold=1.0))
    some, four = (
        quantized(source, CoreSpec(weight_bits=2), each, tune=True)
        for each in (spikes, spikes[::16])
    )
    assert some.tuning == four.tuning


def test_shift_decays_are_not_moved() -> None:
    """Of 3840.4 / 4096 the nearest is a shift, and the one above is not."""
    weight = np.random.default_rng(2).normal(size=(8, 4))
    source = chain(affine(weight), neuron(n=8, tau_mem=1 / (1 - 3840.4 / 4096)))
    cases: tuple[tuple[Literal["shift", "multiply"], set[int]], ...] = (
        ("shift", {3840}),
        ("multiply", {3840, 3841}),
    )
    for kind, kept in cases:
        spec = CoreSpec(weight_bits=3, decay=kind)
        found = quantized(source, spec, random_spikes(2, 4)[None], tune=True, scaling="mse")
        assert set(found.populations["n1"].a_mem.tolist()) == kept


def test_biases_stay_in_the_state() -> None:
    spec = CoreSpec(weight_bits=2, state_bits=12, fraction_bits=6)
    source = chain(affine(np.linspace(0.1, 0.5, 200)[None]), neuron("IF", v_threshold=10.0))
    bias = quantized(source, spec, np.ones((1, 9, 200), np.bool_), tune=True).populations["n1"].bias
    assert (np.abs(bias) <= signed_range(12)[1] + 1).all()


@pytest.mark.parametrize(
    ("spikes", "message"),
    [
        (None, "tune needs spikes"),
        (np.ones((1, 9, 2)), r"bool\[samples, timesteps, inputs\].*not float64\[1, 9, 2\]"),
        (np.ones((9, 2), np.bool_), r"not bool\[9, 2\]"),
        (np.ones((1, 9, 1), np.bool_), r"Input spikes must be \[1 samples, 2 lines\]"),
    ],
)
def test_wrong_spikes(spikes: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message) as error:
        compile_network(
            chain(affine([[1.0, 0.5]]), neuron()), options(tune=True), calibration=spikes
        )
    assert error.value.hint


@pytest.mark.parametrize("scaling", ["percentile", "mse"])
@pytest.mark.parametrize("name", BRAILLE)
def test_braille_at_8_bits_agrees_with_snntorch(name: str, scaling: str) -> None:
    """Recurrent, so that a difference makes others; one neuron makes most of bias_zero's."""
    formats = {"weight_bits": 8, "state_bits": 20, "fraction_bits": 6, "scaling": scaling}
    share = []
    for tune in (False, True):
        recording = braille(name, **formats, tune=tune)
        wrong = recording.mismatches(run_golden(recording.image)(recording.axon_spikes)[0])
        share.append(1 - wrong / recording.expected.size)
    print(f"braille {name}, {scaling}: {share[0]:.3%} agree, {share[1]:.3%} tuned")
    assert min(share) >= 0.99
