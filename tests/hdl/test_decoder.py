# amaranth: UnusedElaboratable=no

from pathlib import Path

import pytest

from spikewright.frames import LinkSpec
from spikewright.hdl.emit import to_verilog
from spikewright.hdl.replies import ReplyWriter
from spikewright.sim import cocotb_decoder
from spikewright.sim.cocotb_launch import run_bench
from spikewright.spec import CoreSpec


def test_bench(tmp_path: Path) -> None:
    verilog = to_verilog(cocotb_decoder.Executor(), name="executor")
    ran = run_bench(
        verilog, top="executor", module=cocotb_decoder.__name__, folder=tmp_path, environment={}
    )
    assert ran == 8


def test_build_id_of_another_size() -> None:
    with pytest.raises(ValueError, match=r"^build_id must be 8 bytes, not 7$"):
        ReplyWriter(CoreSpec(), LinkSpec(), build_id=bytes(7))
