"""Where the block RAMs of a core stand on a large ECP5: in rows, as data pass them.

Left to itself the placer puts each where it finds one free, anywhere on the part, and the wires
between them are then most of every long path.
"""

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path

__all__ = ["FLOORPLANNED", "floorplan", "place_block_rams"]

FLOORPLANNED = ("85k",)
"""The devices that it is for."""

_COLUMNS = tuple(
    x + 2 * k for x in (4, 13, 22, 31, 40, 49, 58, 69, 78, 87, 96, 105, 114) for k in range(4)
)
_LINK, _CORE, _NEURONS, _SPARE = 22, 46, 70, 82
"""X and Y of the block RAMs of an LFE5U-85F: four rows of 13 times 4. Source: the names that
nextpnr 0.11 gives their sites."""

_LINES = {
    _LINK: ("decoder.encoder.ring", "receiver.", "transmitter."),
    _CORE: (
        "core.rows.descriptors",
        "core.rows.traces",
        "core.rows.groups",
        "core.accumulators.",
        "core.pending.",
        "core.plasticity.",
        "decoder.encoder.groups",
    ),
    _NEURONS: ("core.neurons.", "core.traces."),
}
"""What stands in the middle of a row, from left to right."""

_WEIGHTS = "core.rows.weights"

_Memories = dict[str, list[str]]
"""The cells of each memory."""


def floorplan(cells: Iterable[str]) -> dict[str, str]:
    """A site for each block RAM of :class:`~spikewright.boards.design.BoardDesign`.

    Link, core and neurons have a row each. Lanes stand side by side, those next to each other that
    have the same bank of weights; the weights are outside, bank after bank.

    Parameters
    ----------
    cells : iterable of str
        Their names, as synthesis gives them.

    Returns
    -------
    dict
        Site by name. What it does not know is the placer's, and so are weights that find no room;
        everything is, if one of the rows is too short.
    """
    memories: _Memories = {}
    for cell in sorted(cells, key=_natural):
        # Amaranth tells those of equal names apart by a `$` and a number.
        memory = re.sub(r"(\$\d+)?(\.\d+)*$", "", cell).removeprefix("top.")
        memories.setdefault(memory, []).append(cell)
    banks = [memory for memory in memories if memory.startswith(_WEIGHTS)]
    sites: dict[str, str] = {}
    for row, kinds in _LINES.items():
        line = [memory for kind in kinds for memory in _line(memories, kind, len(banks))]
        names = [cell for memory in line for cell in memories[memory]]
        first = (len(_COLUMNS) - len(names)) // 2
        if first < 0:
            return {}
        sites |= {cell: _site(row, first + k) for k, cell in enumerate(names)}
    left, right = _ends(set(sites.values()))
    half = (len(banks) + 1) // 2
    for side, free in ((banks[:half], left), (banks[half:], right)):
        names = [cell for memory in side for cell in memories[memory]]
        sites |= dict(zip(names, free, strict=False))
    return sites


def _line(memories: _Memories, kind: str, banks: int) -> list[str]:
    """Memories of a kind from left to right, lane by lane; what all share is between them."""
    some = [memory for memory in memories if memory.startswith(kind)]
    lanes = sorted({_lane(memory) for memory in some} - {-1}, key=lambda k: (k % max(1, banks), k))
    middle = len(lanes) / 2 - 0.5
    places = {-1: middle} | {lane: float(place) for place, lane in enumerate(lanes)}
    return sorted(some, key=lambda memory: places[_lane(memory)])


def _ends(taken: set[str]) -> tuple[list[str], list[str]]:
    """Sites left and right of the lines, from the middle outwards."""
    half = len(_COLUMNS) // 2
    sides = (range(half - 1, -1, -1), range(half, len(_COLUMNS)))
    rows = ((_CORE, _LINK), (_SPARE,), (_NEURONS,))
    left, right = ([_site(y, k) for pair in rows for k in side for y in pair] for side in sides)
    return [one for one in left if one not in taken], [one for one in right if one not in taken]


def _site(row: int, column: int) -> str:
    return f"X{_COLUMNS[column]}/Y{row}/EBR{column % 4}"


def _lane(memory: str) -> int:
    """The lane that a memory is of; -1: of all."""
    found = re.search(r"\d+$", memory)
    return int(found[0]) if found else -1


def _natural(name: str) -> list[tuple[str, int]]:
    parts = re.findall(r"(\D*)(\d*)", name)
    return [(text, int(number or -1)) for text, number in parts]


def place_block_rams(path: Path) -> None:
    """Write the sites into a netlist, as Yosys leaves it in JSON."""
    netlist = json.loads(path.read_text())
    cells = netlist["modules"]["top"]["cells"]
    for cell, site in floorplan(c for c in cells if cells[c]["type"] == "DP16KD").items():
        cells[cell]["attributes"]["BEL"] = site
    path.write_text(json.dumps(netlist))


if __name__ == "__main__":
    place_block_rams(Path(sys.argv[1]))
