"""Lockstep of cores that learn. The core is a second golden model, with one bit flipped if asked:
it must be told when to learn and for what, and what it records must be compared in every place."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from commands import Cli

from spikewright.errors import SpikewrightError
from spikewright.image import CoreImage
from spikewright.sim import compare
from spikewright.sim.cases import draw_case
from spikewright.sim.compare import lockstep, verify
from spikewright.sim.golden import GoldenModel
from spikewright.sim.mismatch import LEARNED, UPDATED, first_difference
from spikewright.sim.traces import Stimulus, golden_trace, stimuli
from spikewright.sim.verilator import CoreRun, CoreSimulator
from spikewright.spec import CoreSpec

SPEC = CoreSpec(
    axons=6,
    neurons=8,
    lanes=2,
    plasticity="trace",
    reward=True,
    stochastic_rounding=True,
    adaptive_threshold=True,
)
CASE = next(
    case
    for case in (draw_case((seed, 5), spec=SPEC, timesteps=30, samples=3) for seed in range(99))
    if case.image.learns[: SPEC.axons].any() and case.spikes.any() and case.image.rule is not None
    if case.image.rule.pre_step > 0 and case.image.arrays["plastic"].sum() > 20
)
STIMULUS = stimuli(CASE.image, CASE.spikes, CASE.learn, CASE.rewards)[0]

Flip = Callable[[int, CoreRun], None]


class Core:
    """A core with memory for one weight word more than the image has."""

    def __init__(self, image: CoreImage, flip: Flip = lambda timestep, run: None) -> None:
        self.spec, self._image, self._flip = image.spec, image, flip
        self._timestep = 0

    def __enter__(self) -> "Core":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def load(self, image: CoreImage) -> None:
        self._model = GoldenModel(image)

    def clear(self) -> None:
        self._model.clear()

    def check_read_back(self) -> None:
        pass

    def run(
        self,
        spikes: Any,
        *,
        record: bool,
        stall_seed: int | None,
        learn: Any,
        rewards: Any,
    ) -> CoreRun:
        trace = golden_trace(self._model, Stimulus(spikes, learn, rewards))
        fields = {name: values.copy() for name, values in trace.items()}
        for name in ("weights", "eligibility"):
            fields[name] = np.pad(fields[name], ((0, 0), (0, 1), (0, 0)))
        fields["random"] = fields["random"].astype(np.uint32)
        run = CoreRun(spikes=fields.pop("spike"), **fields)
        self._flip(self._timestep, run)
        self._timestep += len(spikes)
        return run


def compared(core: Core, **changes: Any) -> compare.LockstepReport:
    options = {"learn": CASE.learn, "rewards": CASE.rewards} | changes
    return lockstep(CASE.image, CASE.spikes, cast(CoreSimulator, core), **options)


@pytest.mark.parametrize("values", [1, 1 << 20])
def test_equal(values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "_CHUNK_VALUES", values)
    report = compared(Core(CASE.image))
    assert report.mismatch is None
    assert report.timesteps == 90
    model = GoldenModel(CASE.image)
    updates = 0
    assert CASE.learn is not None
    assert CASE.rewards is not None
    for spikes, learn, rewards in zip(CASE.spikes, CASE.learn, CASE.rewards, strict=True):
        model.clear()
        for t in range(30):
            assert model.plasticity is not None
            before = model.plasticity.weights.copy(), model.plasticity.eligibility.copy()
            model.step(spikes[None, t], learn=bool(learn[t]), reward=int(rewards[t]))
            changed = model.plasticity.weights != before[0]
            updates += int(np.count_nonzero(changed | (model.plasticity.eligibility != before[1])))
    assert report.updates == updates > 100


def test_without_learning_nothing_is_updated() -> None:
    report = compared(Core(CASE.image), learn=None, rewards=None)
    assert report.mismatch is None
    assert report.updates == 0


@pytest.mark.parametrize("variable", ["y", "h", *LEARNED])
def test_every_value_is_compared(variable: str) -> None:
    golden = golden_trace(GoldenModel(CASE.image), STIMULUS)
    assert {*LEARNED, *UPDATED} <= set(golden)
    for index in np.ndindex(golden[variable].shape):
        rtl = {name: values.copy() for name, values in golden.items()}
        rtl[variable][index] ^= 1
        assert first_difference(golden, rtl) == (index[0], variable, index[1:])


def test_cause_comes_before_consequence() -> None:
    golden = golden_trace(GoldenModel(CASE.image), STIMULUS)
    rtl = {name: values.copy() for name, values in golden.items()}
    order: list[tuple[str, tuple[int, ...]]] = [
        ("cycles", (6,)),
        ("random", (6,)),
        ("x", (6, 3)),
        ("weights", (6, 2, 1)),
        ("weights", (6, 2, 0)),
        ("eligibility", (6, 3, 0)),
        ("acc", (6, 0, 0)),
        ("h", (6, 5)),
        ("y", (6, 5)),
        ("spike", (6, 5)),
    ]
    for variable, index in order:
        rtl[variable][index] ^= True
        assert first_difference(golden, rtl) == (index[0], variable, index[1:])


def flip(variable: str, timestep: int, *index: int) -> Flip:
    def flips(first: int, run: CoreRun) -> None:
        values = getattr(run, variable)
        if first <= timestep < first + len(values):
            values[timestep - first, *index] ^= 1

    return flips


def test_weight_is_told_with_its_word_lane_source_and_neuron() -> None:
    image = CASE.image
    source = int(np.flatnonzero(image.learns)[0])
    word = int(image.first_word[source]) + int(image.word_count[source]) - 1
    neuron = (int(image.first_group[source]) + int(image.word_count[source])) * SPEC.lanes - 1
    mismatch = compared(Core(image, flip("weights", 33, word, 1))).mismatch
    assert mismatch is not None
    assert (mismatch.sample, mismatch.timestep) == (1, 3)
    assert (mismatch.source, mismatch.neuron, mismatch.index) == (source, neuron, (word, 1))
    assert str(mismatch).startswith(
        f"Sample 1, timestep 3, word {word}, lane 1 (from source {source} to neuron {neuron}): "
        f"weight is {mismatch.golden} in the golden model and {mismatch.rtl} in the RTL."
    )
    assert mismatch.columns == ("eligibility", "weights", "x", "y", "spike", "random")


@pytest.mark.parametrize(
    ("variable", "index", "place", "columns"),
    [
        ("x", (9,), ", source 9: x is", ("x", "random")),
        ("h", (5,), ", neuron 5: h is", (*UPDATED, "acc[0]")),
        ("random", (), ": random is", ("random",)),
    ],
)
def test_place_of_what_learns(
    variable: str, index: tuple[int, ...], place: str, columns: tuple[str, ...]
) -> None:
    mismatch = compared(Core(CASE.image, flip(variable, 4, *index))).mismatch
    assert mismatch is not None
    assert f"Sample 0, timestep 4{place}" in str(mismatch)
    assert mismatch.columns == columns
    assert [row[0] for row in mismatch.rows] == [1, 2, 3, 4, 5]


def test_words_beyond_the_image_are_not_compared() -> None:
    beyond = len(CASE.image.weights)
    assert compared(Core(CASE.image, flip("weights", 4, beyond, 0))).mismatch is None


def test_bad_switches_and_rewards() -> None:
    core = Core(CASE.image)
    with pytest.raises(SpikewrightError, match=r"^Learning must be switched by bool of shape"):
        compared(core, learn=np.ones((3, 29), np.bool_))
    with pytest.raises(SpikewrightError, match=r"^Rewards must be in \[-128, 127\], not"):
        compared(core, rewards=np.full((3, 30), 128))


def test_verify_lets_the_core_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "CoreSimulator", lambda spec, report: Core(CASE.image))
    updates = [verify(CASE.image, CASE.spikes, seed=seed).updates for seed in (1, 1, *range(9))]
    assert updates[0] == updates[1] > 100
    assert len(set(updates)) > 2


def test_the_command_says_how_much_was_learned(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compare, "CoreSimulator", lambda spec, report: Core(CASE.image))
    CASE.image.save(tmp_path / "plastic.core")
    text = Cli(capsys)("verify", tmp_path / "plastic.core", "--samples", 3, "--timesteps", 30)
    assert re.search(r" cycles, [1-9]\d* changes of synapses, in ", text)
