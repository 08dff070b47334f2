"""Other people's networks in the RTL: equal to the golden model, and to what they recorded."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from conformance import pilotnet
from conformance_nir import BRAILLE, Recording, braille, norse_lif

from spikewright.image import CoreImage
from spikewright.sim.compare import lockstep
from spikewright.sim.verilator import CoreSimulator

Array = npt.NDArray[Any]


def run_in_lockstep(image: CoreImage, axon_spikes: Array) -> tuple[Array, Array, Array | None]:
    """Spikes, v and i (if kept) of ``bool[timesteps, axons]`` in the RTL, all of it compared."""
    with CoreSimulator(image.spec, optimize=1) as simulator:
        report = lockstep(image, axon_spikes[None], simulator, stall_seed=1)
        assert report.mismatch is None, report.mismatch
        simulator.clear()
        run = simulator.run(axon_spikes, record=True)
    assert run.v is not None
    return run.spikes, run.v, run.i


@pytest.mark.parametrize("lanes", [4, 16])
@pytest.mark.parametrize("name", ["fc-1", "fc-2"])
def test_pilotnet(name: str, lanes: int) -> None:
    layer = pilotnet(name, lanes=lanes)
    counts = layer.mismatches(lambda spikes: run_in_lockstep(layer.image, spikes))
    assert counts == {"spikes": 0, "v": 0, "u": 0}


def wrong_entries(recording: Recording) -> int:
    return recording.mismatches(run_in_lockstep(recording.image, recording.axon_spikes)[0])


def test_norse_lif() -> None:
    recording = norse_lif()
    assert recording.image.spec.weight_bits == 8
    assert recording.expected.sum() == 4
    assert wrong_entries(recording) == 0


@pytest.mark.parametrize("name", BRAILLE)
def test_braille(name: str) -> None:
    recording = braille(name)
    entries = recording.expected.size
    wrong = wrong_entries(recording)
    print(f"braille {name}: {entries - wrong} of {entries} agree")
    assert np.count_nonzero(recording.expected) > 100
    assert wrong <= (0 if name == "bias_zero" else 0.005 * entries)
