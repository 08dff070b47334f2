"""Trainings: resumed as if never stopped, on any target, and refused before anything is sent."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from lessons import PLAIN, SPECS, a_lesson, an_image

from spikewright import training as module
from spikewright.compiler.plastic import plastic_image
from spikewright.errors import SpikewrightError
from spikewright.image import CoreImage
from spikewright.runtime.board import SerialTarget
from spikewright.scaling import incoming_sums, scale_incoming
from spikewright.sim.device_model import DeviceModel
from spikewright.sim.golden import GoldenTarget
from spikewright.sim.terminal import Terminal
from spikewright.training import Trained, Training

KINDS = list(SPECS)


def a_training(kind: str = "all", samples: int = 5, **changes: Any) -> Training:
    spikes, rewards = a_lesson(kind, samples)
    options: dict[str, Any] = {"image": an_image(kind), "spikes": spikes, "rewards": rewards}
    return Training(**options | changes)


def learned(training: Training) -> tuple[Trained, dict[int, CoreImage]]:
    """What the golden model makes of it, at the end and in between."""
    reads: dict[int, CoreImage] = {}
    trained = training.run(GoldenTarget(), on_read=reads.__setitem__)
    return trained, reads


@pytest.mark.parametrize("kind", KINDS)
def test_is_one_run_of_the_target(kind: str) -> None:
    training = a_training(kind)
    target = GoldenTarget()
    target.load(training.image)
    result = target.run(training.spikes, learn=True, rewards=training.rewards)
    trained, reads = learned(training)
    assert trained.before is training.image
    assert trained.after.id == target.learned_image().id != training.image.id
    assert list(reads) == [0, 1, 2, 3, 4, 5]
    assert reads[5] is trained.after
    assert (trained.samples, trained.cycles) == (5, result.total_cycles.sum())
    assert np.array_equal(trained.spikes, result.spikes.sum(axis=(0, 1)))


@pytest.mark.parametrize("kind", KINDS)
def test_two_epochs_are_one_and_one(kind: str) -> None:
    half, _ = learned(a_training(kind))
    again, _ = learned(a_training(kind, image=half.after))
    both, _ = learned(a_training(kind, epochs=2))
    assert again.after.id == both.after.id


@pytest.mark.parametrize("changes", [{}, {"shuffle": 4}, {"scale_sum": 900, "shuffle": 1}])
@pytest.mark.parametrize("kind", KINDS)
def test_is_resumed_from_wherever_it_was_read_back(kind: str, changes: dict[str, Any]) -> None:
    changes = {"epochs": 3, "every": 2} | changes
    trained, reads = learned(a_training(kind, **changes))
    assert list(reads) == [0, 2, 4, 5, 7, 9, 10, 12, 14, 15]
    for position, image in reads.items():
        if position < trained.samples:
            kept = CoreImage.from_bytes(image.to_bytes())
            resumed, rest = learned(a_training(kind, image=kept, skip=position, **changes))
            assert resumed.after.id == trained.after.id, position
            assert list(rest) == [p for p in reads if p >= position]
            assert resumed.samples == 15 - position


def test_epochs_are_shuffled_each_in_its_own_way() -> None:
    training = a_training(samples=20, epochs=2, shuffle=3)
    first, second = training.order(0), training.order(1)
    assert sorted(first) == sorted(second) == list(range(20))
    assert not np.array_equal(first, second)
    assert np.array_equal(a_training(samples=20).order(1), np.arange(20))
    ordered = replace(
        training,
        spikes=np.concatenate([training.spikes[first], training.spikes[second]]),
        rewards=None if training.rewards is None else training.rewards[[*first, *second]],
        epochs=1,
        shuffle=None,
    )
    assert learned(ordered)[0].after.id == learned(training)[0].after.id


def test_scaled_each_time_it_is_read_back() -> None:
    scaled, reads = learned(a_training(every=3, scale_sum=1200))
    plain, _ = learned(a_training(every=3))
    assert all((incoming_sums(image) == 1200).all() for n, image in reads.items() if n)
    assert scaled.after.id != scale_incoming(plain.after, 1200).id  # not only at the end


def test_results_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = learned(a_training(every=5))
    monkeypatch.setattr(module, "_MOST_SPIKES", 2 * 25 * 16)
    sizes = []

    class Counting(GoldenTarget):
        def run(self, spikes: npt.NDArray[np.bool_], **options: Any) -> Any:
            sizes.append(len(spikes))
            return super().run(spikes, **options)

    parts = a_training(every=5).run(Counting())
    assert sizes == [2, 2, 1]
    assert (parts.after.id, parts.cycles) == (whole.after.id, whole.cycles)
    assert np.array_equal(parts.spikes, whole.spikes)


def test_on_a_board_as_on_the_golden_model() -> None:
    training = a_training(every=2, scale_sum=900, shuffle=1)
    wanted, _ = learned(training)
    done: list[int] = []
    with Terminal(DeviceModel(SPECS["all"])) as port:
        target = SerialTarget(f"{port.path}@4000000")
        trained = training.run(target, progress=done.append)
        assert target.learned_image().id == trained.after.id  # the board holds what is saved
        target.close()
    assert (trained.after.id, trained.cycles) == (wanted.after.id, wanted.cycles)
    assert sum(done) == 5


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"epochs": 0}, "epochs must be an integer of at least 1, not 0"),
        ({"epochs": 1.5}, "epochs must be an integer of at least 1, not 1.5"),
        ({"every": 0}, "every must be an integer of at least 1, not 0"),
        ({"shuffle": -1}, "shuffle must be an integer of at least 0, not -1"),
        ({"skip": -1}, "skip must be an integer of at least 0, not -1"),
        ({"skip": 10, "epochs": 2}, "skip must be less than all 10 samples, not 10"),
        ({"spikes": np.zeros((0, 25, 40), np.bool_), "rewards": None}, "at least one sample"),
        ({"scale_sum": 0}, "sum of incoming weights must be an integer from 1 to"),
        ({"spikes": np.zeros((5, 25, 41), np.bool_)}, "at most 40 axons, not 41"),
        ({"spikes": np.zeros((5, 25, 40))}, "must be a NumPy array of bool, not float64"),
        ({"rewards": np.zeros((5, 24), int)}, r"integers of shape \(5, 25\), not int64 of shape"),
        ({"rewards": np.zeros((5, 25))}, r"integers of shape \(5, 25\), not float64"),
        ({"rewards": np.full((5, 25), 128)}, r"in \[-128, 127\], not 128 to 128"),
        ({"image": an_image("window")}, "takes no rewards: its spec has no reward"),
        (
            {"image": plastic_image(PLAIN, np.ones((40, 16), int), axon_plastic=False)},
            "cannot learn: its spec has no plasticity",
        ),
        (
            {"image": plastic_image(SPECS["all"], np.ones((40, 16), int), axon_plastic=False)},
            "no synapse of the image is plastic",
        ),
    ],
)
def test_refused_before_there_is_a_target(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(SpikewrightError, match=fault) as caught:
        a_training(**changes)
    assert caught.value.hint
