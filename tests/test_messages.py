"""What users get wrong: one message each, of what is wrong and where, the limit, and what to do."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from networks import options
from plastic_images import WINDOW, learned_image, plastic_image, rewritten

from spikewright.cli import main
from spikewright.compiler import CompileOptions, compile_network
from spikewright.errors import SpikewrightError
from spikewright.frames import LinkSpec
from spikewright.learning import LearningRule
from spikewright.sim.device_model import DeviceModel
from spikewright.sim.terminal import Terminal

Nodes = dict[str, Any]
SEMANTICS = ("--dt", "1", "--reset", "zero", "--no-reset-delay")
SNM = Path(__file__).parent / "compiler" / "superneuromat.json"


def neurons(count: int = 3, **changes: Any) -> nir.LIF:
    """LIF of tau 4 and threshold 1, reset to 0."""
    ones = np.ones(count)
    values = {"tau": 4 * ones, "r": 4 * ones, "v_leak": 0 * ones, "v_threshold": ones}
    return nir.LIF(**{**values, "v_reset": 0 * ones, **changes})


def graph(change: Callable[[Nodes], Any] = lambda nodes: None) -> nir.NIRGraph:
    """Two inputs, ``fc``, three neurons ``hidden``, changed; in the order of the mapping."""
    nodes: Nodes = {
        "input": nir.Input(np.array([2])),
        "fc": nir.Linear(np.array([[0.5, 0.25], [0.125, 1.0], [0.75, 0.5]])),
        "hidden": neurons(),
        "output": nir.Output(np.array([3])),
    }
    edges = change(nodes)
    return nir.NIRGraph(nodes, edges or list(pairwise(nodes)), type_check=False)


def put(name: str, node: Any) -> Callable[[Nodes], None]:
    """Another node in the place of one."""

    def change(nodes: Nodes) -> None:
        nodes[name] = node

    return change


def give(name: str, field: str, value: Any) -> Callable[[Nodes], None]:
    """Another value in a node's field."""

    def change(nodes: Nodes) -> None:
        setattr(nodes[name], field, value)

    return change


def without(name: str) -> Callable[[Nodes], None]:
    def change(nodes: Nodes) -> None:
        del nodes[name]

    return change


def link(*edges: tuple[str, str]) -> Callable[[Nodes], Any]:
    """More edges."""
    return lambda nodes: [*pairwise(nodes), *edges]


def then(name: str, node: Any) -> Callable[[Nodes], None]:
    """One more node, before the output."""

    def change(nodes: Nodes) -> None:
        output = nodes.pop("output")
        nodes |= {name: node, "output": output}

    return change


class Sum:
    """No primitive of NIR."""


def pooled(nodes: Nodes) -> list[tuple[str, str]]:
    """A pool between the neurons and the output."""
    ones = np.ones((1, 2, 2))
    two = np.array([2, 2])
    nodes |= {
        "input": nir.Input(np.array([1, 2, 2])),
        "fc": nir.Conv2d((2, 2), np.ones((1, 1, 1, 1)), 1, 0, 1, 1, np.zeros(1)),
        "hidden": nir.IF(r=ones, v_threshold=ones, v_reset=0 * ones),
        "pool": nir.AvgPool2d(two, two, 0 * two),
        "output": nir.Output(np.array([1, 1, 1])),
    }
    return list(pairwise(["input", "fc", "hidden", "pool", "output"]))


def delayed(nodes: Nodes) -> list[tuple[str, str]]:
    nodes["wait"] = nir.Delay(np.full(2, 1000.0))
    return list(pairwise(["input", "wait", "fc", "hidden", "output"]))


def loose(nodes: Nodes) -> list[tuple[str, str]]:
    edges = list(pairwise(nodes))
    nodes["loose"] = neurons()
    return edges


