from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from conformance import pilotnet, run_golden, run_target

from spikewright.errors import SpikewrightError
from spikewright.image import CoreImage
from spikewright.sim.cases import Case, draw_case, draw_spec
from spikewright.sim.golden import GoldenModel, GoldenTarget
from spikewright.spec import CoreSpec
from spikewright.target import open_target

SEEDS = range(80)


def small_case(seed: int) -> Case:
    spec = draw_spec(np.random.default_rng((seed, 99)), most=48)
    return draw_case(seed, spec=spec, timesteps=30, samples=2)


def lif_image(**changes: Any) -> CoreImage:
    """Three axons to two neurons, one to one; the third axon to both with weight 10."""
    sizes = {"axons": 3, "neurons": 2, "lanes": 2, "fraction_bits": 4}
    spec = CoreSpec.from_dict(sizes | changes.pop("spec", {}))
    arrays = {
        "weights": [[60, 0], [0, 60], [10, 10]],
        "delays": np.zeros((3, 2), int),
        "first_word": [0, 1, 2, 0, 0],
        "word_count": [1, 1, 1, 0, 0],
        "first_group": [0] * 5,
        "level_groups": [1],
        "a_mem": [3072] * 2,
        "a_syn": [0] * 2,
        "bias": [0] * 2,
        "v_threshold": [50 << spec.fraction_bits] * 2,
        "reset": [0] * 2,
        "reset_to": [1] * 2,
        "refractory": [0] * 2,
    }
    fields: dict[str, Any] = {name: np.array(v) for name, v in (arrays | changes).items()}
    return CoreImage(spec=spec, **fields)


# An independent reference: design section 3 word for word, one number at a time.


def trunc0(numerator: int, denominator: int) -> int:
    quotient = abs(numerator) // denominator
    return quotient if numerator >= 0 else -quotient


class Reference:
    """A core as plain Python; ``synapses[j]`` lists (neuron, weight, delay)."""

    def __init__(self, image: CoreImage) -> None:
        self.image, self.spec = image, image.spec
        lanes = self.spec.lanes
        self.words = [int(count) for count in image.word_count]
        self.synapses: list[list[tuple[int, int, int]]] = []
        for j, words in enumerate(self.words):
            self.synapses.append([])
            for k in range(words):
                word = int(image.first_word[j]) + k
                group = int(image.first_group[j]) + k
                if image.word_group is not None:
                    group = int(image.word_group[word])
                self.synapses[j] += [
                    (
                        group * lanes + lane,
                        int(image.weights[word, lane]),
                        int(image.delays[word, lane]),
                    )
                    for lane in range(lanes)
                ]
        self.levels = []
        start = 0
        for groups in image.level_groups:
            self.levels.append(range(start, start + int(groups) * lanes))
            start += int(groups) * lanes
        slots = range(self.spec.delay_slots)
        self.v, self.i, self.r = ([0] * self.spec.neurons for _ in range(3))
        self.acc = [[0] * self.spec.neurons for _ in slots]
        self.t = 0
        self.last: list[int] = []

    def sat(self, x: int) -> int:
        top = 1 << (self.spec.state_bits - 1)
        return -top if x < -top else top - 1 if x > top - 1 else x

    def integrate(self, pending: Sequence[int], updated: set[int]) -> tuple[int, int]:
        cycles = operations = 0
        for j in pending:
            cycles += max(1, self.words[j])
            for n, w, d in self.synapses[j]:
                slot = self.t + 1 if n in updated else self.t
                self.acc[(slot + d) % self.spec.delay_slots][n] += w
                operations += w != 0
        return cycles + (self.spec.integrate_overhead if pending else 0), operations

    def update(self, n: int) -> tuple[bool, bool]:
        """Update neuron n: did it spike, was v or i clamped?"""
        image = self.image
        c = self.acc[self.t % self.spec.delay_slots][n] * 2**self.spec.fraction_bits
        self.acc[self.t % self.spec.delay_slots][n] = 0
        i = trunc0(self.i[n] * int(image.a_syn[n]), 4096) + c + int(image.bias[n])
        self.i[n] = self.sat(i)
        clamped = self.i[n] != i
        if self.r[n] > 0:
            self.r[n] -= 1
            return False, clamped
        v = trunc0(self.v[n] * int(image.a_mem[n]), 4096) + self.i[n]
        self.v[n] = self.sat(v)
        clamped |= self.v[n] != v
        if self.v[n] > int(image.v_threshold[n]):
            self.r[n] = int(image.refractory[n])
            if image.reset_to[n]:
                self.v[n] = int(image.reset[n])
            else:
                self.v[n] -= int(image.reset[n])
            return True, clamped
        return False, clamped

    def step(self, axons: Sequence[int]) -> tuple[list[int], int, int, int]:
        """Run a timestep: spikes, cycles, synaptic operations and saturations."""
        pending = [*axons, *(self.spec.axons + n for n in self.last)]
        updated: set[int] = set()
        spikes: list[int] = []
        cycles, operations = self.integrate(pending, updated)
        saturations = 0
        for level in self.levels:
            fired = []
            for n in level:
                spiked, clamped = self.update(n)
                saturations += clamped
                if spiked:
                    fired.append(n)
            updated |= set(level)
            spikes += fired
            if level is not self.levels[-1] and fired:
                row_cycles, delivered = self.integrate(
                    [self.spec.axons + n for n in fired], updated
                )
                cycles += self.spec.update_latency + row_cycles
                operations += delivered
            self.last = fired
        groups = sum(len(level) for level in self.levels) // self.spec.lanes
        cycles += self.spec.timestep_overhead + self.spec.update_latency
        cycles += groups * self.spec.update_cycles
        self.t += 1
        return spikes, cycles, operations, saturations


