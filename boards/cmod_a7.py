"""Digilent Cmod A7-35T. Pins as in amaranth-boards (BSD-2-Clause)."""

from spikewright.spec import CoreSpec

from .board import Board, Led

__all__ = ["CMOD_A7_35T"]

CMOD_A7_35T = Board(
    name="cmod-a7-35t",
    title="Cmod A7-35T, Artix-7 XC7A35T",
    device="xc7a35t",
    package="cpg236",
    speed="1",
    clock_pin="L17",
    rx="J17",
    tx="J18",
    image_valid=Led("A17"),
    active=Led("C16"),
    oscillator_hz=12_000_000,
    core_hz=100_000_000,
    io_standard="LVCMOS33",
    spec=CoreSpec(axons=256, neurons=256, weight_words=8192),
)
