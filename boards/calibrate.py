"""``make estimate``: synthesize a set of specs for each family, and compare the estimate with them.

With ``--write`` the measured cells become ``calibration.json``, which the estimate is fitted to.
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from spikewright.errors import SpikewrightError
from spikewright.files import merge_json
from spikewright.hdl.emit import to_rtlil
from spikewright.presets import PRESETS
from spikewright.spec import CoreSpec

from .board import Board, Family
from .catalog import BOARDS
from .design import BoardDesign
from .estimate import (
    CALIBRATION,
    Area,
    Weights,
    estimate_area,
    fit_weights,
    measured_area,
    needs_of,
)
from .flows import SYNTHESIS, cells_of, synthesis_script
from .structure import Structure, structure_of
from .tools import run_step

__all__ = ["FITTED", "HELD_OUT", "REFERENCE", "Sample", "compared", "main", "sample"]

TOLERANCE = 0.15
"""Of LUTs, on specs that were held out and that the family's part can hold.

Past the part's size an estimate has nothing to decide: the core is refused for what else it lacks.
The weights of NeuroCoreX's core, say, would be nine rows of block RAM on an iCE40, which has not
that many, and the multiplexers between them are LUTs of nobody's core."""

REFERENCE: dict[Family, Board] = {
    "ice40": BOARDS["icebreaker"],
    "ecp5": BOARDS["ulx3s-85f"],
    "gowin": BOARDS["tangnano9k"],
    "xc7": BOARDS["basys3"],
}
"""The board whose device is synthesized for a family."""

FITTED = tuple(
    CoreSpec(**fields)
    for fields in (
        {"axons": 64, "neurons": 64, "lanes": 1, "weight_words": 4096},
        {"axons": 64, "neurons": 128, "lanes": 2, "weight_words": 4096, "state_bits": 16},
        {"axons": 128, "neurons": 128, "lanes": 4, "weight_words": 4096, "state_bits": 24},
        {"axons": 256, "neurons": 256, "lanes": 8, "weight_words": 4096, "state_bits": 18},
        {"axons": 128, "neurons": 128, "lanes": 2, "synapse_current": False, "state_bits": 14},
        {"axons": 512, "neurons": 128, "lanes": 2, "decay": "shift", "weight_words": 4096},
        {"axons": 64, "neurons": 64, "lanes": 4, "delay_slots": 8, "weight_words": 1024},
        {"axons": 128, "neurons": 128, "lanes": 2, "sparse": True, "weight_words": 4096},
        {"axons": 128, "neurons": 128, "lanes": 8, "update_cycles": 4, "weight_words": 4096},
        {"axons": 64, "neurons": 64, "lanes": 4, "plasticity": "window", "trace_bits": 8},
        {"axons": 64, "neurons": 64, "lanes": 2, "plasticity": "trace", "reward": True},
        {
            "axons": 64,
            "neurons": 64,
            "lanes": 8,
            "update_cycles": 2,
            "state_bits": 16,
            "plasticity": "window",
        },
        {"axons": 64, "neurons": 64, "lanes": 4, "plasticity": "trace", "paired_rows": True},
    )
)
"""Specs that the estimate is fitted to."""

HELD_OUT = tuple(
    CoreSpec(**fields)
    for fields in (
        {"axons": 128, "neurons": 128, "lanes": 2, "weight_words": 8192},
        {"axons": 96, "neurons": 256, "lanes": 4, "state_bits": 16, "synapse_current": False},
        {"axons": 100, "neurons": 160, "lanes": 4, "decay": "shift", "weight_words": 4096},
        {"axons": 128, "neurons": 192, "lanes": 8, "update_cycles": 8, "state_bits": 16},
        asdict(PRESETS["neurocorex"]),
        {"axons": 96, "neurons": 96, "lanes": 1, "state_bits": 16},
        {
            "axons": 160,
            "neurons": 160,
            "lanes": 4,
            "update_cycles": 2,
            "state_bits": 14,
            "synapse_current": False,
        },
    )
)
"""Specs that it is measured by; the last two are for the smallest part, the iCE40's."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A spec's design before synthesis, and what it became."""

    spec: CoreSpec
    structure: Structure
    area: Area

    def entry(self) -> dict[str, Any]:
        """As ``calibration.json`` holds it."""
        spec = json.loads(self.spec.to_json())
        return {"spec": spec, "features": self.structure.features, "area": asdict(self.area)}


