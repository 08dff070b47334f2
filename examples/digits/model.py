"""The trained network: where it lies, and what it does in float32, in plain NumPy."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nir
import numpy as np
import numpy.typing as npt

__all__ = ["GRAPH", "HERE", "SEMANTICS", "FloatRun", "classify", "run_float", "semantics"]

HERE = Path(__file__).resolve().parent
GRAPH = HERE / "digits.nir"
SEMANTICS = HERE / "digits.json"
"""What NIR cannot say about the network: timestep, reset, and how a class is read out."""

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class FloatRun:
    """The network in float32.

    Attributes
    ----------
    hidden : bool[images, timesteps, 128]
        Spikes of the hidden layer.
    output : bool[images, timesteps, 10]
        Spikes of the output layer.
    """

    hidden: Bools
    output: Bools


def semantics() -> dict[str, Any]:
    """Read what `train.py` wrote beside the graph."""
    found: dict[str, Any] = json.loads(SEMANTICS.read_text())
    return found


def run_float(spikes: Bools, graph: nir.NIRGraph, dt: float) -> FloatRun:
    """Run the graph as snnTorch trained it: forward Euler, reset to zero in the same timestep.

    Parameters
    ----------
    spikes : bool[images, timesteps, 64]
        Input spikes.
    graph : nir.NIRGraph
        Affine, LIF, Affine, LIF in nodes ``fc1``, ``hidden``, ``fc2``, ``output``.
    dt : float
        Timestep [s].
    """
    hidden = _layer(spikes, graph.nodes["fc1"], graph.nodes["hidden"], dt)
    return FloatRun(hidden, _layer(hidden, graph.nodes["fc2"], graph.nodes["output"], dt))


def _layer(spikes: Bools, affine: nir.Affine, lif: nir.LIF, dt: float) -> Bools:
    """``v = v + dt / tau (r i - v)``; above the threshold a spike, and v = v_reset."""
    current = spikes.astype(np.float32) @ affine.weight.T + affine.bias
    rate = (dt / lif.tau).astype(np.float32)
    decay, gain = np.float32(1) - rate, rate * lif.r.astype(np.float32)
    v = np.zeros_like(current[:, 0])
    fired = np.empty(current.shape, np.bool_)
    for t in range(current.shape[1]):
        v = decay * v + gain * current[:, t]
        fired[:, t] = v > lif.v_threshold
        v = np.where(fired[:, t], lif.v_reset.astype(np.float32), v)
    return fired


def classify(output: Bools) -> npt.NDArray[np.int64]:
    """Read out the digit: the output neuron with the most spikes, of a tie the lowest.

    Parameters
    ----------
    output : bool[images, timesteps, 10]
    """
    read: npt.NDArray[np.int64] = output.sum(axis=1).argmax(axis=1)
    return read
