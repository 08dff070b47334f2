"""Golden model and RTL in lockstep: many specs, networks and stimuli, with random stalls."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spikewright.sim.cases import (
    PARAMETERS,
    ROWS,
    STIMULI,
    WEIGHTS,
    Case,
    Recipe,
    draw_case,
    draw_spec,
    make_image,
    make_spikes,
)
from spikewright.sim.compare import LockstepReport, lockstep
from spikewright.sim.verilator import CoreSimulator
from spikewright.spec import CoreSpec

SPECS = (
    CoreSpec(axons=256, neurons=256, lanes=8),
    CoreSpec(axons=2048, neurons=2048, lanes=32, synapse_current=False, weight_words=8192),
    CoreSpec(axons=1, neurons=1, lanes=1, weight_bits=2, state_bits=12, fraction_bits=0),
    CoreSpec(axons=12, neurons=60, lanes=4, delay_slots=16, weight_bits=16, state_bits=24),
    CoreSpec(
        axons=33,
        neurons=128,
        lanes=16,
        update_cycles=16,
        decay="shift",
        refractory_bits=0,
        state_bits=16,
    ),
    CoreSpec(axons=2, neurons=1, lanes=1, delay_slots=64),
    CoreSpec(axons=2048, neurons=64, lanes=1, weight_bits=16, state_bits=12, fraction_bits=16),
    CoreSpec(axons=48, neurons=64, lanes=8, delay_slots=8, sparse=True, update_cycles=2),
    CoreSpec(axons=100, neurons=256, lanes=4, weight_words=3000, sparse=True),
    *(draw_spec(np.random.default_rng((2, number))) for number in range(8)),
)
QUOTAS = (1_600_000, 150_000, 2_000, 30_000, 30_000, 2_000, *(30_000,) * (len(SPECS) - 6))
"""Neuron-steps to be compared on each spec, at least, beside what hypothesis draws."""


def test_amount() -> None:
    assert len(set(SPECS)) >= 12
    assert sum(QUOTAS) >= 2_000_000
    assert len({spec.lanes for spec in SPECS}) == 6
    assert {1, 2, 16} <= {spec.update_cycles for spec in SPECS}
    assert {(spec.delay_slots > 1, spec.sparse) for spec in SPECS} == {
        (delays, sparse) for delays in (False, True) for sparse in (False, True)
    }


@st.composite
def recipes(draw: st.DrawFn, spec: CoreSpec) -> Recipe:
    groups = draw(st.integers(1, spec.groups))
    return Recipe(
        seed=draw(st.integers(0, 2**32 - 1)),
        groups=groups,
        levels=draw(st.integers(1, groups)),
        sources=draw(st.integers(0, spec.sources)),
        rows=draw(st.sampled_from(ROWS)),
        weights=draw(st.sampled_from(WEIGHTS)),
        parameters=draw(st.sampled_from(PARAMETERS)),
        stimulus=draw(st.sampled_from(STIMULI)),
        timesteps=draw(st.integers(1, 40)),
        samples=draw(st.integers(1, 2)),
    )


@pytest.mark.parametrize("number", range(len(SPECS)))
def test_lockstep(number: int) -> None:
    spec, quota = SPECS[number], QUOTAS[number]
    compared = spikes = 0

    def equal(case: Case, stall_seed: int | None) -> LockstepReport:
        report = lockstep(case.image, case.spikes, simulator, stall_seed=stall_seed)
        assert report.mismatch is None, f"{case}\nstall seed {stall_seed}\n{report.mismatch}"
        return report

    @settings(
        max_examples=30 if spec.neurons <= 512 else 5,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(recipe=recipes(spec), stall_seed=st.none() | st.integers(0, 2**32 - 1))
    def drawn(recipe: Recipe, stall_seed: int | None) -> None:
        equal(Case(recipe, make_image(spec, recipe), make_spikes(spec, recipe)), stall_seed)

    with CoreSimulator(spec, optimize=1) as simulator:
        drawn()
        seed = 0
        while compared < quota:
            case = draw_case((number, seed), spec=spec, timesteps=50, samples=2)
            report = equal(case, stall_seed=seed)
            compared += report.neuron_steps
            spikes += report.spikes
            seed += 1
    print(f"spec {number}: {compared} neuron-steps beside the drawn ones, {spikes} spikes")
    assert spikes > 0


@pytest.mark.parametrize("number", [0, 3, 4, 7])
def test_lockstep_near(number: int) -> None:
    """As the core is built for small parts: nothing differs, cycles neither."""
    spec = replace(SPECS[number], weight_words=min(SPECS[number].weight_words, 2048))
    with CoreSimulator(spec, near=True) as simulator:
        for seed in range(12):
            case = draw_case((number, seed, 1), spec=spec, timesteps=50, samples=2)
            report = lockstep(case.image, case.spikes, simulator, stall_seed=seed)
            assert report.mismatch is None, f"{case}\nstall seed {seed}\n{report.mismatch}"
