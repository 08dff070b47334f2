"""Recorded cases of SuperNeuroMAT 3.5.0 always run; random ones where it is installed."""

import json
import random
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from spikewright.cli import main
from spikewright.compiler import CompileOptions
from spikewright.compiler.snm_delays import fold_delays
from spikewright.compiler.snm_reader import MAX_BYTES, SnmNetwork, parse_superneuromat
from spikewright.compiler.superneuromat import compile_superneuromat, input_lines, stimulus
from spikewright.errors import ModelError, SpikewrightError
from spikewright.image import CoreImage
from spikewright.sim.golden import GoldenModel
from spikewright.spec import CoreSpec

Bools = npt.NDArray[np.bool_]

CASES = json.loads(Path(__file__).with_name("superneuromat.json").read_text())
NAMES = [case["document"]["networks"][0]["name"] for case in CASES]


def content(document: Any) -> bytes:
    return json.dumps(document).encode()


def case(name: str) -> Any:
    return deepcopy(CASES[NAMES.index(name)])


def spikes_of(image: CoreImage, network: SnmNetwork, timesteps: int) -> dict[int, Bools]:
    """Spikes by the neuron's number in the file."""
    fired = GoldenModel(image).run(stimulus(network, timesteps)[None]).spikes[0]
    return {number: fired[:, k] for k, number in enumerate(image.manifest.semantics["neurons"])}


def assert_equal(image: CoreImage, network: SnmNetwork, wanted: Bools) -> None:
    found = spikes_of(image, network, len(wanted))
    assert found.keys() >= set(network.ids[~network.is_hidden].tolist())
    for number, spikes in found.items():
        assert (spikes == wanted[:, number]).all(), f"neuron {number}"


@pytest.mark.parametrize("slots", [None, 1, 2, 64])
@pytest.mark.parametrize("name", NAMES)
def test_recorded_spikes(name: str, slots: int | None) -> None:
    found = case(name)
    network = parse_superneuromat(content(found["document"]))
    spec = None
    if slots:
        spec = CoreSpec(axons=32, neurons=256, delay_slots=slots, state_bits=24, fraction_bits=3)
    image = compile_superneuromat(network, spec=spec)
    wanted = np.zeros((found["timesteps"], len(network.ids)), np.bool_)
    for timestep, numbers in enumerate(found["spikes"]):
        wanted[timestep, numbers] = True
    assert wanted.any()
    assert_equal(image, network, wanted)
    delays = [p for p in image.manifest.populations if p.name == "delays"]
    hidden = int(network.is_hidden.sum())
    assert sum(p.count for p in delays) <= (hidden if slots == 1 else hidden // 2)
    if slots == 1:
        assert len(image.manifest.semantics["neurons"]) == len(network.ids)


def simulate(network: SnmNetwork, timesteps: int) -> Bools:
    """What SnmNetwork says that a network does, neuron by neuron."""
    n = len(network.ids)
    state, left = network.state.copy(), np.zeros(n, int)
    arriving = np.zeros((timesteps + 100, n))
    np.add.at(arriving, (network.input_time, network.input_neuron), network.input_value)
    fired = np.zeros((timesteps, n), np.bool_)
    for t in range(timesteps):
        for k in range(n):
            distance = state[k] - network.reset_state[k]
            moved = max(abs(distance) - network.leak[k], 0) * np.sign(distance)
            state[k] = network.reset_state[k] + moved + arriving[t, k]
            fired[t, k] = state[k] > network.threshold[k] and not left[k]
            left[k] = max(0, left[k] - 1)
            if fired[t, k]:
                state[k], left[k] = network.reset_state[k], network.refractory[k]
        for pre, post, w, delay in zip(
            network.pre, network.post, network.weight, network.delay, strict=True
        ):
            arriving[t + delay, post] += w * fired[t, pre]
    return fired


def draw(seed: int) -> SnmNetwork:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 25))
    counts = rng.random(n) < 0.4
    pre, post = np.nonzero(rng.random((n, n)) < 0.3)
    scale = 2.0 ** rng.integers(-30, 8, n)
    time, fed = np.nonzero(rng.random((40, n)) < 0.2)
    return SnmNetwork(
        ids=np.arange(n),
        is_hidden=np.zeros(n, np.bool_),
        threshold=rng.integers(-3, 10, n) * scale,
        leak=np.where(counts, 0.0, np.inf),
        reset_state=rng.integers(-4, 3, n) * scale,
        state=rng.integers(-3, 3, n) * scale,
        refractory=np.where(counts, 0, rng.integers(0, 5, n)),
        pre=pre,
        post=post,
        weight=rng.integers(-8, 9, len(pre)) * scale[post],
        delay=rng.integers(1, 10, len(pre)),
        stdp=np.zeros(len(pre), np.bool_),
        input_time=time,
        input_neuron=fed,
        input_value=rng.integers(-3, 10, len(time)) * scale[fed],
        name="",
        source={},
    )


