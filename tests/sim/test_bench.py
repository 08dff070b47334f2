"""The figures that the core is built to, measured in the RTL."""

import json
from pathlib import Path

import numpy as np
import pytest

from spikewright.errors import ImageError
from spikewright.sim import bench
from spikewright.sim.bench import (
    SQUARE,
    WIDE,
    allowed_idle_cycles,
    busy_network,
    cycles_per_image,
    idle_cycles,
    label,
    layered_network,
    main,
    operations_per_lane_cycle,
    run_rtl,
)
from spikewright.sim.golden import GoldenModel
from spikewright.spec import CoreSpec

LONG = CoreSpec(axons=300, neurons=512, lanes=4)


@pytest.mark.parametrize("spec", [SQUARE, WIDE, LONG], ids=label)
def test_full_rows_keep_the_lanes_busy(spec: CoreSpec) -> None:
    figures = operations_per_lane_cycle(spec, 0.1)
    assert 0.095 < figures["source_rate"] < 0.105
    assert figures["operations_per_lane_cycle"] >= 0.95


@pytest.mark.parametrize("spec", [SQUARE, WIDE, LONG], ids=label)
@pytest.mark.parametrize("levels", [1, 2, 5, 16])
def test_silence_is_cheap(spec: CoreSpec, levels: int) -> None:
    figures = idle_cycles(spec, levels)
    assert figures["allowed"] == spec.neurons // spec.lanes + 32 + 4 * levels
    assert 0 < figures["cycles"] <= figures["allowed"]


def test_a_level_for_each_group_is_cheap_too() -> None:
    figures = idle_cycles(SQUARE, SQUARE.groups)
    assert 0 < figures["cycles"] <= allowed_idle_cycles(SQUARE, SQUARE.groups)


def test_layers_cost_their_own_synapses() -> None:
    image = layered_network((64, 128, 10))
    spec = image.spec
    axon_spikes = np.random.default_rng(5).random((200, 64)) < 0.2
    run = run_rtl(image, axon_spikes)
    hidden = run.spikes[:, :128].sum(axis=1)
    assert 0.05 < hidden.mean() / 128 < 0.5
    inputs = axon_spikes.sum(axis=1)
    assert (run.synapses == 128 * inputs + 10 * hidden).all()
    # A row of the hidden layer is 16 words of 8, one of the output layer 2; an output has no row,
    # but looking that up takes a cycle.
    outputs = np.roll(run.spikes[:, 128:].sum(axis=1), 1)
    outputs[0] = 0
    words = 16 * inputs + 2 * hidden
    first = inputs + outputs > 0
    overhead = spec.timestep_overhead + spec.groups + spec.update_latency
    overhead = overhead + first * spec.integrate_overhead
    overhead = overhead + (hidden > 0) * (spec.update_latency + spec.integrate_overhead)
    assert (run.cycles - overhead == words + outputs).all()
    crossbar = spec.groups * (inputs + hidden)
    assert words.sum() < 0.7 * crossbar.sum()


def test_busy_network_is_as_busy_as_asked() -> None:
    for rate in (0.02, 0.1):
        axon_spikes = np.random.default_rng(1).random((1, 400, SQUARE.axons)) < rate
        fired = GoldenModel(busy_network(SQUARE, rate)).run(axon_spikes).spikes
        assert fired.mean() == pytest.approx(rate, rel=0.1)


def test_cycles_per_image_start_from_a_cleared_state() -> None:
    image = layered_network((64, 128, 10))
    spikes = np.random.default_rng(5).random((3, 16, 64)) < 0.3
    alone = [cycles_per_image(image, spikes[k : k + 1]) for k in range(3)]
    assert cycles_per_image(image, spikes) == pytest.approx(np.mean(alone))
    golden = GoldenModel(image, 3).run(spikes)
    assert alone == golden.cycles.sum(axis=1).tolist()


def test_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = CoreSpec(axons=32, neurons=32, lanes=4)
    for name in ("NARROW", "SQUARE", "WIDE", "GOLDEN"):
        monkeypatch.setattr(bench, name, small)
    image = tmp_path / "own.core"
    layered_network((8, 16, 4)).save(image)
    output = tmp_path / "bench" / "core.json"
    assert main(["--image", str(image), "--output", str(output)]) == 0
    figures = json.loads(output.read_text())
    ratio = figures["driver_cycles_per_s"] / figures["cocotb_cycles_per_s"]
    assert figures["driver_to_cocotb"] == pytest.approx(ratio)
    assert ratio > 10
    assert figures["simulation"]["32x32x4"]["driver_to_cocotb"] == figures["driver_to_cocotb"]
    assert figures["image"] == "random 8-16-4"
    assert figures["cycles_per_image"] > 16
    assert figures["golden_timesteps_per_s"] > 100
    assert set(figures["synaptic_operations_per_lane_cycle"]) == {"32x32x4"}
    assert [idle["levels"] for idle in figures["idle_cycles"]] == [1, 4, 8]
    printed = capsys.readouterr().out
    assert "synaptic operations per lane and cycle, 32x32x4" in printed
    assert f"Written to {output}" in printed


def test_command_without_its_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "none.core"
    assert main(["--image", str(missing)]) == 1
    assert capsys.readouterr().err.startswith(f"Cannot read image {str(missing)!r}")


def test_layers_that_do_not_fit() -> None:
    with pytest.raises(ImageError):
        layered_network((8, 16, 0))
