"""What learned delays are worth on a task that needs them: ``make accuracy``.

Each seed trains the same recurrent network three times: with delays that are learned, with delays
as drawn at first, and without. All are compiled to 8 bits. What is counted is what the golden model
hears, and every register of the RTL is compared with it. `delays.png` shows what seed 0 learned.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from ears import Sounds, draw
from jeffress import DT, Delays, Network, Settings, classify, to_nir, train
from picture import draw_picture
from rich.console import Console
from rich.table import Table

from spikewright.compiler import CompileOptions, compile_network
from spikewright.files import merge_json, write_whole
from spikewright.image import CoreImage
from spikewright.sim.compare import verify
from spikewright.target import open_target

__all__ = ["BAR", "KINDS", "LOCKSTEP_SOUNDS", "compiled", "heard", "main", "measure", "summary"]

BAR = 0.1
"""Least gain of learned delays over none, at 8 bits."""
KINDS: tuple[Delays, ...] = get_args(Delays)
SEEDS = 3
TEST_SOUNDS, TEST_SEED = 1200, (0, 0, 1)
"""Sounds of a seed that no training has: those are of two numbers."""
LOCKSTEP_SOUNDS = 50
RATES = {"learned": 0.05, "random": 0.05, "none": 0.01}
"""Learning rates; that without delays is the best of 0.005, 0.01, 0.02 and 0.05."""
OPTIONS = CompileOptions(dt=DT, reset="zero", reset_delay=False, weight_bits=8)


def compiled(network: Network) -> CoreImage:
    """The network at 8 bits, by way of NIR."""
    return compile_network(to_nir(network), OPTIONS)


def heard(image: CoreImage, sounds: Sounds) -> float:
    """Share of the sounds whose direction the golden model tells."""
    target = open_target("golden")
    target.load(image)
    output = target.run(sounds.spikes).spikes[..., image.output_slices["output"]]
    return float((classify(output) == sounds.labels).mean())


def measure(seed: int, picture: Path | None = None, *, quick: bool = False) -> dict[str, Any]:
    """Train with one seed, and measure each kind of delays on the test sounds.

    Parameters
    ----------
    seed : int
    picture : path, optional
        Where to draw what was learned.
    quick : bool
        One short epoch: to see that it runs.
    """
    torch.set_num_threads(1)
    started = time.perf_counter()
    test = draw(TEST_SOUNDS, TEST_SEED)
    settings = Settings(seed=seed)
    if quick:
        settings = replace(settings, epochs=1, sounds=256)
    accuracy: dict[str, dict[str, float]] = {}
    differences = 0
    for kind in KINDS:
        network = train(replace(settings, delays=kind, learning_rate=RATES[kind]))
        with torch.no_grad():
            output = network(torch.from_numpy(test.spikes.astype(np.float32))).numpy() > 0
        image = compiled(network)
        accuracy[kind] = {
            "float": float((classify(output) == test.labels).mean()),
            "8 bit": heard(image, test),
        }
        locked = verify(image, test.spikes[:LOCKSTEP_SOUNDS])
        differences += locked.mismatch is not None
        if picture and kind == "learned":
            weight, delay = network.ears.weight.detach().numpy(), network.ears.delay.numpy()
            write_whole(picture, draw_picture(test, weight, delay, network.ears.slots))
    seconds = round(time.perf_counter() - started, 1)
    return {"seed": seed, "accuracy": accuracy, "differences": differences, "seconds": seconds}


def summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds, and whether learned delays gain enough without a difference."""
    mean = {
        kind: {
            name: float(np.mean([run["accuracy"][kind][name] for run in runs]))
            for name in ("float", "8 bit")
        }
        for kind in KINDS
    }
    gain = mean["learned"]["8 bit"] - mean["none"]["8 bit"]
    differences = sum(run["differences"] for run in runs)
    return {
        "mean": mean,
        "gain": gain,
        "bar": BAR,
        "differences": differences,
        "met": gain >= BAR and not differences,
        "test_sounds": TEST_SOUNDS,
        "lockstep_sounds": LOCKSTEP_SOUNDS,
        "seeds": list(runs),
    }


def table(row: dict[str, Any]) -> Table:
    """Accuracy by seed and in the mean."""
    lines = Table(title=f"Six directions, {row['test_sounds']:,} sounds")
    lines.add_column("delays")
    for name in (*(f"seed {run['seed']}" for run in row["seeds"]), "mean"):
        lines.add_column(f"{name}\nfloat, 8 bit", justify="right")
    for kind in KINDS:
        figures = [run["accuracy"][kind] for run in row["seeds"]] + [row["mean"][kind]]
        lines.add_row(kind, *(f"{each['float']:.1%}, {each['8 bit']:.1%}" for each in figures))
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the seeds, as many at a time as there are cores; 1 if the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many, from 0 on")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="seeds at a time")
    parser.add_argument("--out", type=Path, default=Path("build/accuracy.json"))
    parser.add_argument("--quick", action="store_true", help="one epoch each: does it run?")
    chosen = parser.parse_args(arguments)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    pictures = [chosen.out.with_name("delays.png"), *[None] * chosen.seeds]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(chosen.jobs, context) as pool:
        runs = list(pool.map(partial(measure, quick=chosen.quick), range(chosen.seeds), pictures))
    row = summary(runs)
    merge_json(chosen.out, {"delays": row})
    console = Console(highlight=False)
    console.print(table(row))
    console.print(
        f"learned delays gain {100 * row['gain']:.1f} points, bar {100 * BAR:.0f}; "
        f"{row['differences']} differences to the golden model; "
        f"{'met' if row['met'] else 'MISSED'}"
    )
    console.print(f"wrote {chosen.out} and {pictures[0]}")
    return 0 if row["met"] else 1


if __name__ == "__main__":
    sys.exit(main())
