"""Radiona ULX3S with an ECP5 12F or 85F. Pins as in amaranth-boards (BSD-2-Clause)."""

from dataclasses import replace

from spikewright.spec import CoreSpec

from .board import Board, Led

__all__ = ["ULX3S_12F", "ULX3S_85F"]

ULX3S_85F = Board(
    name="ulx3s-85f",
    title="ULX3S, ECP5 LFE5U-85F",
    device="85k",
    package="CABGA381",
    speed="6",
    clock_pin="G2",
    rx="M1",
    tx="L4",
    image_valid=Led("B2"),
    active=Led("C2"),
    oscillator_hz=25_000_000,
    core_hz=100_000_000,
    io_standard="LVCMOS33",
    spec=CoreSpec(axons=512, neurons=1024, weight_words=16384),
)

ULX3S_12F = replace(
    ULX3S_85F,
    name="ulx3s-12f",
    title="ULX3S, ECP5 LFE5U-12F",
    device="12k",
    spec=CoreSpec(axons=256, neurons=256, lanes=4, weight_words=8192),
)
