"""Digilent Arty A7 with a 35T or a 100T. Pins as in amaranth-boards (BSD-2-Clause)."""

from dataclasses import replace

from spikewright.spec import CoreSpec

from .board import Board, Led

__all__ = ["ARTY_A7_35T", "ARTY_A7_100T"]

ARTY_A7_35T = Board(
    name="arty-a7-35t",
    title="Arty A7-35T, Artix-7 XC7A35T",
    device="xc7a35t",
    package="icsg324",
    speed="1L",
    clock_pin="E3",
    rx="A9",
    tx="D10",
    image_valid=Led("H5"),
    active=Led("J5"),
    oscillator_hz=100_000_000,
    core_hz=100_000_000,
    io_standard="LVCMOS33",
    spec=CoreSpec(axons=256, neurons=256, weight_words=8192),
)

ARTY_A7_100T = replace(
    ARTY_A7_35T,
    name="arty-a7-100t",
    title="Arty A7-100T, Artix-7 XC7A100T",
    device="xc7a100t",
    package="csg324",
    speed="1",
    spec=CoreSpec(axons=512, neurons=1024, weight_words=32768),
)