@pytest.mark.parametrize("seed", SEEDS)
def test_equals_the_scalar_reference(seed: int) -> None:
    case = small_case(seed)
    samples, timesteps, _ = case.spikes.shape
    model = GoldenModel(case.image, samples)
    references = [Reference(case.image) for _ in range(samples)]
    for t in range(timesteps):
        result = model.step(case.spikes[:, t])
        for s, reference in enumerate(references):
            spikes, cycles, operations, saturations = reference.step(
                np.flatnonzero(case.spikes[s, t]).tolist()
            )
            where = f"timestep {t}, sample {s} of\n{case}"
            assert np.flatnonzero(result.spikes[s]).tolist() == spikes, where
            assert model.v[s].tolist() == reference.v, where
            assert model.i[s].tolist() == reference.i, where
            assert model.refractory[s].tolist() == reference.r, where
            assert model.acc[s].tolist() == reference.acc, where
            assert result.cycles[s] == cycles, where
            assert result.synaptic_operations[s] == operations, where
            assert result.saturations[s] == saturations, where
        assert model.timestep == t + 1


def test_reference_cases_have_every_feature() -> None:
    names = "spikes quiet saturated held levels delays late no_i shift sparse repeats"
    features = dict.fromkeys(names.split(), 0)
    lanes = set()
    for seed in SEEDS:
        case = small_case(seed)
        image, spec = case.image, case.image.spec
        model = GoldenModel(image, len(case.spikes))
        held = 0
        spikes = saturations = 0
        for t in range(case.spikes.shape[1]):
            result = model.step(case.spikes[:, t])
            held += int((model.refractory > 0).sum())
            spikes += int(result.spikes.sum())
            saturations += int(result.saturations.sum())
        slots = image.groups_used * spec.lanes * case.spikes[..., 0].size
        features["spikes"] += spikes > 0
        features["quiet"] += spikes < slots / 4
        features["saturated"] += saturations > 0
        features["held"] += held > 0
        features["levels"] += len(image.level_groups) > 1
        features["delays"] += bool(image.delays.any())
        features["late"] += len(image.level_groups) > 1 and case.recipe.rows in ("full", "random")
        features["no_i"] += not spec.synapse_current
        features["shift"] += spec.decay == "shift"
        row, _, group = image.row_words(np.arange(spec.sources))
        features["sparse"] += spec.sparse
        features["repeats"] += len(set(zip(row, group, strict=True))) < len(row)
        lanes.add(spec.lanes)
    assert min(features.values()) >= 10, features
    assert lanes == {1, 2, 4, 8, 16, 32}


@pytest.mark.parametrize("synapse_current", [False, True])
def test_subthreshold_membrane_stays_near_the_real_one(synapse_current: bool) -> None:
    """Each rounding toward zero loses less than one least significant bit."""
    rng = np.random.default_rng(5)
    a_syn = np.array([3000, 1000]) if synapse_current else np.zeros(2, int)
    a_mem = np.array([4000, 2500])
    high = (1 << 19) - 1
    image = lif_image(
        spec={"synapse_current": synapse_current},
        a_mem=a_mem,
        a_syn=a_syn,
        bias=np.array([100, -37]),
        v_threshold=np.array([high, high]),
    )
    model = GoldenModel(image)
    lsb = 2.0**-image.spec.fraction_bits
    bound_i = lsb / (1 - a_syn / 4096)
    bound_v = (lsb + bound_i) / (1 - a_mem / 4096)
    weights = np.array(image.weights, float)
    i, v = np.zeros(2), np.zeros(2)
    for _ in range(300):
        spikes = rng.random(3) < 0.2
        assert not model.step(spikes[None]).spikes.any()
        i = i * a_syn / 4096 + spikes @ weights + image.bias * lsb
        v = v * a_mem / 4096 + i
        assert (np.abs(model.i[0] * lsb - i) <= bound_i).all()
        assert (np.abs(model.v[0] * lsb - v) <= bound_v).all()


