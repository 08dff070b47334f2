from pathlib import Path

from spikewright.hdl.emit import to_verilog
from spikewright.sim import cocotb_framing
from spikewright.sim.cocotb_launch import run_bench


def test_bench(tmp_path: Path) -> None:
    verilog = to_verilog(cocotb_framing.Framing(), name="framing")
    ran = run_bench(
        verilog, top="framing", module=cocotb_framing.__name__, folder=tmp_path, environment={}
    )
    assert ran == 9
