"""``make area``: LUTs, memories and the clock of the core alone on an ECP5, for a few specs."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from spikewright.errors import SpikewrightError
from spikewright.hdl.core import Core
from spikewright.spec import CoreSpec

from .synthesis import place_ecp5, synthesize_ecp5

__all__ = ["SPECS", "main"]

SPECS = {
    "default": CoreSpec(),
    "shift decay": CoreSpec(decay="shift"),
    "no current": CoreSpec(synapse_current=False),
    "8 delays": CoreSpec(delay_slots=8, weight_words=4096),
    "sparse rows": CoreSpec(sparse=True),
    "512 x 1024": CoreSpec(axons=512, neurons=1024, weight_words=16384),
}
"""What is measured; the first is the one with bars: 3,500 LUT4 and 100 MHz."""


TARGET_HZ = 100e6
_SEEDS = (2, 1, 3)


def main() -> int:
    """Synthesize, place and route every spec; print a table and write ``build/area/area.json``."""
    console = Console(stderr=True)
    table = Table(
        "spec", "LUT4", "LUT RAM", "FF", "DP16KD", "MULT18", "MHz", title="Core alone, ECP5-85F-6"
    )
    results = {}
    try:
        for name, spec in SPECS.items():
            folder = Path("build/area") / spec.hash[:12]
            with console.status(f"{name}: synthesis"):
                area = synthesize_ecp5(Core(spec), folder)
            with console.status(f"{name}: place and route (minutes)"):
                clock_hz = _best_clock(folder)
            results[name] = {
                "spec": json.loads(spec.to_json()),
                **asdict(area),
                "clock_mhz": clock_hz / 1e6,
            }
            cells = [f"{value:,}" for value in asdict(area).values()]
            table.add_row(name, *cells, f"{clock_hz / 1e6:.1f}")
            Path("build/area/area.json").write_text(json.dumps(results, indent=2) + "\n")
    except SpikewrightError as error:
        console.print(str(error), markup=False)
        return 1
    Console().print(table)
    return 0


def _best_clock(folder: Path) -> float:
    """The clock [Hz] of the first seed of the placer that reaches the target, or the best one."""
    best = 0.0
    for seed in _SEEDS:
        best = max(best, place_ecp5(folder, target_hz=TARGET_HZ, seed=seed))
        if best >= TARGET_HZ:
            break
    return best


if __name__ == "__main__":
    sys.exit(main())
