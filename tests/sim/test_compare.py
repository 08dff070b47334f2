"""What a comparison reports. The RTL is the real one, or one that was broken on purpose."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from rtl import GREATER, break_cores

from spikewright.errors import DataError, MismatchError
from spikewright.image import CoreImage
from spikewright.sim import compare
from spikewright.sim.cases import draw_case, draw_spikes
from spikewright.sim.compare import lockstep, verify
from spikewright.sim.golden import GoldenModel
from spikewright.sim.mismatch import first_difference
from spikewright.sim.traces import golden_trace, stimuli
from spikewright.sim.verilator import CoreSimulator
from spikewright.spec import CoreSpec

SPEC = CoreSpec(axons=6, neurons=8, lanes=2, weight_bits=4, state_bits=12, fraction_bits=2)
CASE = draw_case(4, spec=SPEC, timesteps=30, samples=3)
STIMULUS = stimuli(CASE.image, CASE.spikes, None, None)[0]

Break = Callable[[str, str], None]


@pytest.fixture
def breaks(monkeypatch: pytest.MonkeyPatch) -> Break:
    """Replace a pattern wherever it is in the Verilog of every core that is built from now on."""
    return partial(break_cores, monkeypatch)


def ramp(threshold: int) -> CoreImage:
    """Neuron 3's v counts up by 5; no other one does anything."""
    none = np.zeros(SPEC.neurons, np.int64)
    rows = np.zeros(SPEC.sources, np.int64)
    only = np.arange(SPEC.neurons) == 3
    return CoreImage(
        spec=SPEC,
        weights=np.zeros((0, SPEC.lanes), np.int64),
        delays=np.zeros((0, SPEC.lanes), np.int64),
        first_word=rows,
        word_count=rows,
        first_group=rows,
        level_groups=np.array([SPEC.groups]),
        a_mem=none + 4096,
        a_syn=none,
        bias=only * 5,
        v_threshold=np.where(only, threshold, 100),
        reset=none,
        reset_to=none + 1,
        refractory=none,
    )


def test_equal() -> None:
    golden = GoldenModel(CASE.image, 3).run(CASE.spikes)
    finished: list[int] = []
    with CoreSimulator(SPEC) as simulator:
        report = lockstep(CASE.image, CASE.spikes, simulator, progress=finished.append)
    assert report.mismatch is None
    report.check()
    assert finished == [1, 1, 1]
    assert report.samples == 3
    assert report.timesteps == 90
    assert report.neuron_steps == 90 * CASE.image.groups_used * SPEC.lanes
    assert report.spikes == golden.spikes.sum() > 0
    assert report.cycles == golden.cycles.sum()


def test_report_of_a_difference(breaks: Break, tmp_path: Path) -> None:
    breaks(*GREATER)
    spikes = np.zeros((2, 9, SPEC.axons), np.bool_)
    with CoreSimulator(SPEC) as simulator:
        report = lockstep(ramp(threshold=20), spikes, simulator, waveforms=tmp_path / "waves")
    mismatch = report.mismatch
    assert mismatch is not None
    assert (mismatch.sample, mismatch.timestep, mismatch.neuron) == (0, 3, 3)
    assert (mismatch.variable, mismatch.golden, mismatch.rtl) == ("v", 20, 0)
    assert mismatch.recurred
    assert report.samples == 1
    waveform = tmp_path / "waves" / "sample0-timestep3.vcd"
    with pytest.raises(MismatchError) as error:
        report.check()
    assert error.value.what.splitlines() == [
        "Sample 0, timestep 3, neuron 3: v is 20 in the golden model and 0 in the RTL.",
        "Around it (golden | RTL):",
        "timestep      i          v    spike    refractory    acc[0]",
        "       0  5 | 5      5 | 5    0 | 0         0 | 0     0 | 0",
        "       1  5 | 5    10 | 10    0 | 0         0 | 0     0 | 0",
        "       2  5 | 5    15 | 15    0 | 0         0 | 0     0 | 0",
        "       3  5 | 5     20 | 0 *  0 | 1 *       0 | 0     0 | 0",
        "       4  5 | 5      0 | 5 *  1 | 0 *       0 | 0     0 | 0",
        f"Waveform of these timesteps: {waveform}",
    ]
    assert "v_threshold" in waveform.read_text()


def test_waveform_holds_only_the_window(breaks: Break, tmp_path: Path) -> None:
    breaks(*GREATER)
    spikes = np.zeros((1, 200, SPEC.axons), np.bool_)
    sizes = []
    for threshold in (50, 500):
        with CoreSimulator(SPEC) as simulator:
            report = lockstep(ramp(threshold), spikes, simulator, waveforms=tmp_path)
        assert report.mismatch is not None
        assert report.mismatch.timestep == threshold // 5 - 1
        assert report.mismatch.waveform is not None
        sizes.append(report.mismatch.waveform.stat().st_size)
    assert sizes[1] < 1.2 * sizes[0]


