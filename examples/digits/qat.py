"""Accuracy at few bits, over several trainings: ``make accuracy``.

Each seed trains the network in float, rounds it, and at 3 and 2 bits goes on training it through
the integers. What is counted is always what the golden model reads of the image.
"""

import sys
import time
from dataclasses import replace
from functools import partial
from typing import Any

import nir
import numpy as np
import torch
from data import Digits, encode, load
from model import classify
from rich.console import Console
from seeds import Row, accuracy, golden_run
from train import DT, Settings, evaluate, fit, to_nir, train

from spikewright.compiler import CompileOptions
from spikewright.compiler.qat import IntegerNetwork
from spikewright.image import CoreImage

__all__ = ["ROUNDED", "ROW", "TRAINED", "measure", "rounded"]

ROUNDED = {8: 100.0, 4: 97.0, 3: 95.0, 2: 80.0}
TRAINED = {3: 95.0, 2: 70.0}
"""By weight bits, the percentile of the weights that a scale covers, best by validation inside the
training images: for rounding what was trained in float, and for training on through the integers.
"""

EPOCHS, LEARNING_RATE = 15, 0.01
"""Of the training through the integers."""

ROW = Row(
    key="digits",
    bars={
        "8 bit rounded": -0.002,
        "4 bit rounded": -0.005,
        "3 bit trained": 0.97,
        "2 bit trained": 0.95,
    },
    seeds=10,
    settings={"percentile": {"rounded": ROUNDED, "trained": TRAINED}},
)


def rounded(
    graph: nir.NIRGraph, bits: int, percentile: float, digits: Digits, slope: float
) -> IntegerNetwork:
    """Round a trained network to so many weight bits, its biases corrected on these images."""
    options = CompileOptions(
        dt=DT, reset="zero", reset_delay=False, weight_bits=bits, percentile=percentile
    )
    module = IntegerNetwork(graph, options, slope=slope)
    module.correct_bias(torch.from_numpy(encode(digits.pixels)))
    return module


def _output_of(module: IntegerNetwork, spikes: torch.Tensor) -> torch.Tensor:
    """The output layer's spikes, to train on."""
    output: torch.Tensor = module(spikes).spikes["output"]
    return output


def _differences(module: IntegerNetwork, image: CoreImage, digits: Digits) -> int:
    """Spikes and potentials in which a module and the golden model differ."""
    golden = golden_run(image, digits)
    with torch.no_grad():
        run = module(torch.from_numpy(encode(digits.pixels)))
    found = 0
    for population in image.manifest.populations:
        for theirs, ours in ((golden.spikes, run.spikes), (golden.v, run.v)):
            if theirs is not None:
                found += int(np.sum(theirs[..., population.index] != ours[population.name].numpy()))
    return found


def measure(seed: int, quick: bool = False) -> dict[str, Any]:
    """Train with one seed and measure every number of bits on the test images.

    Parameters
    ----------
    seed : int
    quick : bool
        One epoch of everything: to see that it runs.
    """
    torch.set_num_threads(1)
    started = time.perf_counter()
    console = Console(quiet=True)
    training, test = load()
    settings = Settings(seed=seed)
    tuning = replace(settings, epochs=EPOCHS, learning_rate=LEARNING_RATE, weight_decay=0.0)
    if quick:
        settings, tuning = (replace(each, epochs=1) for each in (settings, tuning))
    network = train(training, settings, console).eval()
    graph = to_nir(network)
    found: dict[str, Any] = {
        "float": float((classify(evaluate(network, test).output) == test.labels).mean())
    }
    differences = 0
    for bits, percentile in ROUNDED.items():
        module = rounded(graph, bits, percentile, training, settings.slope)
        found[f"{bits} bit rounded"] = accuracy(module.to_image(), test)
    for bits, percentile in TRAINED.items():
        module = rounded(graph, bits, percentile, training, settings.slope)
        fit(module, partial(_output_of, module), training, tuning, console)
        image = module.to_image()
        found[f"{bits} bit trained"] = accuracy(image, test)
        differences += _differences(module, image, test)
    seconds = round(time.perf_counter() - started, 1)
    return {"seed": seed, "accuracy": found, "differences": differences, "seconds": seconds}


if __name__ == "__main__":
    sys.exit(ROW.command(measure, __doc__))
