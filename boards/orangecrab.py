"""OrangeCrab r0.2 with an ECP5 25F; its UART is on the pins IO0 and IO1, for an adapter.

Pins as in amaranth-boards (BSD-2-Clause).
"""

from spikewright.spec import CoreSpec

from .board import Board, Led

__all__ = ["ORANGECRAB_25F"]

ORANGECRAB_25F = Board(
    name="orangecrab-25f",
    title="OrangeCrab r0.2, ECP5 LFE5U-25F",
    device="25k",
    package="CSFBGA285",
    speed="8",
    clock_pin="A9",
    rx="N17",
    tx="M18",
    image_valid=Led("M3", inverted=True),
    active=Led("J3", inverted=True),
    oscillator_hz=48_000_000,
    core_hz=80_000_000,
    io_standard="LVCMOS33",
    spec=CoreSpec(axons=256, neurons=256, lanes=4, weight_words=8192),
)
