# amaranth: UnusedElaboratable=no

from pathlib import Path

import pytest

from spikewright.errors import SpecError
from spikewright.files import spikes_bytes
from spikewright.frames import LinkSpec
from spikewright.hdl.emit import to_verilog
from spikewright.hdl.top import Top
from spikewright.sim import cocotb_top
from spikewright.sim.cases import Case, draw_case
from spikewright.sim.cocotb_core import FOLDER_VARIABLE
from spikewright.sim.cocotb_launch import run_bench
from spikewright.sim.golden import GoldenModel
from spikewright.spec import CoreSpec

SPEC = CoreSpec(axons=12, neurons=8, lanes=4, delay_slots=2)


def lively_case() -> Case:
    """The first random network of one level whose two groups spike in one timestep, at times."""
    for seed in range(200):
        case = draw_case(seed, spec=SPEC, timesteps=9)
        model = GoldenModel(case.image)
        rows = [model.step(row[None]).spikes[0] for row in case.spikes[0]]
        both = sum(row[: SPEC.lanes].any() and row[SPEC.lanes :].any() for row in rows)
        if len(case.image.level_groups) == 1 and 2 < both < 8:
            print(f"case {seed}: both groups spike in {both} timesteps")
            return case
    raise AssertionError("no case is lively")


def test_bench(tmp_path: Path) -> None:
    case = lively_case()
    case.image.save(tmp_path / "image.core")
    (tmp_path / "spikes.npz").write_bytes(spikes_bytes(case.spikes))
    ran = run_bench(
        to_verilog(Top(SPEC, cocotb_top.LINK, build_id=cocotb_top.BUILD_ID), name="top"),
        top="top",
        module=cocotb_top.__name__,
        folder=tmp_path,
        environment={FOLDER_VARIABLE: str(tmp_path)},
    )
    assert ran == 6


def test_frames_too_short_for_a_record() -> None:
    spec, link = CoreSpec(axons=1, neurons=32, lanes=32, weight_bits=16), LinkSpec(max_payload=64)
    with pytest.raises(
        SpecError, match=r"^max_payload must be at least 69 for a record of this spec, not 64\."
    ):
        Top(spec, link)
    Top(spec, LinkSpec(max_payload=128))
