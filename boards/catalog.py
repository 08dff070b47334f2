"""All boards, by name."""

from spikewright.errors import SpecError

from .arty_a7 import ARTY_A7_35T, ARTY_A7_100T
from .basys3 import BASYS3
from .board import Board
from .cmod_a7 import CMOD_A7_35T
from .icebreaker import ICEBREAKER
from .orangecrab import ORANGECRAB_25F
from .tangnano9k import TANGNANO9K
from .ulx3s import ULX3S_12F, ULX3S_85F

__all__ = ["BOARDS", "find_board"]

BOARDS = {
    board.name: board
    for board in (
        ICEBREAKER,
        ULX3S_12F,
        ULX3S_85F,
        ORANGECRAB_25F,
        TANGNANO9K,
        CMOD_A7_35T,
        ARTY_A7_35T,
        ARTY_A7_100T,
        BASYS3,
    )
}


def find_board(name: str) -> Board:
    """The board of that name. Raises :class:`SpecError` with the names that there are."""
    if name not in BOARDS:
        raise SpecError(f"There is no board {name!r}.", hint=f"Boards: {', '.join(BOARDS)}.")
    return BOARDS[name]