@pytest.mark.parametrize("seed", range(30))
def test_any_network_in_units_of_its_own(seed: int) -> None:
    network = draw(seed)
    options = CompileOptions(lanes=2 ** (seed % 4), fraction_bits=seed % 3 or None)
    image = compile_superneuromat(network, options)
    assert_equal(image, network, simulate(network, 50))


@pytest.mark.parametrize("seed", range(30))
def test_superneuromat_itself_spikes_the_same(seed: int) -> None:
    superneuromat = pytest.importorskip("superneuromat")
    rng = np.random.default_rng(seed)
    snn = superneuromat.SNN()
    snn.backend = "cpu"
    n = int(rng.integers(2, 40))
    for _ in range(n):
        counts = rng.random() < 0.4
        snn.create_neuron(
            threshold=int(rng.integers(-3, 12)),
            leak=0 if counts else np.inf,
            reset_state=int(rng.integers(-4, 3)),
            refractory_period=0 if counts else int(rng.integers(0, 5)),
            initial_state=int(rng.integers(-3, 3)),
        )
    for pre, post in zip(*np.nonzero(rng.random((n, n)) < 0.2), strict=True):
        delay = int(rng.choice([1, 1, 2, 3, 9, 70]))
        snn.create_synapse(int(pre), int(post), weight=int(rng.integers(-8, 9)), delay=delay)
    for time, neuron in zip(*np.nonzero(rng.random((60, n)) < 0.15), strict=True):
        snn.add_spike(int(time), int(neuron), float(rng.integers(-3, 10)))
    form = ("json-native", "base64", "base85")[seed % 3]
    network = parse_superneuromat(snn.to_json(array_representation=form).encode())
    snn.simulate(100)
    image = compile_superneuromat(network)
    assert len(image.manifest.semantics["neurons"]) <= n + 2 * n * n * 0.2
    assert_equal(image, network, np.array(snn.spike_train) > 0)


# Delays


def test_a_chain_becomes_a_delay_where_nothing_hinders_it() -> None:
    network = parse_superneuromat(content(case("a ring of delays")["document"]))
    assert network.is_hidden.sum() == 3 * 4 + 69
    folded = fold_delays(network, 64)
    synapses = dict(zip(zip(folded.pre, folded.post, strict=True), folded.delay, strict=True))
    assert {synapses[pair] for pair in ((0, 1), (1, 2), (2, 0))} == {5}
    assert synapses[0, 2] == 1
    assert folded.is_hidden.sum() == 1  # 70 timesteps are 64 and 6
    assert fold_delays(network, 1).is_hidden.sum() == network.is_hidden.sum()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("neuron_thresholds", 2.0),
        ("neuron_thresholds", -1.0),
        ("neuron_leaks", 0.0),
        ("neuron_refractory_periods", 1),
        ("input_spikes", None),
    ],
)
def test_a_neuron_that_does_more_than_pass_a_spike_on_stays(
    field: str, value: float | None
) -> None:
    document = case("two neurons and a delay")["document"]
    data = document["networks"][0]["data"]
    if value is None:
        data["input_spikes"]["9"] = {"nids": [2], "values": [1.0]}
    else:
        data[field][2] = value
    network = parse_superneuromat(content(document))
    folded = fold_delays(network, 64)
    assert folded.is_hidden.sum() == 1
    assert 2 in folded.ids
    image = compile_superneuromat(network)
    assert_equal(image, network, simulate(network, 20))