def test_spikes_where_the_real_membrane_leaves_no_doubt() -> None:
    """With the model's own resets applied to it, a float LIF decides alike outside the bound."""
    rng = np.random.default_rng(6)
    image = lif_image(a_mem=np.array([4000, 2500]), reset=np.array([800, 800]), reset_to=[0, 0])
    lsb = 2.0**-image.spec.fraction_bits
    bound = lsb / (1 - image.a_mem / 4096)
    threshold, reset = image.v_threshold * lsb, image.reset * lsb
    model = GoldenModel(image)
    v = np.zeros(2)
    decided = fired = 0
    for _ in range(500):
        axons = rng.random(3) < 0.3
        spikes = model.step(axons[None]).spikes[0]
        v = v * image.a_mem / 4096 + axons @ np.array(image.weights, float)
        sure = np.abs(v - threshold) > bound
        assert (spikes == (v > threshold))[sure].all()
        v = v - spikes * reset
        decided += int(sure.sum())
        fired += int(spikes.sum())
    assert decided > 900
    assert 100 < fired < 900


@pytest.mark.parametrize("lanes", [1, 8, 32])
@pytest.mark.parametrize("name", ["fc-1", "fc-2"])
def test_replays_pilotnet(name: str, lanes: int) -> None:
    layer = pilotnet(name, lanes=lanes)
    assert layer.mismatches(run_golden(layer.image)) == {"spikes": 0, "v": 0, "u": 0}


@pytest.mark.parametrize("name", ["fc-1", "fc-2"])
def test_target_replays_pilotnet(name: str) -> None:
    layer = pilotnet(name)
    assert layer.mismatches(run_target(GoldenTarget(), layer.image)) == {"spikes": 0, "v": 0}


def test_batch_equals_single_samples() -> None:
    case = draw_case(3, timesteps=20, samples=5)
    together = GoldenModel(case.image, 5).run(case.spikes, record_v=True)
    for s in range(5):
        alone = GoldenModel(case.image).run(case.spikes[s : s + 1], record_v=True)
        for name in ("spikes", "cycles", "synaptic_operations", "saturations", "v"):
            assert np.array_equal(getattr(together, name)[s], getattr(alone, name)[0]), name


def test_clear_starts_again() -> None:
    for seed in range(8):
        case = draw_case(seed, timesteps=12)
        model = GoldenModel(case.image)
        first = model.run(case.spikes, record_v=True)
        model.clear()
        assert model.timestep == 0
        assert not model.acc.any()
        again = model.run(case.spikes, record_v=True)
        assert np.array_equal(first.spikes, again.spikes)
        assert np.array_equal(first.cycles, again.cycles)
        assert first.v is not None
        assert again.v is not None
        assert np.array_equal(first.v, again.v)


def test_run_goes_on_from_the_present_state() -> None:
    case = draw_case(14, timesteps=20)
    whole = GoldenModel(case.image).run(case.spikes)
    model = GoldenModel(case.image)
    parts = [model.run(case.spikes[:, :7]), model.run(case.spikes[:, 7:])]
    assert whole.spikes.any()
    assert np.array_equal(whole.spikes, np.concatenate([p.spikes for p in parts], axis=1))


def test_sums_beyond_float32_are_exact() -> None:
    """2,048 axons of the largest 16-bit weights: the sum is odd and above 2**24."""
    spec = CoreSpec(
        axons=2048, neurons=1, lanes=1, weight_bits=16, state_bits=24, weight_words=2048
    )
    weights = np.full((2048, 1), 32767)
    weights[0] = 32766
    none = np.zeros(1, int)
    image = CoreImage(
        spec=spec,
        weights=weights,
        delays=np.zeros_like(weights),
        first_word=np.append(np.arange(2048), 0),
        word_count=np.append(np.ones(2048, int), 0),
        first_group=np.zeros(2049, int),
        level_groups=np.array([1]),
        a_mem=none,
        a_syn=none,
        bias=none,
        v_threshold=none,
        reset=none,
        reset_to=none,
        refractory=none,
    )
    result = GoldenModel(image).step(np.ones((1, 2048), np.bool_))
    assert result.consumed[0, 0] == 2048 * 32767 - 1
    assert result.saturations[0] == 1