ONES = np.ones(3)
CONV = nir.Conv2d((2, 2), np.ones((1, 2, 3, 3)), 1, 0, 1, 1, np.zeros(1))
GRAPHS: dict[str, tuple[Callable[[Nodes], Any], CompileOptions, tuple[str, ...]]] = {
    "no dt": (lambda n: None, options(dt=None), ("'hidden' (LIF)", "dt")),
    "no reset": (lambda n: None, options(reset=None), ("'hidden' (LIF)", "reset")),
    "no reset delay": (lambda n: None, options(reset_delay=None), ("'hidden' (LIF)", "delay")),
    "tau of 0": (give("hidden", "tau", 0 * ONES), options(), ("'hidden'", "tau", "0")),
    "tau below dt": (give("hidden", "tau", ONES / 4), options(), ("'hidden'", "tau", "dt", "0.25")),
    "tau is nan": (give("hidden", "tau", np.nan * ONES), options(), ("'hidden'", "tau", "finite")),
    "weight is inf": (give("fc", "weight", np.inf * np.ones((3, 2))), options(),
                      ("'fc'", "weight", "finite")),
    "complex weight": (give("fc", "weight", 1j * np.ones((3, 2))), options(),
                       ("'fc'", "weight", "real", "complex128")),
    "text for a weight": (give("fc", "weight", np.array(["a"])), options(), ("'fc'", "weight")),
    "r is inf": (give("hidden", "r", np.array([1.0, np.inf, 1.0])), options(),
                   ("'hidden'", "r", "inf")),
    "sizes": (give("fc", "weight", np.ones((3, 5))), options(), ("'fc'", "5", "2")),
    "output's size": (put("output", nir.Output(np.array([4]))), options(), ("'output'", "4", "3")),
    "no input": (without("input"), options(), ("Input",)),
    "no output": (without("output"), options(), ("Output",)),
    "no neurons": (without("hidden"), options(), ("neuron",)),
    "edge to nowhere": (link(("hidden", "absent")), options(), ("'absent'",)),
    "loose node": (loose, options(), ("'loose'", "Input", "Output")),
    "cycle without neurons": (link(("fc", "fc")), options(), ("'fc'",)),
    "unknown kind": (then("sum", Sum()), options(), ("'sum'", "Sum")),
    "pool behind neurons": (pooled, options(), ("'output'", "'pool'")),
    "kernel over the border": (put("fc", CONV), options(), ("'fc'", "3")),
    "delay of half a step": (then("wait", nir.Delay(ONES / 2)), options(), ("'wait'", "0.5")),
    "negative delay": (then("wait", nir.Delay(-ONES)), options(), ("'wait'", "-1")),
    "delay over the ring": (delayed, options(), ("'wait'", "1000", "63")),
    "scale of nan": (then("gain", nir.Scale(np.nan * ONES)), options(), ("'gain'", "finite")),
    "wide weights": (lambda n: None, options(weight_bits=17), ("weight_bits", "16", "17")),
    "narrow state": (lambda n: None, options(state_bits=8), ("state_bits", "12", "8")),
    "three lanes": (lambda n: None, options(lanes=3), ("lanes", "power of two", "3")),
}  # fmt: skip


def message(error: SpikewrightError) -> str:
    assert error.what
    assert error.hint, str(error)
    assert len(str(error)) < 1500
    return str(error)


@pytest.mark.parametrize("case", GRAPHS)
def test_network(case: str) -> None:
    change, chosen, words = GRAPHS[case]
    with pytest.raises(SpikewrightError) as caught:
        compile_network(graph(change), chosen)
    text = message(caught.value)
    print(text)
    assert [word for word in words if word not in text] == [], text


IMAGES: dict[str, tuple[str, Any, tuple[str, ...]]] = {
    "decay above 1": ("a_mem", 4097, ("a_mem", "4096", "4097")),
    "neither subtract nor zero": ("reset_to", 2, ("reset_to", "1", "2")),
    "wide threshold": ("v_threshold", 1 << 40, ("v_threshold", "2147483647", "1099511627776")),
    "text": ("bias", "x", ("bias", "integers", "<U1")),
    "no array": ("weights", None, ("weights", "None")),
}


