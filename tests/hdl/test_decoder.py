from pathlib import Path

import pytest

from spikewright.frames import LinkSpec
from spikewright.hdl.decoder import CommandDecoder
from spikewright.hdl.emit import to_verilog
from spikewright.sim import cocotb_decoder
from spikewright.sim.cocotb_launch import run_bench
from spikewright.spec import CoreSpec


def test_bench(tmp_path: Path) -> None:
    verilog = to_verilog(cocotb_decoder.Executor(), name="executor")
    ran = run_bench(
        verilog, top="executor", module=cocotb_decoder.__name__, folder=tmp_path, environment={}
    )
    assert ran == 7


# Amaranth warns of the component that was refused and so is in no design.
@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_build_id_of_another_size() -> None:
    try:
        CommandDecoder(CoreSpec(), LinkSpec(), build_id=bytes(7))
    except ValueError as error:
        message = str(error)
    assert message == "build_id must be 8 bytes, not 7"