def test_difference_that_does_not_recur(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with monkeypatch.context() as patch:
        break_cores(patch, *GREATER)
        simulator = CoreSimulator(SPEC)
    spikes = np.zeros((1, 9, SPEC.axons), np.bool_)
    with simulator:
        mismatch = lockstep(ramp(20), spikes, simulator, waveforms=tmp_path).mismatch
    assert mismatch is not None
    assert not mismatch.recurred
    assert "The run that wrote it did not show the difference" in str(mismatch)


@pytest.mark.parametrize("timestep", range(3, 9))
def test_window_does_not_depend_on_chunks(
    timestep: int, breaks: Break, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks(*GREATER)
    spikes = np.zeros((1, 20, SPEC.axons), np.bool_)
    image = ramp(threshold=5 * (timestep + 1))
    with CoreSimulator(SPEC) as simulator:
        whole = lockstep(image, spikes, simulator).mismatch
        monkeypatch.setattr(compare, "_CHUNK_VALUES", 1)
        in_chunks = lockstep(image, spikes, simulator).mismatch
    assert whole == in_chunks
    assert whole is not None
    assert [row[0] for row in whole.rows] == list(range(timestep - 3, timestep + 2))


def test_difference_in_the_last_timestep(breaks: Break) -> None:
    breaks(*GREATER)
    with CoreSimulator(SPEC) as simulator:
        report = lockstep(ramp(10), np.zeros((1, 2, SPEC.axons), np.bool_), simulator)
    assert report.mismatch is not None
    assert [row[0] for row in report.mismatch.rows] == [0, 1]


def test_difference_in_cycles(monkeypatch: pytest.MonkeyPatch) -> None:
    with CoreSimulator(SPEC) as simulator:
        overhead = SPEC.timestep_overhead
        monkeypatch.setattr(CoreSpec, "timestep_overhead", property(lambda spec: overhead + 1))
        mismatch = lockstep(CASE.image, CASE.spikes, simulator).mismatch
    assert mismatch is not None
    assert (mismatch.timestep, mismatch.neuron, mismatch.variable) == (0, None, "cycles")
    assert mismatch.golden == mismatch.rtl + 1
    assert mismatch.columns == ("cycles", "synapses", "saturations")


VARIABLES = ("i", "v", "spike", "refractory", "acc", "cycles", "synapses", "saturations")


@pytest.mark.parametrize("variable", VARIABLES)
def test_every_value_is_compared(variable: str) -> None:
    spec = replace(SPEC, delay_slots=2)
    golden = golden_trace(GoldenModel(draw_case(4, spec=spec).image), STIMULUS)
    assert set(golden) == set(VARIABLES)
    for index in np.ndindex(golden[variable].shape):
        rtl = {name: values.copy() for name, values in golden.items()}
        rtl[variable][index] ^= True
        assert first_difference(golden, rtl) == (index[0], variable, index[1:])


def test_cause_comes_before_consequence() -> None:
    golden = golden_trace(GoldenModel(CASE.image), STIMULUS)
    rtl = {name: values.copy() for name, values in golden.items()}
    order = [
        ("cycles", (6,)),
        ("acc", (6, 0, 0)),
        ("refractory", (6, 5)),
        ("spike", (6, 5)),
        ("v", (6, 5)),
        ("v", (6, 2)),
        ("saturations", (5,)),
    ]
    for variable, index in order:
        rtl[variable][index] ^= True
        assert first_difference(golden, rtl) == (index[0], variable, index[1:])


MUTANTS = {
    "spikes at the threshold": GREATER,
    "saturates too early": (r"12'h7ff\b", "12'h7fe"),
    "saturates too early below": (r"12'h800\b", "12'h801"),
    "no forwarding of the last sum": (r"\bfollows\w+\[0\] \?", "1'h0 ?"),
    "no forwarding of the sum before": (r"\bfollows\w+\[1\] \?", "1'h0 ?"),
    "an updated level's synapses count at once": (r"< first_open\b", "< 1'h0"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_are_found(name: str, breaks: Break) -> None:
    breaks(*MUTANTS[name])
    spec = replace(SPEC, delay_slots=2)
    with CoreSimulator(spec, optimize=1) as simulator:
        mismatches = [
            lockstep(case.image, case.spikes, simulator).mismatch
            for case in (draw_case(seed, spec=spec, timesteps=40) for seed in range(20))
        ]
    found = [mismatch for mismatch in mismatches if mismatch is not None]
    assert found
    print(f"{name}: {len(found)} of 20 cases, first {found[0]}")


def test_verify_draws_spikes_from_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    finished: list[int] = []
    reports = [
        verify(CASE.image, timesteps=20, samples=5, seed=seed, progress=finished.append)
        for seed in (3, 3, 4)
    ]
    assert [report.mismatch for report in reports] == [None] * 3
    assert [report.timesteps for report in reports] == [100] * 3
    assert len(finished) == 15
    assert reports[0].spikes == reports[1].spikes != reports[2].spikes
    stimulus = draw_spikes(np.random.default_rng(3), (5, 20, SPEC.axons))
    given = verify(CASE.image, stimulus)
    assert given.spikes == reports[0].spikes


def test_verify_finds_a_difference(breaks: Break) -> None:
    breaks(*GREATER)
    report = verify(ramp(20), timesteps=9, samples=1)
    assert report.mismatch is not None
    assert report.mismatch.timestep == 3


@pytest.mark.parametrize(("samples", "timesteps"), [(1 << 32, 1), (1, 1 << 32), (10**20, 10**20)])
def test_verify_draws_no_more_than_memory_holds(samples: int, timesteps: int) -> None:
    with pytest.raises(DataError, match="random spikes in all, not") as caught:
        verify(CASE.image, samples=samples, timesteps=timesteps)
    assert "another seed" in caught.value.hint


def test_host_port_is_compared(breaks: Break) -> None:
    breaks(r"(\bhost__r_data(\[\d+:0\])? <?= )", r"\1 1'h1 ^")
    with CoreSimulator(SPEC) as simulator:
        message = (
            r"^Host port reads v -?\d+ of neuron 0 where the memory holds -?\d+, in timestep 30"
        )
        with pytest.raises(MismatchError, match=message):
            lockstep(CASE.image, CASE.spikes, simulator)
