"""Cores with a name: specifications that others have asked for."""

from spikewright.spec import CoreSpec

__all__ = ["PRESETS"]

PRESETS = {
    "neurocorex": CoreSpec(
        axons=96,
        neurons=96,
        lanes=8,
        update_cycles=4,
        weight_bits=8,
        state_bits=16,
        fraction_bits=4,
        plasticity="window",
        trace_bits=8,
        trace_fraction_bits=0,
        paired_rows=True,
    ),
}
"""``neurocorex``: what NeuroCoreX builds: 96 axons and 96 neurons all to all, 8-bit weights, a
synaptic current, STDP in rectangular windows of up to 255 timesteps, a plastic bit a synapse.

Source: A. Gautam et al., "NeuroCoreX: An Open-Source FPGA-Based Spiking Neural Network Emulator
with On-Chip Learning", arXiv 2506.14138 (2025).
"""