@pytest.mark.parametrize("most", [1, 2, 3, 64])
def test_a_chain_beside_a_synapse_keeps_a_neuron(most: int) -> None:
    document = case("two neurons and a delay")["document"]
    data = document["networks"][0]["data"]
    del data["num_synapses"]
    for field, value in (
        ("pre_synaptic_neuron_ids", 1),
        ("post_synaptic_neuron_ids", 0),
        ("synaptic_weights", 1.0),
        ("synaptic_delays", 1),
        ("enable_stdp", 0),
    ):
        data[field].append(value)
    network = parse_superneuromat(content(document))
    folded = fold_delays(network, most)
    pairs = list(zip(folded.pre.tolist(), folded.post.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)
    assert folded.is_hidden.sum() == (2 if most == 1 else 1)
    visible = slice(0, 2)
    assert (simulate(folded, 30)[:, visible] == simulate(network, 30)[:, visible]).all()
    assert_equal(compile_superneuromat(network), network, simulate(network, 30))


# Inputs


def test_without_spikes_in_the_file_each_neuron_has_a_line() -> None:
    document = case("two neurons and a delay")["document"]
    document["networks"][0]["data"]["input_spikes"] = {}
    network = parse_superneuromat(content(document))
    assert input_lines(network) == [(0, 1.0), (1, 1.0)]
    image = compile_superneuromat(network)
    assert image.manifest.semantics["inputs"] == [[0, 1.0], [1, 1.0]]
    assert stimulus(network, 5).shape == (5, 2)


def test_a_neuron_that_never_leaks_is_exact_for_a_while() -> None:
    network = parse_superneuromat(content(case("an integrator")["document"]))
    semantics = compile_superneuromat(network).manifest.semantics
    assert semantics["exact_timesteps"] == "all"
    network.weight[0] = -4.5
    network.post[0] = 0
    steps = compile_superneuromat(network).manifest.semantics["exact_timesteps"]
    assert 900_000 < steps < 2**23


# Refusals

PLAIN = "two neurons and a delay"


def changed(**fields: Any) -> bytes:
    document = case(PLAIN)["document"]
    data = document["networks"][0]["data"]
    for field, value in fields.items():
        data[field] = value
        if value is None:
            del data[field]
    return content(document)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"neuron_leaks": None}, "neuron_leaks is missing"),
        ({"brain": [1]}, "'brain' is unknown"),
        ({"neuron_leaks": "Infinity"}, "neuron_leaks must be a list of numbers"),
        ({"neuron_leaks": [1, 2]}, "neuron_leaks must have 4 values, not 2"),
        ({"neuron_leaks": [10**400] * 4}, "neuron_leaks must be a list of numbers"),
        ({"neuron_leaks": {"base64": "!", "dtype": "<d"}}, "plain or encoded"),
        ({"neuron_leaks": {"base64": "AAAA", "dtype": "O"}}, "dtype 'O'"),
        ({"neuron_leaks": [-1.0, 1, 1, 1]}, "neuron_leaks must be 0 or above, not -1"),
        ({"neuron_leaks": [1.0, 0, 0, 0]}, "leak of neuron 0 must be infinite, or 0"),
        ({"neuron_leaks": [0, 0, 0, 0]}, "refractory period of neuron 1 must be 0, as it never"),
        ({"neuron_thresholds": [float("nan")] * 4}, "neuron_thresholds must be numbers, not nan"),
        ({"neuron_reset_states": [float("inf")] * 4}, "neuron_reset_states must be finite"),
        ({"neuron_refractory_periods": [0.5] * 4}, "must be integers in"),
        ({"neuron_refractory_periods": [300] * 4}, "at most 255 timesteps, not 300 (and 3 more"),
        ({"neuron_refractory_periods_state": [0, 2, 0, 0]}, "neuron 1 is refractory before"),
        ({"pre_synaptic_neuron_ids": [0, 1, 2, 9]}, "in [0, 3], not 9 (number 3)"),
        (
            {"pre_synaptic_neuron_ids": [0, 0, 2, 3], "post_synaptic_neuron_ids": [1, 1, 3, 0]},
            "one synapse from a neuron to another",
        ),
        ({"synaptic_delays": [3, 1, 1, 1]}, "where SuperNeuroMAT has no chain of neurons"),
        ({"synaptic_weights": [1, 1, 1, 0.1]}, "of neuron 0 must be small multiples of one number"),
        ({"synaptic_weights": [1, 1, 1, 1e300]}, "of neuron 0 must be small multiples"),
        ({"synaptic_weights": [1, 1, 1, 1e6]}, "into neuron 0 must be at most 32767 times"),
        ({"num_neurons": 5}, "neuron_thresholds must have 5 values, not 4"),
        ({"num_synapses": [1]}, "synaptic_weights must have [1] values"),
        ({"default_dtype": "float16"}, "default_dtype must be 'float64', not 'float16'"),
        ({"spike_train": [[0, 1, 0, 0]]}, "neurons spiked before the first timestep"),
        ({"stdp": True, "apos": [1.0], "enable_stdp": [1, 0, 0, 0]}, "1 synapses learn by STDP"),
        ({"input_spikes": [3]}, "input_spikes must be an object"),
        ({"input_spikes": {"x": {"nids": [0], "values": [1]}}}, "'x' must be a timestep"),
        ({"input_spikes": {"0": {"nids": [7], "values": [1]}}}, "integers in [0, 3]"),
        ({"input_spikes": {"0": {"nids": [0, 0], "values": [1, 2]}}}, "there once"),
        ({"input_spikes": {"0": 3}}, "nids of input_spikes '0' must be a list"),
    ],
)
def test_what_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=re.escape(message)) as caught:
        compile_superneuromat(parse_superneuromat(changed(**fields)))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "it is not JSON: Expecting value: line 1 column 1 (char 0)."),
        (b"[" * 100_000, "it is not JSON"),
        (b"\xff\xfe", "it is not JSON"),
        (b"[]", "it is no SuperNeuroMAT document: it has no networks."),
        (b'{"networks": [], "version": "0.2"}', "schema version '0.2'; this reads version '0.1'."),
        (b'{"networks": [], "version": "0.1"}', "it must hold one network, not 0."),
        (b'{"networks": [3], "version": "0.1"}', "its network must have meta and data."),
    ],
)
def test_other_documents_are_refused(text: bytes, message: str) -> None:
    with pytest.raises(ModelError, match=re.escape(message)):
        parse_superneuromat(text)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    missing, large = tmp_path / "a.json", tmp_path / "b.json"
    with large.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    for path in (missing, large, tmp_path):
        with pytest.raises(ModelError, match=re.escape(f"Cannot read network {str(path)!r}")):
            compile_superneuromat(path)


