from pathlib import Path

import pytest

from spikewright.sim.cases import draw_case
from spikewright.sim.cocotb_core import run_core_bench
from spikewright.sim.golden import GoldenModel
from spikewright.spec import CoreSpec

SPECS = (
    CoreSpec(axons=9, neurons=12, lanes=4, delay_slots=2, weight_bits=6, state_bits=16),
    CoreSpec(axons=3, neurons=8, lanes=1, weight_bits=3, state_bits=12, fraction_bits=2),
    CoreSpec(axons=9, neurons=12, lanes=2, delay_slots=2, state_bits=16, sparse=True),
)
BENCH = (
    "stalls",
    "back_to_back",
    "spike_in_the_cycle_of_step",
    "full_queue",
    "clear_in_between",
    "strobes_while_busy",
    "host_access",
)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.lanes}-lanes")
def test_bench(spec: CoreSpec, tmp_path: Path) -> None:
    case = draw_case(24, spec=spec, timesteps=20)
    fired = GoldenModel(case.image).run(case.spikes).spikes.mean()
    assert 0.05 < fired < 0.6
    assert run_core_bench(case.image, case.spikes, tmp_path, BENCH) == len(BENCH)
