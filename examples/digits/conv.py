"""A convolutional network on the digits, straight from torch: ``make accuracy``.

Each seed trains it in float with snnTorch and compiles it to 8 and to 4 bits. What is counted is
what the golden model reads of the image, and every register of the RTL is compared with it.
"""

import sys
import time
from functools import partial
from typing import Any

import torch
from data import Digits, encode, load
from model import classify
from rich.console import Console
from seeds import Row, accuracy
from snntorch import utils
from train import Settings, as_input, fit, leaky

from spikewright.compiler import CompileOptions, compile_network
from spikewright.compiler.pipeline import load_network
from spikewright.compiler.qat import IntegerNetwork
from spikewright.image import CoreImage
from spikewright.sim.compare import verify

__all__ = ["LOCKSTEP_IMAGES", "ROW", "compiled", "corrected", "layers", "measure", "run"]

CHANNELS = (8, 16)
EPOCHS = 60
LOCKSTEP_IMAGES = 50
SAMPLE = torch.zeros(1, 1, 8, 8)
COARSE = CompileOptions(weight_bits=4, percentile=97.0)
"""The percentile that is best for the dense network, see ``qat.py``; not tuned here."""

ROW = Row(
    key="convolutional",
    bars={"8 bit rounded": -0.002, "4 bit rounded": -0.005},
    seeds=3,
    settings={"percentile": {8: 100.0, 4: COARSE.percentile}, "lockstep_images": LOCKSTEP_IMAGES},
)


def layers(settings: Settings) -> torch.nn.Sequential:
    """Two convolutions with a pool between them and a dense layer, 778 neurons in all.

    The pool stands between a layer of neurons and a linear one, and so folds into the latter.
    """
    first, second = CHANNELS
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, first, 3, padding=1),
        leaky(settings, init_hidden=True),
        torch.nn.AvgPool2d(2),
        torch.nn.Conv2d(first, second, 3, padding=1),
        leaky(settings, init_hidden=True),
        torch.nn.Flatten(),
        torch.nn.Linear(second * 4 * 4, 10),
        leaky(settings, init_hidden=True),
    )


def run(network: torch.nn.Sequential, spikes: torch.Tensor) -> torch.Tensor:
    """Run ``float32[images, timesteps, 64]`` from a cleared state; spikes of the output layer."""
    utils.reset(network)
    return torch.stack([network(x.reshape(-1, 1, 8, 8)) for x in spikes.unbind(dim=1)], dim=1)


def compiled(network: torch.nn.Sequential) -> CoreImage:
    """The network at 8 bits, as it is."""
    return compile_network(network.eval(), CompileOptions(weight_bits=8), sample=SAMPLE)


def corrected(network: torch.nn.Sequential, digits: Digits) -> CoreImage:
    """The network at 4 bits, its biases corrected on these images."""
    module = IntegerNetwork(load_network(network.eval(), COARSE, SAMPLE), COARSE)
    module.correct_bias(torch.from_numpy(encode(digits.pixels)))
    return module.to_image()


def measure(seed: int, quick: bool = False) -> dict[str, Any]:
    """Train with one seed and measure both images on the test images.

    Parameters
    ----------
    seed : int
    quick : bool
        Two epochs: to see that it runs.
    """
    torch.set_num_threads(1)
    started = time.perf_counter()
    training, test = load()
    settings = Settings(seed=seed, epochs=2 if quick else EPOCHS)
    torch.manual_seed(seed)
    network = layers(settings)
    fit(network, partial(run, network), training, settings, Console(quiet=True))
    with torch.no_grad():
        output = run(network.eval(), as_input(test.pixels)).numpy() > 0
    found = {"float": float((classify(output) == test.labels).mean())}
    differences = 0
    images = {"8 bit rounded": compiled(network), "4 bit rounded": corrected(network, training)}
    for name, image in images.items():
        found[name] = accuracy(image, test)
        locked = verify(image, encode(test.pixels[:LOCKSTEP_IMAGES]))
        differences += locked.mismatch is not None
    seconds = round(time.perf_counter() - started, 1)
    return {"seed": seed, "accuracy": found, "differences": differences, "seconds": seconds}


if __name__ == "__main__":
    sys.exit(ROW.command(measure, __doc__))
