"""What a board is: its part, its pins, and the core that it carries unless told otherwise."""

from dataclasses import dataclass
from typing import Literal

from spikewright.frames import LinkSpec, payload_needed
from spikewright.spec import CoreSpec

__all__ = ["PARTS", "Board", "Family", "Led", "Part"]

Family = Literal["ice40", "ecp5", "gowin", "xc7"]


@dataclass(frozen=True, slots=True)
class Part:
    """An FPGA and what it holds.

    Attributes
    ----------
    family : {"ice40", "ecp5", "gowin", "xc7"}
    device : str
        As its tools name it.
    cells : int
        Logic cells: a LUT and a flip-flop each; LUTs of 6 inputs on ``xc7``, of 4 elsewhere.
    block_rams : int
        SB_RAM40_4K, DP16KD, BSRAM or RAMB18: 4 kbit on ``ice40``, 18 kbit elsewhere.
    multipliers : int
        SB_MAC16, MULT18X18 or DSP48.
    large_rams : int
        Single-port memories of 256 kbit, on ``ice40`` alone.
    """

    family: Family
    device: str
    cells: int
    block_rams: int
    multipliers: int
    large_rams: int = 0


PARTS = {
    part.device: part
    for part in (
        Part("ice40", "up5k", 5280, 30, 8, 4),
        Part("ecp5", "12k", 24288, 56, 28),  # the same die as the 25k
        Part("ecp5", "25k", 24288, 56, 28),
        Part("ecp5", "85k", 83640, 208, 156),
        Part("gowin", "GW1N-9C", 8640, 26, 20),
        Part("xc7", "xc7a35t", 20800, 100, 90),
        Part("xc7", "xc7a100t", 63400, 270, 240),
    )
}
"""By device. Source: the reports of nextpnr; for xc7 Xilinx DS180, table 4."""


@dataclass(frozen=True, slots=True)
class Led:
    """A light: its pin, and whether a low level lights it."""

    pin: str
    inverted: bool = False


@dataclass(frozen=True, slots=True)
class Board:
    """One board.

    Attributes
    ----------
    name, title : str
        As on the command line, and in full.
    device : str
        Of :data:`PARTS`.
    package, speed : str
        As the tools name them; on ``xc7`` what follows the device in the part's name.
    clock_pin, rx, tx : str
        Pins of the oscillator and of the UART, ``rx`` toward the FPGA.
    image_valid, active : Led
        Lit while the core holds a whole image, and while something is going on.
    oscillator_hz, core_hz : int
        Clock at the pin, and of the core: by a PLL where they differ.
    io_standard : str
        Of all pins, as the tools name it.
    spec : CoreSpec
        The core that is built unless told otherwise.
    baud_hz : int
        Line rate of the link.
    max_payload, window : int
        As of :class:`~spikewright.frames.LinkSpec`, as large as the part affords.
    seeds : tuple of int
        Of the placer, in the order in which they are tried until the clock is met.
    """

    name: str
    title: str
    device: str
    package: str
    speed: str
    clock_pin: str
    rx: str
    tx: str
    image_valid: Led
    active: Led
    oscillator_hz: int
    core_hz: int
    io_standard: str
    spec: CoreSpec
    baud_hz: int = LinkSpec.baud_hz
    max_payload: int = LinkSpec.max_payload
    window: int = LinkSpec.window
    seeds: tuple[int, ...] = (1, 2, 3)

    @property
    def part(self) -> Part:
        """The FPGA."""
        return PARTS[self.device]

    @property
    def pins(self) -> dict[str, str]:
        """Pin of each port of :class:`~spikewright.boards.design.BoardDesign`."""
        return {
            "clk": self.clock_pin,
            "rx": self.rx,
            "tx": self.tx,
            "image_valid": self.image_valid.pin,
            "active": self.active.pin,
        }

    def link(self, spec: CoreSpec) -> LinkSpec:
        """The link of a core on this board: payloads long enough for a record of the spec."""
        longest = max(self.max_payload, 1 << (payload_needed(spec) - 1).bit_length())
        return LinkSpec(self.core_hz, self.baud_hz, longest, self.window)
