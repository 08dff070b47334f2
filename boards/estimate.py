"""What a core will take of a part, before synthesis: fitted to what synthesis made of others.

LUTs and registers are weighted sums of what the design is made of
(:mod:`spikewright.boards.structure`), with weights that are not negative and least squares of the
relative error. Block RAMs and multipliers are counted as the family's blocks are shaped. The
measured designs are in ``calibration.json``; ``make estimate`` measures them again, and others that
the weights know nothing of.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.optimize

from spikewright.hdl.emit import to_rtlil
from spikewright.spec import CoreSpec

from .board import Board, Family, Part
from .structure import FEATURES, LEAST_BLOCK_BITS, Memory, Structure, structure_of

__all__ = [
    "CALIBRATION",
    "Area",
    "Estimate",
    "Weights",
    "estimate",
    "estimate_area",
    "fit_weights",
    "measured_area",
    "needs_of",
    "weights_of",
]

CELLS = "logic cells"
CALIBRATION = Path(__file__).with_name("calibration.json")

_LUTS: Mapping[Family, Mapping[str, int]] = {
    "ice40": {"SB_LUT4": 1},
    "ecp5": {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 4},
    "gowin": {"LUT1": 1, "LUT2": 1, "LUT3": 1, "LUT4": 1, "ALU": 1, "RAM16SDP4": 4},
    "xc7": {
        **{f"LUT{n}": 1 for n in range(1, 7)},
        **dict.fromkeys(("RAM32M", "RAM64M", "RAM128X1D"), 4),
        **dict.fromkeys(("RAM32X1D", "RAM64X1D"), 2),
        "SRL16E": 1,
    },
}
"""LUTs that a cell takes, by family."""
_BLOCKS: Mapping[Family, tuple[tuple[int, int], ...]] = {
    "ice40": ((256, 16), (512, 8), (1024, 4), (2048, 2)),
    "ecp5": ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1)),
    "gowin": ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1)),
    "xc7": ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1)),
}
"""Words and bits of a block RAM in each of its shapes."""
_LARGE = (16384, 16)
_CLOCKS_HZ: Mapping[Family, int | None] = {
    "ice40": 33_000_000,
    "ecp5": 100_000_000,
    "gowin": 73_000_000,
    "xc7": None,
}
"""What nextpnr reaches, at least, with the cores of iCEBreaker, ULX3S and Tang Nano 9K; how long a
multiplier of Gowin's takes it does not know."""
_LEAST_BLOCK_BITS: Mapping[Family, int] = {
    "ice40": LEAST_BLOCK_BITS,
    "ecp5": 2048,
    "gowin": 2048,
    "xc7": 2048,
}
"""Smaller memories that do not ask for block RAM get none."""
_LEAST_FACTOR: Mapping[Family, int] = {"ice40": 2, "ecp5": 2, "gowin": 4, "xc7": 4}
"""Bits of the smaller factor from which on a product gets a multiplier."""
_ALONE = 0.7
"""Share of an iCE40's registers that find no LUT of their own to share a cell with: 0.68 to 0.71 in
the cores that were placed."""


