"""Learned delays: the task says nothing but in intervals, and what is trained is what runs."""

import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikewright.sim.compare import verify
from spikewright.sim.golden import GoldenModel

DELAYS = Path(__file__).parents[2] / "examples" / "delays"


@pytest.fixture(scope="module")
def path() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DELAYS)
        yield


@pytest.fixture(scope="module")
def ears(path: None) -> Any:
    return importlib.import_module("ears")


@pytest.fixture(scope="module")
def jeffress(path: None) -> Any:
    pytest.importorskip("torch")
    pytest.importorskip("snntorch")
    return importlib.import_module("jeffress")


@pytest.fixture(scope="module")
def example(jeffress: Any) -> Any:
    pytest.importorskip("matplotlib")
    return importlib.import_module("measure")


# Task


def test_spikes_of_an_axon_are_as_many_in_every_sound(ears: Any) -> None:
    sounds = ears.draw(600, 1)
    assert (sounds.spikes.sum(axis=1) == ears.SPIKES).all()
    assert (np.bincount(sounds.labels) == 100).all()


def test_an_axon_spikes_at_any_timestep_alike_in_all_classes(ears: Any) -> None:
    sounds = ears.draw(6000, 2)
    p = ears.SPIKES / ears.TIMESTEPS
    for k in range(len(ears.LAGS)):
        chosen = sounds.spikes[sounds.labels == k]
        off = (chosen.mean(axis=0) - p) / np.sqrt(p * (1 - p) / len(chosen))
        print(f"class {k}: at most {abs(off).max():.2f} standard deviations")
        assert abs(off).max() < 5


def test_one_ear_alone_is_alike_in_all_classes(ears: Any) -> None:
    """Intervals within an ear, round the window: only those between the ears tell."""
    sounds = ears.draw(6000, 3)
    for ear in (slice(0, ears.FREQUENCIES), slice(ears.FREQUENCIES, None)):
        spikes = sounds.spikes[..., ear]
        together = np.stack(
            [(spikes & np.roll(spikes, n, axis=1)).sum((1, 2)) for n in range(1, 20)], axis=1
        )
        spread = together.std(axis=0) / np.sqrt(len(sounds) / len(ears.LAGS))
        for k in range(len(ears.LAGS)):
            off = (together[sounds.labels == k].mean(axis=0) - together.mean(axis=0)) / spread
            assert abs(off).max() < 5


def test_ears_agree_best_at_the_lag_of_the_class(ears: Any) -> None:
    sounds = ears.draw(600, 4)
    left, right = np.split(sounds.spikes, 2, axis=2)
    agree = np.stack(
        [(np.roll(left, lag, axis=1) & right).sum(axis=(1, 2)) for lag in ears.LAGS], axis=1
    )
    assert (agree.argmax(axis=1) == sounds.labels).mean() > 0.9


def test_test_sounds_are_not_those_of_training(ears: Any, example: Any) -> None:
    test = ears.draw(example.TEST_SOUNDS, example.TEST_SEED)
    known = {sound.tobytes() for sound in test.spikes}
    assert len(known) == len(test)
    for seed in range(example.SEEDS):
        for epoch in range(2):
            training = ears.draw(example.TEST_SOUNDS, [seed, epoch])
            assert known.isdisjoint(sound.tobytes() for sound in training.spikes)


# Network


