"""A network fitted to a board: to the core that it carries, or to one that it has room for."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from spikewright.errors import ModelError, SpecError
from spikewright.spec import CoreSpec

if TYPE_CHECKING:
    from spikewright.boards.board import Board
    from spikewright.compiler import CompileOptions
    from spikewright.image import CoreImage

__all__ = ["compile_for_board"]

Make = Callable[["CompileOptions", CoreSpec | None], "CoreImage"]
_FORMATS = ("weight_bits", "state_bits", "fraction_bits", "lanes", "update_cycles")


def compile_for_board(board: "Board", options: "CompileOptions", make: Make) -> "CoreImage":
    """Compile for the core that a board carries, or else for the smallest that holds the network.

    Parameters
    ----------
    board : Board
    options : CompileOptions
        Number formats that it leaves open are those of the board's core.
    make : callable
        Compiles with options, for a spec or for the smallest one.

    Raises
    ------
    ModelError
        The network cannot be read or rounded, or no core that holds it fits the board's part: with
        what is too large, by how much, and what would do.
    """
    try:
        return make(options, board.spec)
    except ModelError as refused:
        formats = {
            name: getattr(board.spec, name) for name in _FORMATS if getattr(options, name) is None
        }
        if "update_cycles" in formats and options.lanes:
            formats["update_cycles"] = min(board.spec.update_cycles, options.lanes)
        try:
            image = make(replace(options, **formats), None)
        except ModelError:
            raise refused from None
    _check_room(board, image.spec)
    return image


def _check_room(board: "Board", spec: CoreSpec) -> None:
    from spikewright.boards.estimate import estimate

    reasons = estimate(board, spec).reasons
    if reasons:
        raise ModelError(
            f"Network is too large for {board.name}:", reasons=reasons, hint=_remedy(board, spec)
        )


def _remedy(board: "Board", spec: CoreSpec) -> str:
    """What would do: fewer neurons updated at once, fewer lanes, or another board."""
    from spikewright.boards.catalog import BOARDS

    for lanes, (*fewer, smallest) in _narrower(spec):
        if _fits(board, spec, lanes, smallest):
            cycles = next((one for one in fewer if _fits(board, spec, lanes, one)), smallest)
            same = lanes == spec.lanes
            named = ("" if same else f"lanes={lanes} and ") + f"update_cycles={cycles}"
            typed = ("" if same else f"--lanes {lanes} ") + f"--update-cycles {cycles}"
            return f"A core with {named} would do: {typed}."
    own = spec.lanes, spec.update_cycles
    others = (other for other in BOARDS.values() if other.name != board.name)
    larger = next((other.name for other in others if _fits(other, spec, *own)), None)
    if larger is None:
        return "It fits no board: make the network smaller, or split it."
    return f"It would fit another board: --board {larger}."


def _narrower(spec: CoreSpec) -> Iterator[tuple[int, list[int]]]:
    """Lanes of smaller cores, most first, and with each the update cycles, fewest first."""
    lanes, least = spec.lanes, 2 * spec.update_cycles
    while lanes:
        cycles = [1 << k for k in range(lanes.bit_length()) if 1 << k >= least]
        if cycles:
            yield lanes, cycles
        lanes, least = lanes // 2, 1


def _fits(board: "Board", spec: CoreSpec, lanes: int, cycles: int) -> bool:
    """Whether the part has room for such a core with these lanes and update cycles."""
    from spikewright.boards.estimate import estimate

    words = 0 if spec.paired_rows else spec.weight_words * spec.lanes // lanes
    try:
        core = replace(spec, lanes=lanes, update_cycles=cycles, weight_words=words)
        return not estimate(board, core).reasons
    except SpecError:
        return False
