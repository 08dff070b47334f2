"""Golden model and RTL of cores that learn in lockstep: weights, eligibilities, traces, offsets."""

from dataclasses import replace

import numpy as np
import pytest
from rtl import break_cores

from spikewright.presets import PRESETS
from spikewright.sim.cases import draw_case, draw_spec
from spikewright.sim.compare import LockstepReport, lockstep
from spikewright.sim.golden import GoldenTarget
from spikewright.sim.rtl_target import VerilatorTarget
from spikewright.sim.verilator import CoreSimulator
from spikewright.spec import CoreSpec

TRACE = CoreSpec(axons=96, neurons=96, plasticity="trace", stochastic_rounding=True, trace_bits=10)
SPECS = (
    TRACE,
    replace(TRACE, plasticity="window", trace_bits=9, trace_fraction_bits=2, update_cycles=4),
    CoreSpec(
        axons=60,
        neurons=48,
        lanes=4,
        update_cycles=2,
        plasticity="trace",
        soft_bounds=True,
        reward=True,
        stochastic_rounding=True,
        adaptive_threshold=True,
        winners=5,
        delay_slots=4,
    ),
    CoreSpec(
        axons=3, neurons=2, lanes=1, plasticity="trace", decay="shift", winners=2, weight_bits=2
    ),
    CoreSpec(axons=40, neurons=64, lanes=32, winners=3, synapse_current=False),
    CoreSpec(
        axons=1,
        neurons=64,
        lanes=16,
        plasticity="window",
        reward=True,
        trace_bits=16,
        trace_fraction_bits=15,
        weight_bits=16,
        state_bits=24,
        adaptive_threshold=True,
        refractory_bits=0,
    ),
    CoreSpec(
        axons=1,
        neurons=1,
        lanes=1,
        decay="shift",
        plasticity="trace",
        soft_bounds=True,
        reward=True,
        stochastic_rounding=True,
        adaptive_threshold=True,
    ),
    CoreSpec(axons=2, neurons=4, lanes=4, plasticity="window", reward=True, winners=2),
    CoreSpec(axons=1, neurons=1, lanes=1, plasticity="trace"),
    CoreSpec(axons=2, neurons=4, lanes=4, update_cycles=2, plasticity="window", winners=2),
    PRESETS["neurocorex"],
    CoreSpec(
        axons=41,
        neurons=20,
        lanes=4,
        plasticity="trace",
        soft_bounds=True,
        adaptive_threshold=True,
        winners=2,
        delay_slots=4,
        paired_rows=True,
    ),
    CoreSpec(axons=1, neurons=2, lanes=2, plasticity="window", paired_rows=True),
    *(draw_spec(np.random.default_rng((3, number)), most=64, plastic=True) for number in range(6)),
)
UPDATES = (550_000, 350_000, 100_000, 100, 0, 5_000, *(0,) * (len(SPECS) - 6))
"""Synapses to be changed on each spec, at least; with the others a round number of cases is run."""
CASES = 12
CASES_OF_FEW = 60
"""Of a spec with few sources: what goes wrong there is rare, and a case takes no time."""
CASES_AT_ONCE = 4


def run_case(simulator: CoreSimulator, spec: CoreSpec, seed: tuple[int, int]) -> LockstepReport:
    case = draw_case(seed, spec=spec, timesteps=60, samples=2)
    stall_seed = seed[1] if seed[1] % 2 else None
    report = lockstep(
        case.image,
        case.spikes,
        simulator,
        learn=case.learn,
        rewards=case.rewards,
        stall_seed=stall_seed,
    )
    assert report.mismatch is None, f"{case}\nseed {seed}, stalls {stall_seed}\n{report.mismatch}"
    return report


def run_without_a_pause(spec: CoreSpec, seed: tuple[int, int]) -> None:
    """What lockstep cannot show, as it waits for the last write before it looks.

    Timesteps, clears and reads follow each other in the first cycle that the core is not busy.
    """
    case = draw_case(seed, spec=spec, timesteps=60, samples=3)
    golden, rtl = GoldenTarget(), VerilatorTarget()
    results = []
    for target in (golden, rtl):
        target.load(case.image)
        results.append(target.run(case.spikes, learn=spec.plastic, rewards=case.rewards))
    for name in ("spikes", "cycles"):
        wanted, found = (getattr(result, name) for result in results)
        np.testing.assert_array_equal(found, wanted, f"{name}, {case}, seed {seed}")
    if spec.plastic:
        assert rtl.learned_image().id == golden.learned_image().id, f"{case}, seed {seed}"
    rtl.close()


