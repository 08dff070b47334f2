"""Rows whose words name their neuron groups: what they do, and that they cost what others cost."""

from dataclasses import replace

import numpy as np
import pytest
from rtl import break_cores

from spikewright.image import CoreImage
from spikewright.sim.bench import busy_network
from spikewright.sim.cases import draw_case
from spikewright.sim.compare import lockstep
from spikewright.sim.golden import GoldenModel
from spikewright.sim.verilator import CoreSimulator
from spikewright.spec import CoreSpec


def shuffled(image: CoreImage, seed: int) -> CoreImage:
    """The same network for a sparse spec, the words of each row in random order."""
    row, word, group = image.row_words(np.arange(image.spec.sources))
    order = np.lexsort((np.random.default_rng(seed).random(len(row)), row))
    count = image.word_count.astype(int)
    return replace(
        image,
        spec=replace(image.spec, sparse=True, weight_words=max(1, len(word))),
        weights=image.weights[word[order]],
        delays=image.delays[word[order]],
        first_word=np.cumsum(count) - count,
        first_group=np.zeros_like(count),
        word_group=group[order],
    )


def pair_image(weights: list[int], delays: list[int]) -> CoreImage:
    """One axon with several synapses to one neuron, which never spikes."""
    none, words = np.zeros(1, int), len(weights)
    return CoreImage(
        spec=CoreSpec(axons=1, neurons=1, lanes=1, delay_slots=4, weight_words=words, sparse=True),
        weights=np.array(weights)[:, None],
        delays=np.array(delays)[:, None],
        first_word=np.zeros(2, int),
        word_count=np.array([words, 0]),
        first_group=np.zeros(2, int),
        word_group=np.zeros(words, int),
        level_groups=np.ones(1, int),
        a_mem=none,
        a_syn=none,
        bias=none,
        v_threshold=none + 100_000,
        reset=none,
        reset_to=none,
        refractory=none,
    )


def test_every_synapse_to_the_same_neuron_is_added() -> None:
    image = pair_image(weights=[5, -5, 7, 3, 0], delays=[2, 2, 0, 3, 1])
    spikes = np.zeros((1, 6, 1), np.bool_)
    spikes[0, 1] = True
    model = GoldenModel(image)
    results = [model.step(spikes[:, t]) for t in range(6)]
    assert [int(result.consumed[0, 0]) for result in results] == [0, 7, 0, 0, 3, 0]
    assert [int(result.synaptic_operations[0]) for result in results] == [0, 4, 0, 0, 0, 0]
    quiet, busy = results[0].cycles[0], results[1].cycles[0]
    assert busy - quiet == 5 + image.spec.integrate_overhead
    with CoreSimulator(image.spec, optimize=1) as simulator:
        assert lockstep(image, spikes, simulator).mismatch is None


@pytest.mark.parametrize("seed", range(20))
def test_order_of_words_changes_nothing(seed: int) -> None:
    spec = CoreSpec(axons=20, neurons=32, lanes=4, delay_slots=1 + seed % 2)
    case = draw_case(seed, spec=spec, timesteps=20, samples=2)
    runs = [
        GoldenModel(image, 2).run(case.spikes, record_v=True)
        for image in (case.image, shuffled(case.image, seed))
    ]
    for name in ("spikes", "cycles", "synaptic_operations", "saturations", "v"):
        assert np.array_equal(getattr(runs[0], name), getattr(runs[1], name)), name


def test_a_word_takes_a_cycle_in_any_order() -> None:
    """Full rows, a tenth of the sources spiking: as ``make bench`` measures the dense core."""
    dense = busy_network(CoreSpec(axons=256, neurons=256, lanes=8), rate=0.1)
    spikes = np.random.default_rng(1).random((100, 256)) < 0.1
    runs = []
    for image in (dense, shuffled(dense, seed=1)):
        with CoreSimulator(image.spec) as simulator:
            simulator.load(image)
            runs.append(simulator.run(spikes))
    assert np.array_equal(runs[0].spikes, runs[1].spikes)
    assert np.array_equal(runs[0].cycles, runs[1].cycles)
    rate = runs[1].synapses.sum() / runs[1].cycles.sum() / 8
    print(f"{rate:.3f} synaptic operations a lane and cycle")
    assert rate >= 0.95


def test_group_of_the_word_before_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    break_cores(monkeypatch, r"(<= groups\[)(\\?[\w$]+) ?\]", r"\1\2 - 1'd1]")
    spec = CoreSpec(axons=10, neurons=12, lanes=2, weight_words=64, sparse=True)
    case = draw_case(4, spec=spec, timesteps=20)
    with CoreSimulator(spec, optimize=1) as simulator:
        mismatch = lockstep(case.image, case.spikes, simulator).mismatch
    assert mismatch is not None
    assert mismatch.variable != "cycles"
