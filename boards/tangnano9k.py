"""Sipeed Tang Nano 9K: Gowin GW1NR-9C. Pins as in amaranth-boards (BSD-2-Clause)."""

from spikewright.spec import CoreSpec

from .board import Board, Led

__all__ = ["TANGNANO9K"]

TANGNANO9K = Board(
    name="tangnano9k",
    title="Tang Nano 9K, Gowin GW1NR-9C",
    device="GW1N-9C",
    package="GW1NR-LV9QN88PC6/I5",
    speed="",
    clock_pin="52",
    rx="18",
    tx="17",
    image_valid=Led("10", inverted=True),
    active=Led("11", inverted=True),
    oscillator_hz=27_000_000,
    core_hz=27_000_000,
    io_standard="LVCMOS33",
    spec=CoreSpec(
        axons=128,
        neurons=128,
        lanes=2,
        weight_words=8192,
        state_bits=16,
        synapse_current=False,
    ),
    max_payload=64,
    window=2,
)