def test_amount() -> None:
    assert sum(UPDATES) >= 1_000_000


@pytest.mark.parametrize("number", range(len(SPECS)))
def test_lockstep(number: int) -> None:
    spec, seed, updates = SPECS[number], 0, 0
    cases = CASES if spec.sources > 8 else CASES_OF_FEW
    with CoreSimulator(spec) as simulator:
        while seed < cases or updates < UPDATES[number]:
            updates += run_case(simulator, spec, (number, seed)).updates
            seed += 1
    for again in range(CASES_AT_ONCE):
        run_without_a_pause(spec, (number, again))
    print(f"spec {number}: {updates} synapses changed in {seed} cases")


def test_the_target_learns_as_the_golden_target_does() -> None:
    spec = SPECS[2]
    case = next(
        case
        for case in (draw_case((9, seed), spec=spec, samples=3) for seed in range(50))
        if (case.image.arrays["plastic"] > 0).sum() > 200 and case.spikes.any()
    )
    golden, rtl = GoldenTarget(), VerilatorTarget()
    for target in (golden, rtl):
        target.load(case.image)
    wanted = golden.run(case.spikes, learn=True, rewards=case.rewards, record_v=True)
    found = rtl.run(case.spikes, learn=True, rewards=case.rewards, record_v=True)
    for name in ("spikes", "cycles", "v"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
    learned = golden.learned_image()
    assert learned.id != case.image.id
    assert rtl.learned_image().id == learned.id
    rtl.run(case.spikes)
    assert rtl.learned_image().id == learned.id
    rtl.close()


FAULTS = {
    "changes go the wrong way": (r"falls <= (\w+);", r"falls <= ~\1;"),
    "weights wrap": (r"assign beyond = .*;", "assign beyond = 1'h0;"),
    "signs are not kept": (r"assign crosses = .*;", "assign crosses = 1'h0;"),
    "sources are listed twice": (r"~ *is_listed", "1'h1"),
    "the random register stands still": (r"random <= \S+ ;", "random <= random;"),
    "lists of what fired go one too far": (r"order__index < (\S+) ;", r"order__index <= \1 ;"),
    "the word behind a row counts as its own": (r"(within\d) < words;", r"\1 <= words;"),
}


PAIR_FAULTS = {
    "the other row of a pair learns too": (
        r"assign of_row\[(\d)\] = .*;",
        r"assign of_row[\1] = 1;",
    ),
    "one row of a pair is left out": (r"(assign of_row\[1\] =) \S+ \[\d+\] \|", r"\1"),
    "pairs are listed twice": FAULTS["sources are listed twice"],
    "pairs that follow each other at once are listed twice": (
        r"(always @\(posedge clk\) begin\s+_0_ <= (source\d+\S*);\s+end)\s+"
        r"assign is_listed = marks\[_0_\];",
        r"reg late; assign is_listed = late; \1 always @(posedge clk) late <= marks[\2];",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = CoreSpec(
        axons=12, neurons=12, lanes=2, plasticity="trace", stochastic_rounding=True, trace_bits=10
    )
    find(fault, FAULTS[fault], spec, monkeypatch)


@pytest.mark.parametrize("fault", PAIR_FAULTS)
def test_a_fault_of_pairs_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = CoreSpec(axons=12, neurons=12, lanes=2, plasticity="window", paired_rows=True)
    find(fault, PAIR_FAULTS[fault], spec, monkeypatch)


def find(
    name: str, fault: tuple[str, str], spec: CoreSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_cores(monkeypatch, *fault)
    found = set()
    with CoreSimulator(spec) as simulator:
        for seed in range(20):
            case = draw_case((11, seed), spec=spec, timesteps=60, samples=2)
            report = lockstep(
                case.image, case.spikes, simulator, learn=case.learn, rewards=case.rewards
            )
            if report.mismatch is not None:
                found.add(report.mismatch.variable)
    print(name, found)
    assert found