def sample(family: Family, spec: CoreSpec, root: Path) -> Sample:
    """Synthesize the device of a spec, or find what an earlier run made of the same."""
    folder = root / family / spec.hash[:12]
    kept, design = folder / "stat.json", folder / "top.il"
    text = to_rtlil(BoardDesign(REFERENCE[family], spec), name="top")
    if not (kept.exists() and design.read_text() == text):
        kept.unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        design.write_text(text)
        (folder / "synth.ys").write_text(synthesis_script(family))
        run_step(SYNTHESIS, folder)
        (folder / "top.json").unlink(missing_ok=True)
    return Sample(spec, structure_of(text), measured_area(family, cells_of(folder)))


def main() -> int:
    """Print and write the comparison; exit code 1 if a LUT count is more than 15 % off.

    Where the part cannot hold the core, it may be; but some core must be that each part holds.
    """
    console = Console(stderr=True)
    root = Path("build/estimate")
    results: dict[str, Any] = {}
    measured: dict[str, Any] = {}
    columns = ("family", "lanes", "LUTs", "estimate", "off", "RAMs", "", "DSPs", "", "part")
    table = Table(*columns, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    try:
        for family in REFERENCE:
            with console.status(f"{family}: synthesis of {len(FITTED) + len(HELD_OUT)} designs"):
                fitted = [sample(family, spec, root) for spec in FITTED]
                held_out = [sample(family, spec, root) for spec in HELD_OUT]
            measured[family] = [one.entry() for one in fitted]
            weights = fit_weights([s.structure for s in fitted], [s.area for s in fitted])
            results[family] = [compared(family, one, weights) for one in held_out]
            for entry in results[family]:
                table.add_row(family, *row(entry))
    except SpikewrightError as error:
        console.print(str(error), markup=False)
        return 1
    merge_json("build/estimate.json", results)
    if "--write" in sys.argv[1:]:
        CALIBRATION.write_text(json.dumps(measured, indent=1) + "\n")
    Console().print(table)
    held = {family: [e for e in entries if e["fits"]] for family, entries in results.items()}
    worst = max(abs(entry["off"]) for entries in held.values() for entry in entries)
    Console().print(
        f"LUTs at most {100 * worst:.1f} % off on specs not used to calibrate,"
        " of those that the family's part holds."
    )
    return 1 if worst > TOLERANCE or not all(held.values()) else 0


def compared(family: Family, one: Sample, weights: Weights) -> dict[str, Any]:
    """Measured and estimated area of a sample, and whether the family's part holds it."""
    guess = estimate_area(family, one.structure, weights)
    needs = needs_of(REFERENCE[family].part, one.area)
    return {
        "spec": json.loads(one.spec.to_json()),
        "measured": asdict(one.area),
        "estimate": asdict(guess),
        "off": guess.luts / one.area.luts - 1,
        "fits": all(need <= has for need, has in needs.values()),
    }


def row(entry: dict[str, Any]) -> list[str]:
    """A comparison as cells of the table."""
    real, guess = entry["measured"], entry["estimate"]
    rams, products = ("block_rams", "multipliers")
    return [
        str(entry["spec"]["lanes"]),
        f"{real['luts']:,}",
        f"{guess['luts']:,}",
        f"{100 * entry['off']:+.1f} %",
        *(str(part[name]) for name in (rams, products) for part in (real, guess)),
        "fits" if entry["fits"] else "too small",
    ]


if __name__ == "__main__":
    sys.exit(main())