def test_consumed_is_what_arrived() -> None:
    result = GoldenModel(lif_image()).step(np.array([[True, False, True]]))
    assert result.consumed.tolist() == [[70, 10]]


def test_fewer_axons_are_padded_with_silence() -> None:
    image = lif_image()
    narrow, wide = GoldenModel(image), GoldenModel(image)
    for _ in range(3):
        a = narrow.step(np.array([[True]]))
        b = wide.step(np.array([[True, False, False]]))
        assert np.array_equal(a.spikes, b.spikes)
        assert np.array_equal(a.cycles, b.cycles)
    assert np.array_equal(narrow.v, wide.v)


@pytest.mark.parametrize(
    ("spikes", "message"),
    [
        (
            np.zeros((1, 4), np.bool_),
            "Input spikes must have at most 3 axons, not 4.\n"
            "Compile the network for a core with more axons, or pass fewer input lines.",
        ),
        (
            np.zeros((2, 3), np.bool_),
            "Input spikes must have shape [samples, axons] with 1 samples, not (2, 3).\n"
            "Its last axis is axons, True where one spikes.",
        ),
        (
            np.zeros(3, np.bool_),
            "Input spikes must have shape [samples, axons] with 1 samples, not (3,).\n"
            "Its last axis is axons, True where one spikes.",
        ),
        (
            np.zeros((1, 3)),
            "Input spikes must be a NumPy array of bool, not float64.\n"
            "Convert them, for example with `spikes > 0`.",
        ),
        (
            [[True, False, False]],
            "Input spikes must be a NumPy array of bool, not list.\n"
            "Convert them, for example with `spikes > 0`.",
        ),
    ],
)
def test_wrong_spikes_are_refused(spikes: npt.NDArray[np.bool_], message: str) -> None:
    model = GoldenModel(lif_image())
    with pytest.raises(SpikewrightError) as error:
        model.step(spikes)
    assert str(error.value) == message
    assert model.timestep == 0


def test_wrong_runs_are_refused() -> None:
    model, target = GoldenModel(lif_image()), GoldenTarget()
    with pytest.raises(SpikewrightError, match=r"^No image is loaded\."):
        target.run(np.zeros((1, 1, 3), np.bool_))
    target.load(lif_image())
    shape = r"^Input spikes must have shape \[samples, timesteps, axons\]"
    with pytest.raises(SpikewrightError, match=shape + r" with 1 samples, not \(2, 1, 3\)\."):
        model.run(np.zeros((2, 1, 3), np.bool_))
    with pytest.raises(SpikewrightError, match=shape + r", not \(1, 3\)\."):
        target.run(np.zeros((1, 3), np.bool_))
    with pytest.raises(SpikewrightError, match=r"^Samples must be at least 1, not 0\.\n") as error:
        GoldenModel(lif_image(), 0)
    assert error.value.hint


def test_target_runs_each_sample_from_a_cleared_state() -> None:
    spec = CoreSpec(axons=16, neurons=256, lanes=8, delay_slots=64)
    case = draw_case(5, spec=spec, timesteps=4, samples=40)
    target = open_target("golden")
    target.load(case.image)
    finished: list[int] = []
    result = target.run(case.spikes, record_v=True, progress=finished.append)
    assert len(finished) > 1
    assert sum(finished) == 40
    run = GoldenModel(case.image, 40).run(case.spikes, record_v=True)
    assert run.v is not None
    assert result.v is not None
    assert run.spikes.any()
    assert np.array_equal(result.spikes, run.spikes)
    assert np.array_equal(result.v, run.v)
    assert result.cycles is not None
    assert np.array_equal(result.cycles, run.cycles)
    assert np.array_equal(result.total_cycles, run.cycles.sum(axis=1))
    assert target.run(case.spikes).v is None
    target.close()
    target.close()


def test_unused_neurons_are_never_touched() -> None:
    for seed in range(40):
        case = draw_case(seed, timesteps=10)
        used = case.image.groups_used * case.image.spec.lanes
        model = GoldenModel(case.image)
        result = model.run(case.spikes)
        assert not model.v[:, used:].any()
        assert not model.i[:, used:].any()
        assert not model.acc[..., used:].any()
        assert not result.spikes[..., used:].any()
