"""What each board answers as over USB, and how openFPGALoader writes to it."""

import re
from dataclasses import dataclass
from typing import Literal

from spikewright.errors import SpecError

__all__ = ["BRIDGES", "Bridge", "Memory", "find_bridge", "likely_boards", "udev_rules"]

Memory = Literal["sram", "flash"]


@dataclass(frozen=True, slots=True)
class Bridge:
    """The USB side of a board.

    Attributes
    ----------
    board : str
        The board's name.
    vid, pid : int
        USB vendor and product.
    product : str
        Regular expression that the start of its USB product string matches; several boards share
        ``vid`` and ``pid``.
    loader : str
        The board's name for openFPGALoader.
    suffix : str
        Of its bitstreams.
    uart : int or None
        USB interface that is the UART to the FPGA; None if the board has none of its own.
    memories : tuple of {"sram", "flash"}
        What openFPGALoader writes to over this bridge, the usual one first.
    selectable : bool
        Whether openFPGALoader can be told which one of several to take.
    """

    board: str
    vid: int
    pid: int
    product: str
    loader: str
    suffix: str
    uart: int | None = 1
    memories: tuple[Memory, ...] = ("sram", "flash")
    selectable: bool = True

    @property
    def usb_id(self) -> str:
        """``VID:PID``, as lsusb writes it."""
        return f"{self.vid:04x}:{self.pid:04x}"


_DIGILENT = r"Digilent (Adept )?USB Device"

# Sources. Names for openFPGALoader: `openFPGALoader --list-boards` of 1.1.1. VID:PID and products:
# FPGAwars/apio-definitions, definitions/boards.jsonc (iCEBreaker, OrangeCrab, Digilent, and IDs of
# all); the cables of fujprog and ftx_prog calls of emard/ulx3s (ULX3S); `lsusb -v` of a Tang Nano
# 9K at sinby.com/posts/2023/05170.html. An FT2232H whose EEPROM is empty says "Dual RS232-HS".
# Interface 0 of an FT2232H is JTAG or SPI, as openFPGALoader's cables have it, and 1 the UART.
_ALL = (
    # As delivered its FT2232H reaches the flash memory; SRAM takes other jumpers (the board's
    # README), and amaranth-boards and apio write flash memory.
    Bridge(
        *("icebreaker", 0x0403, 0x6010, r"iCEBreaker|Dual RS232-HS", "ice40_generic", ".bin"),
        memories=("flash", "sram"),
    ),
    Bridge("ulx3s-12f", 0x0403, 0x6015, r"ULX3S FPGA 12K", "ulx3s", ".bit", uart=0),
    Bridge("ulx3s-85f", 0x0403, 0x6015, r"ULX3S FPGA 85K", "ulx3s", ".bit", uart=0),
    # Only while its bootloader runs (plug it in with the button held), which writes flash memory.
    Bridge(
        *("orangecrab-25f", 0x1209, 0x5AF0, r"OrangeCrab", "orangeCrab", ".bit"),
        uart=None,
        memories=("flash",),
        selectable=False,
    ),
    Bridge("tangnano9k", 0x0403, 0x6010, r"JTAG Debugger", "tangnano9k", ".fs"),
    Bridge("cmod-a7-35t", 0x0403, 0x6010, _DIGILENT, "cmoda7_35t", ".bit"),
    Bridge("arty-a7-35t", 0x0403, 0x6010, _DIGILENT, "arty_a7_35t", ".bit"),
    Bridge("arty-a7-100t", 0x0403, 0x6010, _DIGILENT, "arty_a7_100t", ".bit"),
    Bridge("basys3", 0x0403, 0x6010, _DIGILENT, "basys3", ".bit"),
)
BRIDGES = {bridge.board: bridge for bridge in _ALL}
"""By the board's name."""


def find_bridge(board: str) -> Bridge:
    """The bridge of a board. Raises :class:`SpecError` with the names that there are."""
    if board not in BRIDGES:
        raise SpecError(f"There is no board {board!r}.", hint=f"Boards: {', '.join(BRIDGES)}.")
    return BRIDGES[board]


def likely_boards(vid: int | None, pid: int | None, product: str | None) -> tuple[str, ...]:
    """Names of the boards that a USB device may be.

    Those whose product string it has; if it has none of theirs, all that share its VID:PID.
    """
    shared = [bridge for bridge in _ALL if (bridge.vid, bridge.pid) == (vid, pid)]
    named = [bridge for bridge in shared if re.match(bridge.product, product or "")]
    return tuple(bridge.board for bridge in named or shared)


def udev_rules() -> str:
    """Rules by which udev lets whoever is logged in use these bridges, for a file of its own.

    Source: openFPGALoader's ``99-openfpgaloader.rules``. The file's number has to be below 73,
    that of the rules which act on ``uaccess``.
    """
    head = "# Boards that spikewright knows, for who is logged in; programming also for plugdev."
    lines = []
    for vid, pid in sorted({(bridge.vid, bridge.pid) for bridge in _ALL}):
        ids = f'ATTRS{{idVendor}}=="{vid:04x}", ATTRS{{idProduct}}=="{pid:04x}"'
        lines.append(f'SUBSYSTEM=="usb", {ids}, MODE="660", GROUP="plugdev", TAG+="uaccess"')
        lines.append(f'SUBSYSTEM=="tty", {ids}, TAG+="uaccess"')
    return "\n".join([head, *lines])