@pytest.mark.parametrize("case", IMAGES)
def test_image(case: str) -> None:
    name, value, words = IMAGES[case]
    core = compile_network(graph(), options())
    wrong: Any = value if value is None else np.full(core.spec.neurons, value)
    arrays: dict[str, Any] = {name: wrong}
    with pytest.raises(SpikewrightError) as caught:
        replace(core, **arrays)
    text = message(caught.value)
    assert [word for word in words if word not in text] == [], text


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("window", 3, ("power of two", "[2, 64]", "3")),
        ("clock_hz", 0, ("clock_hz", "at least 1", "0")),
        ("baud_hz", 90_000_000, ("baud_hz", "25000000", "90000000")),
    ],
)
def test_link(field: str, value: int, words: tuple[str, ...]) -> None:
    with pytest.raises(SpikewrightError) as caught:
        LinkSpec(**{"clock_hz": 100_000_000, field: value})
    text = message(caught.value)
    assert [word for word in words if word not in text] == [], text


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files, some right and some wrong in one way each, named for it."""
    folder = tmp_path_factory.mktemp("given")
    rng = np.random.default_rng(3)
    nir.write(folder / "model.nir", graph())
    nir.write(folder / "loose.nir", graph(give("hidden", "tau", -ONES)))
    image = compile_network(graph(), options())
    image.save(folder / "model.core")
    data = image.to_bytes()
    (folder / "half.core").write_bytes(data[: len(data) // 2])
    (folder / "flipped.core").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    (folder / "text").write_text("no such format")
    (folder / "half.nir").write_bytes((folder / "model.nir").read_bytes()[:900])
    (folder / "weights.pt").write_bytes(b"PK")
    right = rng.random((2, 4, 2)) < 0.5
    arrays: dict[str, dict[str, Any]] = {
        "in": {"spikes": right},
        "five": {"spikes": np.ones((2, 3, 5))},
        "two": {"spikes": right * 2},
        "nan": {"spikes": np.full((2, 4, 2), np.nan)},
        "flat": {"spikes": np.ones(4)},
        "empty": {"spikes": np.ones((0, 4, 2))},
        "objects": {"spikes": np.array([{}])},
        "other": {"events": right},
    }
    for name, content in arrays.items():
        np.savez(folder / f"{name}.npz", **content)
    specs = {
        "lanes": {"lanes": 3},
        "unknown": {"neurones": 64},
        "list": [],
        "small": {"axons": 1, "neurons": 8, "lanes": 8},
        "words": {"axons": 8, "neurons": 8, "lanes": 8, "weight_words": 1},
    }
    for name, spec in specs.items():
        (folder / f"{name}.spec").write_text(json.dumps(spec))
    whole = json.loads(SNM.read_text())[0]["document"]
    for name, field, value in (
        ("kind", "neuron_thresholds", "high"),
        ("length", "neuron_leaks", [0.0]),
        ("nobody", "post_synaptic_neuron_ids", [1, 2, 3, 9]),
        ("fine", "synaptic_weights", [2.0, 1.0, 1.0, 1e-9]),
        ("late", "neuron_refractory_periods", [0, 1 << 20, 0, 0]),
    ):
        document = json.loads(json.dumps(whole))
        document["networks"][0]["data"][field] = value
        (folder / f"{name}.json").write_text(json.dumps(document))
    (folder / "version.json").write_text(json.dumps({**whole, "version": "9"}))
    (folder / "cut.json").write_text(json.dumps(whole)[:200])
    _write_learners(folder)
    case = folder / "cases" / "one"
    (folder / "cases").mkdir()
    (folder / "none").mkdir()
    record = ("record", folder / "model.core", "--spikes", folder / "in.npz", "-o", case)
    assert main([*map(str, record), "-q"]) == 0
    return folder


def _write_learners(folder: Path) -> None:
    """Images that learn, and others that say what their core cannot do; rewards likewise."""
    learns, window = plastic_image(), plastic_image(WINDOW, rule=LearningRule(w_min=-4, w_max=3))
    learns.save(folder / "learns.core")
    learned_image().save(folder / "rewarded.core")
    plastic_image(plastic=None).save(folder / "still.core")
    for name, image, change in (
        ("bounds", learns, {"w_max": 2}),
        ("window", window, {"pre_step": 1024}),
        ("lacks", learns, {"soft": True, "a_h": 1}),
        ("steps", learns, {"pre_change": 1}),
    ):
        rule = asdict(image.rule or LearningRule()) | change
        (folder / f"{name}.core").write_bytes(rewritten(image, rule=rule))
    # Its spec says that nothing is plastic, its arrays and its rule say otherwise.
    plain = replace(learns.spec, plasticity="none")
    spec = {"spec": json.loads(plain.to_json()), "spec_hash": plain.hash}
    (folder / "plain.core").write_bytes(rewritten(learns, **spec))
    for rewards, values in (
        ("short", [[0] * 3] * 2),
        ("high", [[128] * 4] * 2),
        ("real", [[0.5] * 4] * 2),
    ):
        np.save(folder / f"{rewards}.npy", np.array(values))
    np.savez(folder / "unnamed.npz", reward=np.zeros((2, 4), int))


COMMANDS: dict[str, tuple[str, ...]] = {
    # file of the network
    "compile IN/absent.nir -o OUT/x.core": ("absent.nir", "No such file", "256 MiB"),
    "compile IN -o OUT/x.core": ("Is a directory",),
    "compile /dev/null -o OUT/x.core": ("/dev/null", "Not a regular file"),
    "compile IN/text -o OUT/x.core": ("text", "not a readable NIR file"),
    "compile IN/half.nir -o OUT/x.core": ("half.nir", "not a readable NIR file"),
    "compile IN/weights.pt -o OUT/x.core": ("weights.pt", "load_weights"),
    "compile IN/loose.nir -o OUT/x.core SEMANTICS": ("'hidden'", "tau", "above 0", "-1"),
    # options and cores
    "compile IN/model.nir -o OUT/x.core": ("'hidden' (LIF)", "dt, reset, reset_delay"),
    "compile IN/model.nir -o OUT/x.core --dt -1": ("dt", "positive", "-1.0"),
    "compile IN/model.nir -o OUT/x.core SEMANTICS --percentile 0": ("percentile", "at most 100"),
    "compile IN/model.nir -o OUT/x.core SEMANTICS --weight-bits 1": ("weight_bits", "[2, 16]"),
    "compile IN/model.nir -o OUT/x.core SEMANTICS --bits 4,4,4": ("layers (hidden", "not 3"),
    "compile IN/model.nir -o OUT/x.core SEMANTICS --bits hid=4": ("projection 'hid'", ":hidden"),
    "compile IN/model.nir -o OUT/x.core SEMANTICS --bits hidden=1": ("2 to 16", "not 1"),
    "compile IN/model.nir -o OUT/x.core SEMANTICS --bits 8 --weight-bits 6": ("core's 6", "not 8"),
    "compile IN/model.nir -o OUT/x.core SEMANTICS --spec IN/absent": ("absent", "No such file"),
    "compile IN/model.nir -o OUT/x.core SEMANTICS --spec IN/text": ("text", "not JSON"),
    "compile IN/model.nir -o OUT/x.core SEMANTICS --spec IN/list.spec": ("JSON", "[]"),
    "compile IN/model.nir -o OUT/x.core SEMANTICS --spec IN/lanes.spec": ("lanes.spec", "not 3"),
    "compile IN/model.nir -o OUT/x.core SEMANTICS --spec IN/unknown.spec": ("'neurones'", "Known"),
    "compile IN/model.nir -o OUT/x.core SEMANTICS --spec IN/small.spec": ("axons", "1", "2"),
    "compile IN/model.nir -o OUT/x.core SEMANTICS --spec IN/words.spec": ("weight_words", "1", "2"),
    "compile IN/model.nir -o OUT/x.core SEMANTICS --calibrate IN/five.npz": ("5", "2"),
    "compile IN/model.nir -o OUT/no/x.core SEMANTICS": ("OUT/no/x.core", "No such file"),
    "compile IN/model.nir -o OUT/x.core SEMANTICS --dump-passes IN/text": ("text",),
    # SuperNeuroMAT
    "compile IN/absent.json -o OUT/x.core": ("absent.json", "64 MiB"),
    "compile IN/cut.json -o OUT/x.core": ("cut.json", "not JSON"),
    "compile IN/version.json -o OUT/x.core": ("version '9'", "'0.1'"),
    "compile IN/kind.json -o OUT/x.core": ("neuron_thresholds", "high"),
    "compile IN/length.json -o OUT/x.core": ("neuron_leaks", "4", "1"),
    "compile IN/nobody.json -o OUT/x.core": ("post_synaptic_neuron_ids", "9", "3"),
    "compile IN/fine.json -o OUT/x.core": ("neuron 0", "53 bits", "Round"),
    "compile IN/late.json -o OUT/x.core": ("neuron 1", "refractory", "1048576"),
    "compile IN/kind.json -o OUT/x.core --dt 1": ("dt", "left out"),
    # images
    "info IN/absent.core": ("absent.core", "No such file"),
    "info IN/text": ("text", "safetensors"),
    "info IN/half.core": ("half.core", "whole"),
    "info IN/flipped.core": ("flipped.core", "does not match its hash"),
    "info IN": ("Is a directory",),
    "verify IN/flipped.core": ("flipped.core", "does not match its hash"),
    "cost IN/flipped.core --spikes IN/in.npz": ("flipped.core", "does not match its hash"),
    # spikes
    "run IN/model.core --spikes IN/absent.npz": ("absent.npz", "No such file"),
    "run IN/model.core --spikes IN/text": ("text", ".npz"),
    "run IN/model.core --spikes IN/five.npz": ("2", "5"),
    "run IN/model.core --spikes IN/two.npz": ("0 or 1", "largest: 2"),
    "run IN/model.core --spikes IN/nan.npz": ("0 or 1", "nan"),
    "run IN/model.core --spikes IN/flat.npz": ("[samples, timesteps, axons]", "[4]"),
    "run IN/model.core --spikes IN/empty.npz": ("none of them 0", "[0, 4, 2]"),
    "run IN/model.core --spikes IN/objects.npz": ("plain arrays",),
    "run IN/model.core --spikes IN/other.npz": ("'spikes'", "'events'"),
    "run IN/model.core --spikes IN/in.npz --target cloud": ("cloud", "golden, verilator, virtual"),
    "run IN/model.core --spikes IN/in.npz -o OUT/no/x.npz": ("OUT/no/x.npz", "No such file"),
    "verify IN/model.core --spikes IN/five.npz": ("2", "5"),
    "cost IN/model.core --spikes IN/five.npz": ("2", "5"),
    "cost IN/model.core --spikes IN/in.npz --clock 0": ("0", "Hz"),
    "cost IN/model.core --spikes IN/in.npz --clock nan": ("nan", "Hz"),
    # diagnose and explain
    "diagnose IN/model.nir --spikes IN/in.npz": ("'hidden' (LIF)", "dt"),
    "diagnose IN/model.nir --spikes IN/five.npz SEMANTICS": ("5", "2"),
    "diagnose IN/half.nir --spikes IN/in.npz SEMANTICS": ("half.nir",),
    "explain IN/model.core hidden[9] --spikes IN/in.npz": ("'hidden'", "at most [2]", "[9]"),
    "explain IN/model.core nobody[0] --spikes IN/in.npz": ("'nobody'", "hidden"),
    "explain IN/model.core hidden[x] --spikes IN/in.npz": ("hidden[x]", "hidden[0] to hidden[2]"),
    "explain IN/model.core hidden[0] --spikes IN/in.npz --sample 7": ("[0, 1]", "7"),
    "explain IN/model.core hidden[0] --spikes IN/five.npz": ("5", "2"),
    # learning
    "learn IN/bounds.core LESSON": ("plastic weights must be in [-128, 2]", "not 3", "word 1"),
    "learn IN/window.core LESSON": ("rule.pre_step must be in [0, 1023]", "not 1024"),
    "learn IN/lacks.core LESSON": ("rule.soft needs a spec with soft_bounds", "adaptive_threshold"),
    "learn IN/steps.core LESSON": ("rule.pre_change needs a spec with plasticity 'window'",),
    "learn IN/plain.core LESSON": ("'plastic' is unknown", "'opposite' is unknown"),
    "learn IN/model.core LESSON": ("cannot learn", "no plasticity", "'window' or 'trace'"),
    "learn IN/still.core LESSON": ("Nothing can be learned", "no synapse", "plastic bits"),
    "learn IN/flipped.core LESSON": ("flipped.core", "does not match its hash"),
    "learn IN/learns.core LESSON --rewards IN/short.npy": ("takes no rewards", "spec with reward"),
    "learn IN/rewarded.core LESSON --rewards IN/short.npy": ("(2, 4)", "(2, 3)", "64"),
    "learn IN/rewarded.core LESSON --rewards IN/high.npy": ("[-128, 127]", "128", "64"),
    "learn IN/rewarded.core LESSON --rewards IN/real.npy": ("integers", "float64"),
    "learn IN/rewarded.core LESSON --rewards IN/unnamed.npz": ("'rewards'", "'reward'"),
    "learn IN/rewarded.core LESSON --rewards IN/text": ("text", "numpy.save"),
    "learn IN/learns.core LESSON --skip 2": ("skip", "all 2 samples", "not 2"),
    "learn IN/learns.core LESSON --scale-sum 3000000000": ("2147483647", "3000000000"),
    "learn IN/learns.core LESSON --report OUT/x.html --watch 1:0": ("source 1 to neuron 0", "3:7"),
    "learn IN/learns.core LESSON --report OUT/x.html --field 3x3": ("2 axons", "3 x 3"),
    "learn IN/learns.core LESSON --report OUT/no/x.html": ("OUT/no/x.html", "No such file"),
    "learn IN/learns.core LESSON --snapshots IN/text": ("text", "File exists"),
    "learn IN/learns.core LESSON --target /dev/absent": ("/dev/absent",),
    "learn IN/learns.core --spikes IN/in.npz -o OUT/no/x.core": ("OUT/no/x.core", "No such file"),
    "learn IN/learns.core --spikes IN/five.npz -o OUT/x.core": ("2", "5"),
    "recover IN/learns.core --target /dev/absent -o OUT/x.core": ("/dev/absent",),
    "recover IN/half.core --target /dev/absent -o OUT/x.core": ("half.core", "whole"),
    # cases
    "record IN/model.core --spikes IN/five.npz -o OUT/case": ("5", "2"),
    "record IN/model.core --spikes IN/in.npz -o IN/cases/one": ("one", "already there"),
    "record IN/model.core --spikes IN/in.npz -o OUT/no/case": ("OUT/no/case", "No such file"),
    "regress IN/absent": ("No case in", "absent"),
    "regress IN/none": ("No case in", "none"),
    "regress IN/text": ("text",),
    "regress IN/cases --target golden --junit OUT/no/report.xml": ("OUT/no/report.xml",),
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_command(
    command: str, given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = COMMANDS[command]
    command = command.replace("LESSON", "--spikes IN/in.npz -o OUT/x.core")
    arguments = command.replace("SEMANTICS", " ".join(SEMANTICS)).split()
    arguments = [a.replace("IN", str(given)).replace("OUT", str(tmp_path)) for a in arguments]
    before = contents(given)
    assert main([*arguments, "--json"]) == 1
    out, err = capsys.readouterr()
    print(err)
    error = json.loads(out)["error"]
    assert err.startswith(f"Error: {error['what']}\n")
    assert error["next"]
    assert error["kind"].endswith("Error")
    assert error["kind"] not in ("InternalError", "OSError", "MemoryError")
    assert "Traceback" not in err
    words = [word.replace("OUT", str(tmp_path)) for word in wanted]
    assert [word for word in words if word not in err] == [], err
    assert list(tmp_path.iterdir()) == []
    assert contents(given) == before


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


class Listening(DeviceModel):
    """Counts the bytes that it is sent."""

    heard = 0

    def exchange(self, data: bytes) -> bytes:
        self.heard += len(data)
        return super().exchange(data)


@pytest.mark.parametrize(
    "command",
    [command for command in COMMANDS if "LESSON" in command and "--target" not in command],
)
def test_nothing_is_sent_to_a_board(
    command: str, given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    device = Listening(plastic_image().spec)
    with Terminal(device) as port:
        lesson = f"--spikes IN/in.npz -o OUT/x.core --target {port.path}"
        arguments = command.replace("LESSON", lesson).split()
        arguments = [a.replace("IN", str(given)).replace("OUT", str(tmp_path)) for a in arguments]
        assert main(arguments) == 1
    assert COMMANDS[command][0].replace("OUT", str(tmp_path)) in capsys.readouterr().err
    assert device.heard == 0


def test_a_board_that_can_learn_is_sent_a_lesson(given: Path, tmp_path: Path) -> None:
    """What the test above says is not sent would be."""
    device = Listening(plastic_image().spec)
    with Terminal(device) as port:
        lesson = ("--spikes", given / "in.npz", "-o", tmp_path / "x.core", "--target", port.path)
        assert main(list(map(str, ("learn", given / "learns.core", *lesson, "-q")))) == 0
    assert device.heard > 100
