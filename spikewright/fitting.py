"""A network fitted to a board: to the core that it carries, or to one that it has room for."""

from collections.abc import Callable
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

    cycles = spec.update_cycles * 2
    while cycles <= spec.lanes:
        if _fits(board, replace(spec, update_cycles=cycles)):
            return f"A core with update_cycles={cycles} would do: --update-cycles {cycles}."
        cycles *= 2
    lanes = spec.lanes // 2
    while lanes:
        words = spec.weight_words * spec.lanes // lanes
        narrow = replace(spec, lanes=lanes, update_cycles=lanes, weight_words=words)
        if _fits(board, narrow):
            return (
                f"A core with lanes={lanes} and update_cycles={lanes} would do: "
                f"--lanes {lanes} --update-cycles {lanes}."
            )
        lanes //= 2
    others = (other for other in BOARDS.values() if other.name != board.name)
    larger = next((other.name for other in others if _fits(other, spec)), None)
    if larger is None:
        return "It fits no board: make the network smaller, or split it."
    return f"It would fit another board: --board {larger}."


def _fits(board: "Board", spec: CoreSpec) -> bool:
    from spikewright.boards.estimate import estimate

    try:
        return not estimate(board, spec).reasons
    except SpecError:
        return False
