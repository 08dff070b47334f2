"""1BitSquared iCEBreaker: iCE40 UP5K. Pins as in amaranth-boards (BSD-2-Clause)."""

from spikewright.spec import CoreSpec

from .board import Board, Led

__all__ = ["ICEBREAKER"]

ICEBREAKER = Board(
    name="icebreaker",
    title="iCEBreaker, iCE40 UP5K",
    device="up5k",
    package="sg48",
    speed="",
    clock_pin="35",
    rx="6",
    tx="9",
    image_valid=Led("37", inverted=True),
    active=Led("11", inverted=True),
    oscillator_hz=12_000_000,
    core_hz=24_000_000,
    io_standard="SB_LVCMOS",
    spec=CoreSpec(
        axons=256,
        neurons=256,
        update_cycles=8,
        weight_words=16384,
        state_bits=12,
        fraction_bits=2,
        refractory_bits=0,
        synapse_current=False,
    ),
    max_payload=64,
    window=2,
)
