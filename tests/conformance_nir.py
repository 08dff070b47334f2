"""NIR graphs of others compiled here, and what other simulators recorded; see conformance/."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from conformance import conformance_file

from spikewright.compiler import CompileOptions, compile_network
from spikewright.image import CoreImage

Bools = npt.NDArray[np.bool_]

BRAILLE = {"bias_zero": "zero", "noBias_subtract": "subtract"}
"""The Braille networks by name, and how their neurons reset."""


@dataclass(frozen=True)
class Recording:
    """A compiled network, its input, and the spikes that another simulator recorded.

    ``axon_spikes`` are ``[timesteps, axons]``; ``expected`` ``[timesteps, n]``, of the neurons
    ``where``.
    """

    image: CoreImage
    axon_spikes: Bools
    expected: Bools
    where: slice

    def mismatches(self, spikes: Bools) -> int:
        """Entries of ``[timesteps, neurons]`` that differ from the recording."""
        return int((spikes[:, self.where] != self.expected).sum())


def norse_lif(**formats: Any) -> Recording:
    """NIR's single LIF neuron as Norse ran it, dt = 1e-4 s; default formats: 8-bit weights."""
    table = np.loadtxt(conformance_file("lif/lif_norse.csv"), delimiter=",")
    options = CompileOptions(dt=1e-4, reset="zero", reset_delay=False, **formats)
    spikes = table[:, :1] > 0
    image = compile_network(
        conformance_file("lif/lif_norse.nir"), options, calibration=spikes[None]
    )
    return Recording(image, spikes, table[:, 2:] > 0, image.population("1").slice)


def braille_file(name: str) -> Path:
    """The NIR file of a Braille network."""
    return conformance_file(f"braille/braille_noDelay_{name}.nir")


def braille(name: str, **formats: Any) -> Recording:
    """A recurrent Braille network with its hidden layer as snnTorch ran it.

    Default formats: 12-bit weights, 24-bit state.
    """
    formats = {"weight_bits": 12, "state_bits": 24, "fraction_bits": 8} | formats
    reset: Any = BRAILLE[name]
    options = CompileOptions(dt=1e-4, reset=reset, reset_delay=False, **formats)
    spikes = np.load(conformance_file("braille/braille_input_256x12.npy")) > 0
    hidden = np.load(conformance_file(f"braille/snntorch_activity_noDelay_{name}.npy")) > 0
    image = compile_network(braille_file(name), options, calibration=spikes[None])
    return Recording(image, spikes, hidden, image.population("lif1.lif").slice)