def test_options_that_the_format_answers_are_refused() -> None:
    network = parse_superneuromat(changed())
    options = CompileOptions(dt=1.0, reset="zero", percentile=99.0)
    with pytest.raises(ModelError) as caught:
        compile_superneuromat(network, options)
    assert caught.value.reasons == tuple(
        f"{name} must be left out" for name in ("dt", "reset", "percentile")
    )


def test_a_core_too_small_is_refused() -> None:
    network = parse_superneuromat(changed())
    with pytest.raises(ModelError, match=re.escape("weight_words must be at most 1, not 6")):
        compile_superneuromat(network, spec=CoreSpec(axons=8, neurons=8, weight_words=1))
    with pytest.raises(ModelError, match="Network is too large for the core"):
        compile_superneuromat(network, spec=CoreSpec(axons=1, neurons=8))


def test_mutants_of_a_file_are_refused_or_run() -> None:
    rng = random.Random(7)
    refused = 0
    for _ in range(200):
        text = bytearray(content(case(rng.choice(NAMES))["document"]))
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(text))
            text[at : at + rng.choice((0, 1, 1, 5))] = rng.randbytes(rng.choice((0, 1, 2)))
        try:
            image = compile_superneuromat(parse_superneuromat(bytes(text)))
        except SpikewrightError as error:
            refused += bool(error.what)
        else:
            GoldenModel(image).run(np.ones((1, 5, image.spec.axons), np.bool_))
    assert 50 < refused < 200


# The command


def test_the_command_compiles_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, output = tmp_path / "net.json", tmp_path / "net.core"
    model.write_bytes(changed())
    assert main(["compile", str(model), "-o", str(output)]) == 0
    assert "2 neurons, 4 synapses" in capsys.readouterr().out
    image = CoreImage.load(output)
    assert image.id == compile_superneuromat(model).id
    assert image.manifest.source["file"] == "net.json"
    assert main(["info", str(output)]) == 0
    assert "SuperNeuroMAT" in capsys.readouterr().out
    command = ["compile", str(model), "-o", str(output), "--dt", "1"]
    assert main(command) == 1
    assert "dt must be left out" in capsys.readouterr().err
    assert main([*command[:4], "--calibrate", str(model)]) == 2
    assert "are for NIR: " in capsys.readouterr().err


def test_sparse_rows_give_the_same_spikes(tmp_path: Path) -> None:
    model = tmp_path / "net.json"
    model.write_bytes(changed())
    sparse, dense = (
        compile_superneuromat(model, CompileOptions(sparse=each)) for each in (True, False)
    )
    assert sparse.spec.sparse
    spikes = np.random.default_rng(5).random((2, 40, sparse.spec.axons)) < 0.4
    expected = GoldenModel(dense, 2).run(spikes).spikes
    assert expected.any()
    assert (GoldenModel(sparse, 2).run(spikes).spikes == expected).all()
