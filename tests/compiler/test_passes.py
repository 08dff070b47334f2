import json
from pathlib import Path

import numpy as np
import pytest
from networks import affine, chain, neuron, options

from spikewright.compiler import compile_network
from spikewright.errors import ModelError

WEIGHT = np.array([[1.0, 0.0], [0.001, -2.0], [0.0, 4.0]])
NETWORK = chain(affine(WEIGHT), neuron(n=3))
NAMES = ["read", "resolve", "lower", "levels", "quantize", "place", "fit", "emit", "calibrate"]


def test_each_pass_writes_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "passes"
    spikes = np.ones((1, 5, 2), bool)
    image = compile_network(NETWORK, options(), calibration=spikes, dump_passes=folder)
    assert image.id == compile_network(NETWORK, options(), calibration=spikes).id
    files = sorted(folder.iterdir())
    assert [path.name for path in files] == [f"{k:02d}-{n}.json" for k, n in enumerate(NAMES, 1)]
    dumped = {name: json.loads(path.read_text()) for name, path in zip(NAMES, files, strict=True)}
    assert dumped["read"]["dt"] is None
    assert dumped["resolve"]["nodes"]["n1"]["reset"] == "zero"
    assert dumped["lower"]["weights"] == [
        {"source": "in", "target": "n1", "delay": 0, "synapses": 4, "stored_as_zero": 0,
         "density": 4 / 6, "range": [-2.0, 4.0]},
    ]  # fmt: skip
    assert [dumped[name]["populations"]["n1"]["level"] for name in ("lower", "levels")] == [None, 0]
    assert dumped["quantize"]["weights"][0]["stored_as_zero"] == 1
    assert dumped["quantize"]["populations"]["n1"]["scale"] == [1 / 127, 4 / 127]
    assert dumped["place"]["populations"][0]["first"] == 0
    assert (dumped["place"]["words"], dumped["place"]["lanes_with_a_synapse"]) == (2, 3 / 16)
    assert dumped["fit"]["hash"] == image.spec.hash
    assert dumped["fit"]["spec"]["neurons"] == 8
    assert dumped["emit"]["id"] != image.id  # before calibration
    assert dumped["calibrate"]["layers"]["n1"]["measured"]["spikes_per_timestep"] > 0


def test_a_compilation_that_fails_leaves_what_came_before(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="needs dt"):
        compile_network(NETWORK, options(None), dump_passes=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["01-read.json"]


def test_never_spiking_neurons_have_no_number_for_a_threshold(tmp_path: Path) -> None:
    compile_network(chain(affine(WEIGHT), neuron("LI", 3)), options(), dump_passes=tmp_path)
    text = (tmp_path / "03-lower.json").read_text()
    assert json.loads(text)["populations"]["n1"]["v_threshold"] == ["inf", "inf"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match=r"Cannot write '.*01-read\.json': ") as caught:
        compile_network(NETWORK, options(), dump_passes=tmp_path / "file")
    assert "folder" in caught.value.hint
