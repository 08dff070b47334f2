from pathlib import Path

from spikewright.hdl.emit import to_verilog
from spikewright.sim import cocotb_uart
from spikewright.sim.cocotb_launch import run_bench


def test_bench(tmp_path: Path) -> None:
    verilog = to_verilog(cocotb_uart.UARTs(), name="uarts")
    ran = run_bench(
        verilog, top="uarts", module=cocotb_uart.__name__, folder=tmp_path, environment={}
    )
    assert ran == 8
    compiled = (tmp_path / "build.log").read_text()
    assert "Vtop__ALL.cpp" in compiled
    assert "verilated.cpp" not in compiled, "Verilator's runtime comes from the cache"
