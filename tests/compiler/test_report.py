from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import affine, chain, neuron

from spikewright.compiler import CompileOptions, CompileReport, compile_network
from spikewright.compiler.graph import Network
from spikewright.errors import ModelError
from spikewright.image import CoreImage, Manifest

OPTIONS = CompileOptions(dt=1.0, reset="zero", reset_delay=False)


def network() -> Network:
    """Neuron 0 fires in every timestep, 1 with its input, 2 never, 3 saturates downward."""
    weight = [[0.0, 0.0001], [2.0, -1.0], [0.05, 0.1], [-100.0, -100.0]]
    node = neuron("LIF", 4, tau_mem=[1.0, 1.0, 4.0, 1e9], r=[1.0, 1.0, 4.0, 1e9])
    return chain(affine(weight, [1.5, 0, 0, 0]), node)


def test_static_figures() -> None:
    layer = CompileReport.of(compile_network(network(), OPTIONS)).layers["n1"]
    assert (layer.neurons, layer.level, layer.measured) == (4, 0, None)
    assert layer.scale_max == pytest.approx(100 / 127)
    assert layer.clipped_weights == 0
    # Neuron 0's scale follows from its bias: its weight is below half a unit.
    assert (layer.zeroed_weights, layer.synapses) == (1, 6)
    assert layer.acc_worst == 254
    assert layer.acc_limit == (1 << (8 + 4 - 1)) - 1
    assert 0 < layer.weight_error < 0.01


def test_worst_accumulator_is_one_sided() -> None:
    image = compile_network(chain(affine([[1, 1, -1, -1, -1]]), neuron()), OPTIONS)
    assert CompileReport.of(image).layers["n1"].acc_worst == 3 * 127


def test_measured_figures() -> None:
    spikes = np.zeros((2, 40, 2), bool)
    spikes[0, ::2, 0] = True
    spikes[1, :, :] = True
    image = compile_network(network(), OPTIONS, calibration=spikes)
    report = CompileReport.of(image)
    measured = report.layers["n1"].measured
    assert measured is not None
    assert measured.acc_peak == 254
    assert (measured.always, measured.silent) == (1, 2)
    # Neuron 1 gets 2 in every other timestep of sample 0, and 2 - 1, no more than 1, in sample 1.
    assert measured.spikes_per_timestep == pytest.approx((80 + 20) / 80)
    # Neuron 3 only ever falls: 254 units of 64 steps each, and 127 units, until v is at its lowest.
    full, single = -(-(1 << 19) // (254 * 64)), -(-(1 << 19) // (127 * 64))
    stuck = (40 - full) + (20 - min(20, single))
    assert measured.saturations == pytest.approx(stuck, abs=2)
    assert measured.saturated_share == measured.saturations / (80 * 4)
    assert any(note.startswith("n1: a_mem rounds to 1") for note in report.notes)


def test_the_report_survives_a_file(tmp_path: Path) -> None:
    image = compile_network(network(), OPTIONS, calibration=np.ones((1, 3, 2), bool))
    image.save(tmp_path / "net.core")
    assert CompileReport.of(CoreImage.load(tmp_path / "net.core")) == CompileReport.of(image)
    assert [p.name for p in tmp_path.iterdir()] == ["net.core"]


def test_an_image_without_a_report() -> None:
    image = replace(compile_network(network(), OPTIONS), manifest=Manifest())
    with pytest.raises(ModelError, match="no compiler report"):
        CompileReport.of(image)


@pytest.mark.parametrize("shape", [(3, 2), (0, 3, 2), (1, 0, 2)])
def test_calibration_spikes_of_a_wrong_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match=r"Calibration spikes must be bool\[samples") as caught:
        compile_network(network(), OPTIONS, calibration=np.zeros(shape, bool))
    assert caught.value.hint


@pytest.mark.parametrize(
    "change",
    [
        {"scale_min": "a"},
        {"scale_min": None},
        {"weight_error": 10**400},
        {"neurons": []},
        {"level": {}},
        {"measured": []},
        {"measured": {"acc_peak": 1}},
    ],
)
def test_a_report_of_another_form_is_none(change: dict[str, Any]) -> None:
    """A manifest's report is anybody's: its hash is right whatever is in it."""
    image = compile_network(network(), OPTIONS)
    report = CompileReport.of(image).to_dict()
    report["layers"]["n1"] |= change
    with pytest.raises(ModelError, match="Image has no compiler report"):
        CompileReport.of(replace(image, manifest=Manifest(report=report)))
