"""A compiled network's synapses that learn: from a lesson's file to what is learned."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import chain, neuron, whole_weights

from spikewright.compiler import CompileOptions, compile_network
from spikewright.compiler.lesson import read_lesson, with_lesson
from spikewright.errors import ModelError
from spikewright.image import CoreImage
from spikewright.plastic import PlasticSynapses
from spikewright.sim.golden import GoldenModel

RULE = {
    "pre_step": 3,
    "post_step": 3,
    "pre_change": 64,
    "post_change": 64,
    "w_min": -128,
    "w_max": 127,
}
LESSON: dict[str, Any] = {
    "synapses": ["in:n1"],
    "core": {"plasticity": "window"},
    "rule": RULE,
}


def compiled(*, sparse: bool = False) -> CoreImage:
    """Axons ``in``, 5 neurons ``n1`` and 3 neurons ``n3``, all to all."""
    rng = np.random.default_rng(1)
    layers = (whole_weights(rng, 5, 4), neuron(n=5), whole_weights(rng, 3, 5), neuron(n=3))
    return compile_network(chain(*layers), CompileOptions(1.0, "zero", False, sparse=sparse))


def lesson(folder: Path, **changes: Any) -> Path:
    path = folder / "lesson.json"
    path.write_text(json.dumps({k: v for k, v in (LESSON | changes).items() if v is not None}))
    return path


def test_the_named_synapses_learn_and_no_other(tmp_path: Path) -> None:
    static = compiled()
    image = with_lesson(static, read_lesson(lesson(tmp_path)))
    sources, hidden = image.manifest.inputs[0], image.population("n1")
    plastic = PlasticSynapses.of(image)
    assert set(plastic.source) <= set(sources.positions)
    assert set(plastic.neuron) == set(hidden.positions)
    assert len(plastic) == np.count_nonzero(plastic.weights(image)) == sources.count * hidden.count
    assert np.array_equal(image.weights, static.weights)
    spikes = np.random.default_rng(0).random((1, 30, static.spec.axons)) < 0.5
    before, model = GoldenModel(static).run(spikes), GoldenModel(image)
    assert np.array_equal(model.run(spikes).spikes, before.spikes)
    model.run(spikes, learn=True)
    changed = model.learned_image().weights != image.weights
    assert changed.any()
    assert not changed[image.arrays["plastic"] == 0].any()


def test_synapses_among_neurons(tmp_path: Path) -> None:
    image = with_lesson(compiled(), read_lesson(lesson(tmp_path, synapses=["n1:n3"])))
    hidden = image.spec.axons + image.population("n1").positions
    assert set(PlasticSynapses.of(image).source) == set(hidden)


def test_paired_rows_learn_the_same(tmp_path: Path) -> None:
    core = LESSON["core"] | {"paired_rows": True}
    packed = with_lesson(compiled(), read_lesson(lesson(tmp_path)))
    paired = with_lesson(compiled(), read_lesson(lesson(tmp_path, core=core)))
    assert paired.spec.paired_rows
    spikes = np.random.default_rng(0).random((1, 30, packed.spec.axons)) < 0.5
    models = GoldenModel(packed), GoldenModel(paired)
    one, other = (model.run(spikes, learn=True) for model in models)
    assert one.spikes.any()
    assert np.array_equal(other.spikes, one.spikes)
    before, learned, same = (
        PlasticSynapses.of(image).weights(image)
        for image in (packed, *(model.learned_image() for model in models))
    )
    assert (learned != before).any()
    assert np.array_equal(same, learned)


def test_synapses_named_twice_are_told_once(tmp_path: Path) -> None:
    given = read_lesson(lesson(tmp_path, synapses=["n3:n1", "in:deep", "n3:n1", "in:deep"]))
    with pytest.raises(ModelError) as caught:
        with_lesson(compiled(), given)
    names = [reason.split("'")[1] for reason in caught.value.reasons]
    assert names == ["n3:n1", "in:deep"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"synapses": None}, "'synapses' is missing"),
        ({"synapses": "in:n1"}, "synapses must be a list of projections by name"),
        ({"synapses": []}, "synapses must be a list of projections by name"),
        ({"rule": None}, "'rule' is missing"),
        ({"rules": {}}, "'rules' is no field of it"),
        ({"core": {"lanes": 4}}, "core must be an object with some of plasticity, "),
        ({"rule": {"speed": 1}}, "Learning rule has unknown fields: 'speed'."),
        ({"synapses": ["in:deep"]}, "'in:deep': Image has no population 'deep'."),
        ({"synapses": ["in"]}, "'in': Image has no population ''."),
        ({"synapses": ["n3:n1"]}, "'n3:n1' has no synapse"),
        ({"core": {"plasticity": "often"}}, "plasticity must be 'none', 'window' or 'trace'"),
        ({"core": {}}, "neither it nor the spec has plasticity"),
        ({"rule": RULE | {"a_pre": 9}}, "rule.a_pre needs a spec with plasticity 'trace'"),
        ({"rule": RULE | {"w_max": 1}}, "plastic weights must be in [-128, 1], the rule's bounds"),
    ],
)
def test_bad_lessons(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match="esson") as caught:
        with_lesson(compiled(), read_lesson(lesson(tmp_path, **changes)))
    assert message in str(caught.value)


def test_a_core_that_learns_already_keeps_its_spec(tmp_path: Path) -> None:
    image = with_lesson(compiled(), read_lesson(lesson(tmp_path)))
    with pytest.raises(ModelError, match="has plasticity already"):
        with_lesson(image, read_lesson(lesson(tmp_path)))
    again = with_lesson(image, read_lesson(lesson(tmp_path, core=None, synapses=["n1:n3"])))
    assert again.spec == image.spec


def test_sparse_rows_do_not_learn(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="Compile with --no-sparse"):
        with_lesson(compiled(sparse=True), read_lesson(lesson(tmp_path)))


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000])
def test_what_is_no_lesson(tmp_path: Path, text: str) -> None:
    path = tmp_path / "lesson.json"
    path.write_text(text)
    with pytest.raises(ModelError, match=r"Lesson '.*lesson\.json'"):
        read_lesson(path)
    with pytest.raises(ModelError, match="Cannot read lesson"):
        read_lesson(tmp_path / "none.json")
