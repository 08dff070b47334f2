"""Accuracy at few bits, over several trainings: ``make accuracy``.

Each seed trains the network in float, rounds it, and at 3 and 2 bits goes on training it through
the integers. What is counted is always what the golden model reads of the image.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch
from data import Digits, encode, load
from model import classify
from rich.console import Console
from stages import outputs
from train import DT, Settings, evaluate, fit, to_nir, train

from spikewright.compiler import CompileOptions
from spikewright.compiler.qat import IntegerNetwork
from spikewright.files import merge_json
from spikewright.image import CoreImage
from spikewright.target import RunResult, open_target

__all__ = ["BARS", "ROUNDED", "TRAINED", "measure", "rounded", "summary"]

ROUNDED = {8: 100.0, 4: 97.0, 3: 95.0, 2: 80.0}
TRAINED = {3: 95.0, 2: 70.0}
"""By weight bits, the percentile of the weights that a scale covers, best by validation inside the
training images: for rounding what was trained in float, and for training on through the integers.
"""

EPOCHS, LEARNING_RATE = 15, 0.01
"""Of the training through the integers."""

BARS = {
    "8 bit rounded": -0.002,
    "4 bit rounded": -0.005,
    "3 bit trained": 0.97,
    "2 bit trained": 0.95,
}
"""Least mean over the seeds; of what is rounded, beyond the mean in float."""


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


def _golden(image: CoreImage, digits: Digits) -> RunResult:
    target = open_target("golden")
    target.load(image)
    return target.run(encode(digits.pixels), record_v=True)


def _accuracy(image: CoreImage, digits: Digits) -> float:
    """Share of the images that the golden model reads right."""
    read = classify(outputs(image, _golden(image, digits).spikes))
    return float((read == digits.labels).mean())


def _differences(module: IntegerNetwork, image: CoreImage, digits: Digits) -> int:
    """Spikes and potentials in which a module and the golden model differ."""
    golden = _golden(image, digits)
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
        found[f"{bits} bit rounded"] = _accuracy(module.to_image(), test)
    for bits, percentile in TRAINED.items():
        module = rounded(graph, bits, percentile, training, settings.slope)
        fit(module, partial(_output_of, module), training, tuning, console)
        image = module.to_image()
        found[f"{bits} bit trained"] = _accuracy(image, test)
        differences += _differences(module, image, test)
    seconds = round(time.perf_counter() - started, 1)
    return {"seed": seed, "accuracy": found, "differences": differences, "seconds": seconds}


def summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over the seeds, and whether they reach their bars."""
    mean = {
        name: float(np.mean([run["accuracy"][name] for run in runs]))
        for name in runs[0]["accuracy"]
    }
    bars = {
        name: bar + mean["float"] if name.endswith("rounded") else bar for name, bar in BARS.items()
    }
    differences = sum(run["differences"] for run in runs)
    return {
        "mean": mean,
        "bars": bars,
        "differences": differences,
        "met": differences == 0 and all(mean[name] >= bar for name, bar in bars.items()),
        "percentile": {"rounded": ROUNDED, "trained": TRAINED},
        "seeds": list(runs),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the seeds, as many at a time as there are cores; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="how many, from 0 on")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="seeds at a time")
    parser.add_argument("--out", type=Path, default=Path("build/accuracy.json"))
    parser.add_argument("--quick", action="store_true", help="one epoch each: does it run?")
    chosen = parser.parse_args(arguments)
    console = Console(highlight=False)
    context = multiprocessing.get_context("spawn")
    runs: list[dict[str, Any]] = []
    with ProcessPoolExecutor(chosen.jobs, context) as pool:
        for run in pool.map(partial(measure, quick=chosen.quick), range(chosen.seeds)):
            runs.append(run)
            console.print(f"seed {run['seed']}: {_shown(run['accuracy'])}; {run['seconds']:g} s")
            merge_json(chosen.out, {"digits": summary(runs)})
    result = summary(runs)
    console.print(f"mean: {_shown(result['mean'])}")
    console.print(f"bars: {_shown(result['bars'])}; {'met' if result['met'] else 'MISSED'}")
    console.print(f"{result['differences']} differences between trained modules and golden model")
    console.print(f"wrote {chosen.out}")
    return 0 if result["met"] else 1


def _shown(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.2%}" for name, value in figures.items())


if __name__ == "__main__":
    sys.exit(main())
