import os
from pathlib import Path

import pytest

from spikewright.hdl.emit import to_verilog
from spikewright.sim import cocotb_uart
from spikewright.sim.cocotb_launch import run_bench


def path_without_python(folder: Path) -> str:
    """A folder with all programs that the path has, but for those that are called python."""
    folder.mkdir()
    for place in reversed(os.get_exec_path()):
        for program in Path(place).glob("*"):
            if not program.name.startswith("python"):
                link = folder / program.name
                link.unlink(missing_ok=True)
                link.symlink_to(program)
    return str(folder)


def test_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no Python but the one that runs this: many systems have only a python3."""
    verilog = to_verilog(cocotb_uart.UARTs(), name="uarts")
    monkeypatch.setenv("PATH", path_without_python(tmp_path / "bin"))
    folder = tmp_path / "bench"
    ran = run_bench(
        verilog, top="uarts", module=cocotb_uart.__name__, folder=folder, environment={}
    )
    assert ran == 8
    compiled = (folder / "build.log").read_text()
    assert "Vtop__ALL.cpp" in compiled
    assert "verilated.cpp" not in compiled, "Verilator's runtime comes from the cache"
