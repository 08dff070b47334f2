"""The reservoir: its spikes, the astrocyte's rewards, the readout, and that plasticity helps."""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikewright.compiler.plastic import neuron_weights_of
from spikewright.console import Console

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def example(learning: Any) -> Any:
    return learning.reservoir


@pytest.fixture(scope="module")
def common(example: Any) -> Any:
    return importlib.import_module("common")


def test_columns_come_one_after_the_other(example: Any) -> None:
    pixels = np.random.default_rng(1).integers(0, 17, (10, 64)).astype(np.uint8)
    spikes = example.encode(pixels)
    assert spikes.shape == (10, 32, 8)
    counts = spikes.reshape(10, 8, 4, 8).sum(axis=2)
    brightness = pixels.reshape(10, 8, 8).transpose(0, 2, 1) / 4
    assert np.abs(counts - brightness).max() <= 0.5


def test_neurons_excite_or_inhibit_and_only_excitation_is_plastic(example: Any) -> None:
    image = example.reservoir(1)
    weights = neuron_weights_of(image)
    plastic = neuron_weights_of(image, image.plastic)
    assert (weights[: example.EXCITATORY] >= 0).all()
    assert (weights[example.EXCITATORY :] <= 0).all()
    assert np.array_equal(plastic == 1, weights > 0)
    assert (weights != 0).mean() == pytest.approx(example.RECURRENT_SHARE, abs=0.01)
    assert weights[weights > 0].mean() == pytest.approx(example.RECURRENT, rel=0.05)
    assert not weights.diagonal().any()


def test_astrocyte_rewards_too_little_activity_and_punishes_too_much(example: Any) -> None:
    activity = np.array([[0.0, example.TARGET, 0.3, 1.0, 0.5]])
    given = example.rewards(activity)
    unit = example.GAIN * 64
    assert given.tolist() == [[0, round(unit * 0.05), 0, round(unit * -0.25), -128]]


def test_readout_reads_what_is_linear(example: Any) -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(10, size=400)
    states = rng.normal(0, 0.1, (400, 30)) + np.eye(10, 30)[labels] + 5
    readout = example.Readout.fit(states[:300], labels[:300])
    assert (readout.read(states[300:]) == labels[300:]).mean() > 0.95


def test_recent_spikes_weigh_more(example: Any) -> None:
    spikes = np.zeros((1, example.TIMESTEPS, 3), bool)
    spikes[0, -1, 0] = spikes[0, -21, 1] = True
    assert example.low_pass(spikes)[0] == pytest.approx([1, np.exp(-1), 0])


def test_activity_falls_to_its_target(example: Any, common: Any, cores: Any) -> None:
    training, _ = common.digits_split()
    cores.load(example.reservoir(3, 24))
    activity = example.adapt(cores, example.encode(training.pixels[:48]))
    print(activity)
    assert activity[0] > 2 * example.TARGET
    assert activity[-1] == pytest.approx(example.TARGET, abs=0.02)


def test_activity_rises_where_it_is_below_its_target(
    example: Any, common: Any, cores: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(example, "TARGET", 0.15)
    training, _ = common.digits_split()
    cores.load(example.reservoir(3, 1))
    activity = example.adapt(cores, example.encode(training.pixels[:32]))
    print(activity)
    assert activity[0] < 0.1
    assert activity[1] > 1.5 * activity[0]


def test_quick_run_is_better_with_plasticity(example: Any, common: Any, tmp_path: Path) -> None:
    options = common.arguments("").parse_args(["--quick", "--folder", str(tmp_path)])
    assert example.run(options, Console())
    row = json.loads((tmp_path / "learn.json").read_text())["reservoir"]
    assert row["accuracy"]["plastic"] > row["accuracy"]["without"] + 0.03
    assert (tmp_path / "learn-reservoir.png").stat().st_size > 10_000


def test_a_seed_says_what_is_learned(example: Any, common: Any, cores: Any) -> None:
    training, _ = common.digits_split()
    spikes = example.encode(training.pixels[:16])
    ids = []
    for seed in (5, 5, 6):
        cores.load(example.reservoir(seed))
        example.adapt(cores, spikes)
        ids.append(cores.learned_image().id)
    assert ids[0] == ids[1] != ids[2]