@dataclass(frozen=True, slots=True)
class Area:
    """What a design takes.

    Attributes
    ----------
    luts, registers, block_rams, multipliers, large_rams : int
        As of :class:`~spikewright.boards.board.Part`; block RAMs of 18 kbit on ``xc7``.
    """

    luts: int
    registers: int
    block_rams: int
    multipliers: int
    large_rams: int = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a core would take on a board.

    Attributes
    ----------
    area : Area
    needs : dict of str to (int, int)
        How many it needs of what the part has how many of: logic cells, as packing leaves them,
        block RAMs, multipliers and large RAMs.
    clock_hz : int or None
        What a core of the family was placed at; None where no open tool knows.
    """

    area: Area
    needs: dict[str, tuple[int, int]]
    clock_hz: int | None

    @property
    def reasons(self) -> tuple[str, ...]:
        """What is too large, and by how much; empty if all fits."""
        return tuple(
            f"{name} must be at most {has:,}, not {'about ' * (name == CELLS)}{need:,}"
            for name, (need, has) in self.needs.items()
            if need > has
        )


@dataclass(frozen=True, slots=True)
class Weights:
    """LUTs and registers for each of :data:`~spikewright.boards.structure.FEATURES`."""

    luts: tuple[float, ...]
    registers: tuple[float, ...]


def measured_area(family: Family, cells: Mapping[str, int]) -> Area:
    """The area of what yosys left, given its cells by kind."""
    count = cells.get
    luts = sum(size * count(name, 0) for name, size in _LUTS[family].items())
    if family == "ice40":
        registers = sum(n for name, n in cells.items() if name.startswith("SB_DFF"))
        rams = count("SB_RAM40_4K", 0)
        return Area(luts, registers, rams, count("SB_MAC16", 0), count("SB_SPRAM256KA", 0))
    if family == "ecp5":
        return Area(luts, count("TRELLIS_FF", 0), count("DP16KD", 0), count("MULT18X18D", 0))
    if family == "gowin":
        registers = sum(n for name, n in cells.items() if name.startswith("DFF"))
        rams = sum(count(name, 0) for name in ("SP", "SPX9", "SDPB", "SDPX9B", "DPB", "DPX9B"))
        return Area(luts, registers, rams, count("MULT18X18", 0) + count("MULT9X9", 0))
    registers = sum(count(name, 0) for name in ("FDRE", "FDSE", "FDCE", "FDPE"))
    rams = count("RAMB18E1", 0) + 2 * count("RAMB36E1", 0)
    return Area(luts, registers, rams, count("DSP48E1", 0))


def fit_weights(structures: list[Structure], areas: list[Area]) -> Weights:
    """The weights that are least wrong, as a share, about designs that were measured."""
    features = np.array([[s.features[name] for name in FEATURES] for s in structures], float)

    def fit(values: list[int]) -> tuple[float, ...]:
        relative = features / np.array(values, float)[:, None]
        solution, _ = scipy.optimize.nnls(relative, np.ones(len(values)))
        return tuple(float(weight) for weight in solution)

    return Weights(fit([area.luts for area in areas]), fit([area.registers for area in areas]))


@cache
def weights_of(family: Family) -> Weights:
    """The weights of a family, from ``calibration.json``."""
    found: list[dict[str, Any]] = json.loads(CALIBRATION.read_text())[family]
    structures = [Structure(entry["features"], (), ()) for entry in found]
    return fit_weights(structures, [Area(**entry["area"]) for entry in found])


def estimate_area(family: Family, structure: Structure, weights: Weights) -> Area:
    """The area that a design will have."""
    features = np.array([structure.features[name] for name in FEATURES], float)
    blocks = [_block_rams(family, memory) for memory in structure.memories]
    products = sum(min(widths) >= _LEAST_FACTOR[family] for widths in structure.products)
    large = [_pieces(memory, _LARGE) for memory in structure.memories if _is_large(family, memory)]
    return Area(
        luts=round(float(features @ weights.luts)),
        registers=round(float(features @ weights.registers)),
        block_rams=sum(blocks),
        multipliers=products,
        large_rams=sum(large),
    )


def _is_large(family: Family, memory: Memory) -> bool:
    return family == "ice40" and memory.large


def _block_rams(family: Family, memory: Memory) -> int:
    small = memory.width * memory.depth < _LEAST_BLOCK_BITS[family]
    if _is_large(family, memory) or (small and not memory.block):
        return 0
    return min(_pieces(memory, shape) for shape in _BLOCKS[family])


def _pieces(memory: Memory, shape: tuple[int, int]) -> int:
    depth, width = shape
    return -(-memory.depth // depth) * -(-memory.width // width)


def estimate(board: Board, spec: CoreSpec) -> Estimate:
    """What a core would take on a board; its RTL is elaborated, not synthesized.

    Raises
    ------
    SpecError
        The board's link cannot carry the spec, or there is no RTL of it.
    """
    from .design import BoardDesign

    part = board.part
    structure = structure_of(to_rtlil(BoardDesign(board, spec), name="top"))
    area = estimate_area(part.family, structure, weights_of(part.family))
    return Estimate(area, needs_of(part, area), _CLOCKS_HZ[part.family])


def needs_of(part: Part, area: Area) -> dict[str, tuple[int, int]]:
    """As :attr:`Estimate.needs`."""
    cells = area.luts
    if part.family == "ice40":
        cells += round(_ALONE * area.registers)
    return {
        CELLS: (cells, part.cells),
        "block RAMs": (area.block_rams, part.block_rams),
        "multipliers": (area.multipliers, part.multipliers),
        "large RAMs": (area.large_rams, part.large_rams),
    }
