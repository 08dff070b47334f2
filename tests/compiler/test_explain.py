"""A neuron's story: its figures are the golden model's, and its reasons are the true ones."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from networks import affine, chain, neuron, options

from spikewright.compiler import compile_network
from spikewright.compiler.explain import Explanation, explain, find_neuron
from spikewright.compiler.graph import Input, Network, Node, Output
from spikewright.errors import DataError, ImageError, SpikewrightError
from spikewright.image import CoreImage, Manifest, Population
from spikewright.sim.cases import draw_case
from spikewright.sim.golden import GoldenModel

Bools = npt.NDArray[np.bool_]


@pytest.mark.parametrize("seed", range(30))
def test_figures_are_the_golden_models(seed: int) -> None:
    """On random cores with levels, delays, refractory neurons and corner values."""
    case = draw_case(seed, timesteps=25, samples=1)
    spec = case.image.spec
    used = case.image.groups_used * spec.lanes
    manifest = Manifest(populations=(Population(name="all", first=0, count=used),))
    image = replace(case.image, manifest=manifest)
    model = GoldenModel(image)
    steps = [(model.step(axons[None]), model.v[0].copy(), model.i[0].copy())
             for axons in case.spikes[0]]  # fmt: skip
    chosen = np.random.default_rng(seed).choice(used, min(used, 16), replace=False)
    print(case)
    clamped = np.zeros(len(steps), np.int64)
    for n in chosen.tolist():
        found = explain(image, case.spikes[0], f"all[{n}]")
        for (result, v, i), moment in zip(steps, found.moments, strict=True):
            assert moment.input_raw == result.consumed[0, n]
            assert (moment.v_after_raw, moment.i_raw) == (v[n], i[n])
            assert moment.spike == result.spikes[0, n]
            clamped[moment.timestep] += moment.saturated
        total = sum(synapse.weight_raw * synapse.arrived for synapse in found.incoming)
        assert total == sum(moment.input_raw for moment in found.moments)
        magnitudes = [abs(synapse.weight_raw) for synapse in found.incoming]
        assert magnitudes == sorted(magnitudes, reverse=True)
    if used == len(chosen):
        assert clamped.tolist() == [int(result.saturations[0]) for result, _, _ in steps]


def loop() -> CoreImage:
    """``a`` (3 neurons, v_leak -2) feeds ``b`` (2), which feeds ``a`` back."""
    cell: dict[str, Any] = {"v_leak": -2.0, "v_reset": -2.5, "v_threshold": -1.0}
    nodes: dict[str, Node] = {
        "in": Input((2,)), "fc": affine([[4.0, 0.5], [-1.0, 2.0], [0.0, 0.0]], [0.0, 0.0, 0.25]),
        "a": neuron(n=3, **cell), "ab": affine([[2.0, -0.5, 0.0], [-4.0, 0.0, 0.0]]),
        "b": neuron("IF", 2), "ba": affine([[0.0, 0.0], [-3.0, 0.0], [0.0, 0.0]]),
        "out": Output((2,)),
    }  # fmt: skip
    path = ("in fc", "fc a", "a ab", "ab b", "b ba", "ba a", "b out")
    edges = tuple((a, b) for a, b in (pair.split() for pair in path))
    return compile_network(Network(nodes, edges), options(1.0, "zero", True))


def some_spikes() -> Bools:
    spikes = np.zeros((6, 2), np.bool_)
    spikes[1::2, 0] = True
    spikes[:2, 1] = True
    return spikes


def test_sources_are_named_and_delayed() -> None:
    found = explain(loop(), some_spikes(), "a[1]")
    told = [(s.source, s.index, s.delay, s.arrived) for s in found.incoming]
    # b spikes in timesteps 1, 3 and 5; the last one has no timestep left to arrive in.
    assert told == [("b", 0, 1, 2), ("in", 1, 0, 2), ("in", 0, 0, 3)]
    assert [s.weight_raw for s in found.incoming] == [-127, 85, -42]
    np.testing.assert_allclose([s.weight for s in found.incoming], [-3, 2, -1], atol=0.02)


def test_constants_are_real_and_raw() -> None:
    image = loop()
    found = explain(image, some_spikes(), "a[0]")
    constants = {constant.name: constant for constant in found.constants}
    n = image.population("a").first
    for name, constant in constants.items():
        assert constant.raw == image.arrays[name][n]
    values = {name: constant.value for name, constant in constants.items()}
    assert values == pytest.approx(
        {"a_mem": 0.75, "a_syn": 0, "bias": 0, "v_threshold": -1, "reset": -2.5, "refractory": 1},
        abs=1e-3,
    )
    assert found.scale == pytest.approx(4 / 127)
    subtract = compile_network(chain(affine([[1.0]]), neuron()), options(1.0, "subtract", False))
    names = [
        constant.name for constant in explain(subtract, ~some_spikes()[:, :1], "n1[0]").constants
    ]
    assert names == ["a_mem", "a_syn", "bias", "v_threshold", "reset_by", "refractory"]


def test_moments_are_in_the_models_units() -> None:
    moments = explain(loop(), some_spikes(), "a[0]").moments
    assert [m.spike for m in moments] == [False, True, False, True, False, True]
    assert [m.refractory for m in moments] == [False, False, True, False, True, False]
    assert [m.arrived for m in moments] == [1, 2, 0, 1, 0, 1]
    first, second, third = moments[:3]
    assert first.input == pytest.approx(0.5, abs=0.02)
    assert first.i == first.input
    assert first.v == pytest.approx(-1.5, abs=0.02)
    assert (second.v_threshold, second.v_after) == pytest.approx((-1, -2.5), abs=0.01)
    assert second.v == pytest.approx(-2 + 0.5 * 0.75 + 4.5, abs=0.02)
    assert third.v == third.v_after == second.v_after


def silent(
    weight: Any, spikes: Bools, bias: float = 0.0, kind: str = "LIF", **changes: Any
) -> Explanation:
    image = compile_network(chain(affine([weight], bias), neuron(kind, **changes)), options())
    found = explain(image, spikes, "n1[0]")
    assert not any(moment.spike for moment in found.moments)
    return found


ALWAYS = np.ones((10, 2), np.bool_)
NEVER = ~ALWAYS
FIRST = np.tile([True, False], (10, 1))
SECOND = ~FIRST


@pytest.mark.parametrize(
    ("weight", "spikes", "changes", "story"),
    [
        ([0.1, 0.1], FIRST, {}, [
            "It never spikes: v comes closest in timestep 9, with 0.3775 of 1."]),
        ([0.1, 0.1], NEVER, {}, [
            "It never spikes: v comes closest in timestep 0, with 0 of 1.",
            "No input at all: of its 2 sources, none spikes in time to reach it."]),
        ([0.0, 0.0], ALWAYS, {"bias": 0.1}, [
            "It never spikes: v comes closest in timestep 9, with 0.3775 of 1.",
            "No weight leads to it."]),
        ([1.0, -1.0], SECOND, {}, [
            "It never spikes: v comes closest in timestep 0, with -1 of 1.",
            "No excitation: every spike that arrives comes over a negative weight.",
            "Inhibition is not why: without in[1] (-10), v would reach no more than 0."]),
        ([1.0, -1.0], ALWAYS, {}, [
            "It never spikes: v comes closest in timestep 0, with 0 of 1.",
            "Inhibited: it would spike 5 times without in[1] (-10)."]),
        ([0.5, 0.0], FIRST, {"bias": -0.3}, [
            "It never spikes: v comes closest in timestep 9, with 0.7548 of 1.",
            "Inhibited: it would spike 3 times without its bias (-3)."]),
        ([0.2, -0.5], ALWAYS, {}, [
            "It never spikes: v comes closest in timestep 0, with -0.2992 of 1.",
            "Inhibition is not why: without in[1] (-5), v would reach no more than 0.7579."]),
        ([2.0, 1.0], ALWAYS, {"kind": "LI"}, [
            "It cannot spike: its threshold is the largest state; v is what it tells."]),
    ],
)  # fmt: skip
def test_why_it_is_silent(
    weight: Any, spikes: Bools, changes: dict[str, Any], story: list[str]
) -> None:
    found = silent(weight, spikes, **changes)
    print(found.story)
    assert list(found.story) == story


def test_why_it_spikes_and_saturates() -> None:
    image = compile_network(
        chain(affine([[1.0, -1.0]]), neuron("IF", v_threshold=1.5)),
        options(state_bits=14, fraction_bits=6),
    )
    once = np.zeros((200, 2), np.bool_)
    once[0, 0] = once[1, 0] = True
    assert explain(image, once, "n1[0]").story == ("It spikes once, first in timestep 1.",)
    once[2:, 1] = True
    story = explain(image, once, "n1[0]").story
    assert story[1].startswith("i or v is clamped in ")
    assert "more state_bits" in story[1]


def test_neurons_by_index_in_their_shape() -> None:
    image = replace(
        loop(),
        manifest=Manifest(populations=(Population(name="c[1]", first=0, count=6, shape=(2, 3)),)),
    )
    assert find_neuron(image, "c[1][5]")[1] == 5
    assert find_neuron(image, "c[1][1,2]")[1] == 5
    assert find_neuron(image, "c[1][ 0, 1 ]")[1] == 1
    for wrong in ("c[1][6]", "c[1][1,3]", "c[1][2,0]", "c[1][0,0,0]"):
        with pytest.raises(DataError, match=r"must be at most \[1, 2\] or \[5\], not \[") as caught:
            find_neuron(image, wrong)
        assert caught.value.hint
    for wrong in ("c", "c[]", "[3]", "c[-1]", "c[1.5]", "c[\u0663\u00b2]"):
        with pytest.raises(DataError, match=r"must be named NAME\[INDEX\], not") as caught:
            find_neuron(image, wrong)
        assert "c[1][0]" in caught.value.hint
    with pytest.raises(ImageError, match="no population 'd'"):
        find_neuron(image, "d[0]")


def test_wrong_spikes() -> None:
    with pytest.raises(DataError, match="must have 2 "):
        explain(loop(), np.zeros((5, 1), np.bool_), "a[0]")
    with pytest.raises(SpikewrightError, match=r"\[timesteps, axons\]"):
        explain(loop(), np.zeros((1, 5, 2), np.bool_), "a[0]")
    numbers: Any = np.zeros((5, 2))
    with pytest.raises(SpikewrightError, match="array of bool"):
        explain(loop(), numbers, "a[0]")


@pytest.mark.parametrize(
    "semantics", [{"v_leak": 3}, {"v_leak": {"a": "x"}}, {"v_leak": {"a": [None]}}, {"v_leak": {}}]
)
def test_a_manifest_that_is_not_the_compilers(semantics: dict[str, Any]) -> None:
    """Its free-form parts are anybody's: what is not there counts as none."""
    image = loop()
    manifest = image.manifest.model_copy(update={"semantics": semantics, "scales": {"a": []}})
    found = explain(replace(image, manifest=manifest), some_spikes(), "a[0]")
    assert found.scale == 1
    assert found.moments[0].v == found.moments[0].v_raw / 64


def test_it_is_json() -> None:
    data = json.loads(json.dumps(explain(loop(), some_spikes(), "a[0]").to_dict(), allow_nan=False))
    assert data["incoming"][0]["source"] == "in"
    assert len(data["moments"]) == 6
