from pathlib import Path

import pytest

from spikewright.hdl.emit import to_verilog
from spikewright.hdl.uart import UARTReceiver
from spikewright.sim import cocotb_uart
from spikewright.sim.cocotb_launch import run_bench


def test_bench(tmp_path: Path) -> None:
    verilog = to_verilog(cocotb_uart.UARTs(), name="uarts")
    ran = run_bench(
        verilog, top="uarts", module=cocotb_uart.__name__, folder=tmp_path, environment={}
    )
    assert ran == 8


def test_divisor_too_small() -> None:
    with pytest.raises(ValueError, match=r"^divisor must be at least 4, not 3$"):
        UARTReceiver(3)
