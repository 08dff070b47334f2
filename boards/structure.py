"""What a design is made of before synthesis: its operators, registers and memories."""

import re
from collections import Counter
from dataclasses import dataclass

__all__ = ["FEATURES", "LEAST_BLOCK_BITS", "Memory", "Structure", "structure_of"]

FEATURES = (
    "one",
    "arithmetic",
    "comparison",
    "choice",
    "logic",
    "shift",
    "product",
    "register",
    "storage",
)
"""What LUTs are counted by: ``one`` is 1, the others are bits; a shift counts its bits once for
each bit of the amount, but a choice of a part its whole, a product the bits of one factor for each
of the other. By a constant, both count nothing. ``storage`` is bits of memories that are too small
for any block RAM."""
LEAST_BLOCK_BITS = 128
"""Bits from which on a memory gets a block RAM, on the family that gives them first."""

_SHIFTS = ("shl", "shr", "sshr", "shift", "shiftx")
_KINDS = {
    **dict.fromkeys(("add", "sub", "neg"), "arithmetic"),
    **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge"), "comparison"),
    **dict.fromkeys(("and", "or", "xor", "not"), "logic"),
    **dict.fromkeys(("reduce_and", "reduce_or", "reduce_xor", "reduce_bool"), "logic"),
    **dict.fromkeys(_SHIFTS, "shift"),
    "mux": "choice",
    "mul": "product",
    "dff": "register",
}
_CELL = re.compile(r"^  cell \$(\w+) .*\n((?:    .*\n)*)", re.MULTILINE)
_CONSTANT = {
    "mul": re.compile(r"^    connect \\[AB] \d+'", re.MULTILINE),
    **dict.fromkeys(_SHIFTS, re.compile(r"^    connect \\B \d+'", re.MULTILINE)),
}
_PARAMETER = re.compile(r"\\(\w+) (\d+)$", re.MULTILINE)
_MEMORY = re.compile(
    r"^((?:  attribute .*\n)*)  memory width (\d+) size (\d+) \\(\S+)", re.MULTILINE
)
_PROCESS = re.compile(r"^  process [^\n]*\n(.*?)^  end$", re.MULTILINE | re.DOTALL)
_ASSIGN = re.compile(r" *assign \S+ \[(\d+)(?::(\d+))?\] ")


@dataclass(frozen=True, slots=True)
class Memory:
    """A memory: ``block`` asks for block RAM, ``large`` for one with a single port."""

    width: int
    depth: int
    block: bool
    large: bool


@dataclass(frozen=True, slots=True)
class Structure:
    """What a design is made of.

    Attributes
    ----------
    features : dict of str to int
        Of :data:`FEATURES`.
    memories : tuple of Memory
    products : tuple of (int, int)
        Widths of the factors of each multiplication by something that is not constant.
    """

    features: dict[str, int]
    memories: tuple[Memory, ...]
    products: tuple[tuple[int, int], ...]


def structure_of(rtlil: str) -> Structure:
    """Count what :func:`~spikewright.hdl.emit.to_rtlil` gave."""
    counts: Counter[str] = Counter(one=1)
    products = []
    for name, text in _CELL.findall(rtlil):
        if name not in _KINDS:
            continue
        widths = {key: int(value) for key, value in _PARAMETER.findall(text)}
        if name in _CONSTANT and _CONSTANT[name].search(text):
            continue  # wiring, or what no multiplier is needed for
        a, b = widths.get("A_WIDTH", 1), widths.get("B_WIDTH", 1)
        bits = widths.get("WIDTH") or widths.get("Y_WIDTH", 1)
        if name == "mul":
            products.append((a, b))
        counts[_KINDS[name]] += {
            "mul": a * b,
            **dict.fromkeys(_SHIFTS, bits * b),
            **dict.fromkeys(("shift", "shiftx"), a),
            **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge"), max(a, b)),
            **dict.fromkeys(("reduce_and", "reduce_or", "reduce_xor", "reduce_bool"), a),
        }.get(name, bits)
    counts["choice"] += sum(map(_chosen, _PROCESS.findall(rtlil)))
    memories = tuple(
        Memory(int(width), int(depth), "block" in attributes, "single_port" in attributes)
        for attributes, width, depth, _ in _MEMORY.findall(rtlil)
    )
    sizes = [memory.width * memory.depth for memory in memories if not memory.block]
    counts["storage"] = sum(size for size in sizes if size < LEAST_BLOCK_BITS)
    features = {name: counts[name] for name in FEATURES}
    return Structure(features, memories, tuple(products))


def _chosen(process: str) -> int:
    """Bits that a process assigns under conditions, but for those of a reset, which are free."""
    bits = 0
    switches: list[bool] = []
    for line in process.splitlines():
        text = line.strip()
        if text.startswith("switch"):
            switches.append("\\rst" in text)
        elif text == "end":
            switches.pop()
        elif switches and not switches[-1] and (match := _ASSIGN.match(line)):
            bits += 1 + abs(int(match[1]) - int(match[2] or match[1]))
    return bits