def test_a_softmax_that_hardens_chooses_one_delay(jeffress: Any) -> None:
    torch = importlib.import_module("torch")
    torch.manual_seed(3)
    layer = jeffress.DelayedLinear(4, 3, 5, 1.0, True)
    soft, hard = layer.taps(1.0).reshape(5, 4, 3), layer.taps(0.0).reshape(5, 4, 3)
    torch.testing.assert_close(soft.sum(0), layer.weight.T)
    torch.testing.assert_close(hard.sum(0), layer.weight.T)
    assert ((hard != 0).sum(0) == 1).all()
    assert torch.equal((hard != 0).int().argmax(0), layer.delay.T)
    torch.testing.assert_close(layer.taps(1e-5).reshape(5, 4, 3), hard, atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", ["learned", "random", "none"])
def test_compiled_network_does_what_torch_did(
    jeffress: Any, ears: Any, example: Any, kind: str
) -> None:
    """At 16 bits next to nothing is rounded: nearly all spikes of the output are equal."""
    torch = importlib.import_module("torch")
    torch.manual_seed(5)
    network = jeffress.Network(jeffress.Settings(delays=kind, hidden=12))
    with torch.no_grad():
        network.back.weight *= 5
        network.output.weight *= 5
    sounds = ears.draw(60, 6)
    with torch.no_grad():
        theirs = network(torch.from_numpy(sounds.spikes.astype("f4"))).numpy() > 0
    fine = replace(example.OPTIONS, weight_bits=16, state_bits=24)
    image = example.compile_network(jeffress.to_nir(network), fine)
    assert image.spec.delay_slots == (1 if kind == "none" else 16)
    ours = GoldenModel(image, len(sounds)).run(sounds.spikes).spikes
    wrong = (ours[..., image.output_slices["output"]] != theirs).mean()
    print(f"{kind}: {theirs.mean():.3f} spikes, {wrong:.4f} differ")
    assert theirs.mean() > 0.02
    assert wrong < 0.002


def test_a_short_training_learns_delays_that_run_on_the_rtl(
    jeffress: Any, ears: Any, example: Any
) -> None:
    settings = jeffress.Settings(epochs=8)
    network = jeffress.train(settings)
    torch = importlib.import_module("torch")
    torch.manual_seed(settings.seed)
    assert (network.ears.delay != jeffress.Network(settings).ears.delay).float().mean() > 0.2
    sounds = ears.draw(300, 7)
    image = example.compiled(network)
    share = example.heard(image, sounds)
    print(f"{share:.3f} heard")
    assert share > 1.5 / len(ears.LAGS)
    report = verify(image, sounds.spikes[:6])
    report.check()
    assert report.spikes > 0


def test_random_and_no_delays_stay_as_they_are(jeffress: Any) -> None:
    for kind in ("random", "none"):
        settings = jeffress.Settings(delays=kind, epochs=1, sounds=128, hidden=8)
        network = jeffress.train(settings)
        importlib.import_module("torch").manual_seed(settings.seed)
        before = jeffress.Network(settings)
        assert (network.ears.preference == before.ears.preference).all()
        assert (network.ears.weight != before.ears.weight).any()
        assert network.ears.slots == (1 if kind == "none" else settings.slots)


# Figures


def test_pairs_of_synapses_wait_for_their_lag(example: Any) -> None:
    picture = importlib.import_module("picture")
    weight, delay = np.zeros((2, 16)), np.zeros((2, 16), int)
    weight[0, [0, 8]], delay[0, [0, 8]] = (0.5, 2.0), (4, 1)
    weight[1, [3, 11]], delay[1, [3, 11]] = (1.0, -1.0), (0, 4)
    sums = picture.interval_weights(weight, delay, 5)
    expected = np.zeros((2, 9))
    expected[0, 4 + 3] = 0.5
    np.testing.assert_array_equal(sums, expected)


def test_command_adds_its_row_and_a_picture(example: Any, tmp_path: Path) -> None:
    path = tmp_path / "new" / "accuracy.json"
    path.parent.mkdir()
    path.write_text('{"digits": 1}')
    code = example.main(["--seeds", "1", "--jobs", "1", "--quick", "--out", str(path)])
    rows = json.loads(path.read_text())
    row = rows["delays"]
    assert rows["digits"] == 1
    assert set(row["mean"]) == {"learned", "random", "none"}
    for figures in row["mean"].values():
        assert set(figures) == {"float", "8 bit"}
        assert all(0 <= value <= 1 for value in figures.values())
    assert row["differences"] == 0
    assert code == (0 if row["met"] else 1)
    assert row["lockstep_sounds"] >= 50
    assert path.with_name("delays.png").read_bytes().startswith(b"\x89PNG")


def test_gain_and_differences_count(example: Any) -> None:
    accuracy = {kind: {"float": 0.8, "8 bit": 0.8} for kind in ("learned", "random")}
    accuracy["none"] = {"float": 0.2, "8 bit": 0.69}
    run = {"seed": 0, "accuracy": accuracy, "differences": 0, "seconds": 1.0}
    assert example.summary([run, run])["met"]
    assert not example.summary([run, run | {"differences": 1}])["met"]
    near = accuracy | {"none": {"float": 0.2, "8 bit": 0.71}}
    assert not example.summary([run | {"accuracy": near}])["met"]
