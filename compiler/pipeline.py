"""From a NIR file or graph to a core image: the passes in order."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spikewright.image import CoreImage
from spikewright.spec import CoreSpec

from .options import CompileOptions

if TYPE_CHECKING:
    import nir

__all__ = ["compile_network"]


def compile_network(
    source: "Path | str | nir.NIRGraph",
    options: CompileOptions | None = None,
    *,
    spec: CoreSpec | None = None,
    calibration: npt.NDArray[np.bool_] | None = None,
) -> CoreImage:
    """Compile a trained network for a core.

    Parameters
    ----------
    source : path, nir.NIRGraph or Network
        A NIR file, a NIR graph, or a graph of :mod:`spikewright.compiler.graph`.
    options : CompileOptions
        Timestep, reset and number formats.
    spec : CoreSpec
        The core to fit; by default the smallest that holds the network.
    calibration : bool[samples, timesteps, inputs]
        Input spikes to measure saturation, silent neurons and accumulators with, on the golden
        model; what they show is in the image's report.

    Returns
    -------
    CoreImage
        With the resolved semantics, the scales and the report in its manifest.

    Raises
    ------
    ModelError
        A file that cannot be read, a graph that is not valid or not clear without an option that
        was not given, or a network too large for the spec; names the node, limit and remedy.
    """
    raise NotImplementedError
