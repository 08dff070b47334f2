"""Digilent Basys 3. Pins: Digilent's Basys-3-Master.xdc."""

from spikewright.spec import CoreSpec

from .board import Board, Led

__all__ = ["BASYS3"]

BASYS3 = Board(
    name="basys3",
    title="Basys 3, Artix-7 XC7A35T",
    device="xc7a35t",
    package="cpg236",
    speed="1",
    clock_pin="W5",
    rx="B18",
    tx="A18",
    image_valid=Led("U16"),
    active=Led("E19"),
    oscillator_hz=100_000_000,
    core_hz=100_000_000,
    io_standard="LVCMOS33",
    spec=CoreSpec(axons=256, neurons=256, weight_words=8192),
)
