"""A row of ``make accuracy``: one network trained from several seeds, against its bars."""

import argparse
import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from data import Digits, encode
from model import classify
from rich.console import Console
from stages import outputs

from spikewright.files import merge_json
from spikewright.image import CoreImage
from spikewright.target import RunResult, open_target

__all__ = ["Row", "accuracy", "golden_run"]


def golden_run(image: CoreImage, digits: Digits) -> RunResult:
    """Run images on the golden model, with membrane potentials."""
    target = open_target("golden")
    target.load(image)
    return target.run(encode(digits.pixels), record_v=True)


def accuracy(image: CoreImage, digits: Digits) -> float:
    """Share of the images that the golden model reads right."""
    read = classify(outputs(image, golden_run(image, digits).spikes))
    return float((read == digits.labels).mean())


@dataclass(frozen=True)
class Row:
    """What is measured, and what it must reach.

    Attributes
    ----------
    key : str
        Of the row in ``accuracy.json``.
    bars : mapping of str to float
        Least mean over the seeds; of what is "rounded", beyond the mean in float.
    seeds : int
        How many, from 0 on, unless told.
    settings : mapping
        Written beside the figures.
    """

    key: str
    bars: Mapping[str, float]
    seeds: int
    settings: Mapping[str, Any]

    def summary(self, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Means over the seeds, and whether they reach their bars without a difference."""
        mean = {
            name: float(np.mean([run["accuracy"][name] for run in runs]))
            for name in runs[0]["accuracy"]
        }
        bars = {
            name: bar + mean["float"] if name.endswith("rounded") else bar
            for name, bar in self.bars.items()
        }
        differences = sum(run["differences"] for run in runs)
        return {
            "mean": mean,
            "bars": bars,
            "differences": differences,
            "met": differences == 0 and all(mean[name] >= bar for name, bar in bars.items()),
            **self.settings,
            "seeds": list(runs),
        }

    def command(
        self,
        measure: Callable[..., dict[str, Any]],
        description: str,
        arguments: Sequence[str] | None = None,
    ) -> int:
        """Measure the seeds, as many at a time as there are cores; 1 if a bar is missed.

        Parameters
        ----------
        measure : callable
            Gives ``seed``, ``accuracy`` by name, ``differences`` and ``seconds`` of a seed, and
            takes ``quick``. Other processes import it by its name.
        description : str
            What the command's help says.
        arguments : sequence of str, optional
            The command's own if not given.
        """
        parser = argparse.ArgumentParser(description=description)
        parser.add_argument("--seeds", type=int, default=self.seeds, help="how many, from 0 on")
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
                console.print(
                    f"seed {run['seed']}: {_shown(run['accuracy'])}; {run['seconds']:g} s"
                )
                merge_json(chosen.out, {self.key: self.summary(runs)})
        result = self.summary(runs)
        console.print(f"{self.key}, mean: {_shown(result['mean'])}")
        console.print(f"bars: {_shown(result['bars'])}; {'met' if result['met'] else 'MISSED'}")
        console.print(f"{result['differences']} differences to the golden model")
        console.print(f"wrote {chosen.out}")
        return 0 if result["met"] else 1


def _shown(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.2%}" for name, value in figures.items())
