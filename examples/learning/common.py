"""What the learning examples share: options, targets, the digits and a row in ``learn.json``."""

import argparse
import io
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from spikewright.closing import Closing
from spikewright.console import Console
from spikewright.errors import SpikewrightError
from spikewright.files import merge_json, write_whole
from spikewright.image import CoreImage
from spikewright.target import LearningTarget, Progress, RunResult, able_to_learn, open_target

if TYPE_CHECKING:
    from data import Digits

__all__ = ["Cores", "arguments", "command", "digits_split", "save_figure", "save_row"]


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The options of every example; add its own."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--target", default="golden", help="golden, verilator or a serial port")
    parser.add_argument("--compare", metavar="TARGET", help="do the same on this one, and compare")
    parser.add_argument("--folder", type=Path, default=Path("build"), help="for figures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="much less of it: does it run?")
    return parser


def command(
    description: str,
    example: Callable[[argparse.Namespace, Console], bool],
    given: Sequence[str] | None = None,
) -> int:
    """Run an example with its options; 1 if it says that it missed its bar, or on an error."""
    console = Console()
    try:
        return 0 if example(arguments(description).parse_args(given), console) else 1
    except SpikewrightError as error:
        return console.error(error)


class Cores(Closing):
    """The core on one target and, where asked for, on another that must do the same.

    Parameters
    ----------
    options : argparse.Namespace
        With ``target`` and ``compare``.

    Attributes
    ----------
    compares : bool
        Whether the other target does the same; may be switched before a load.
    differences : int
        Spikes, cycles and learned numbers that were not the same on both.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        names = [options.target, *([options.compare] if options.compare else [])]
        self._all = [able_to_learn(open_target(name)) for name in names]
        self.compares = True
        self.differences = 0

    @property
    def _targets(self) -> list[LearningTarget]:
        return self._all if self.compares else self._all[:1]

    def close(self) -> None:
        """Close the targets. Harmless if done twice."""
        for target in self._all:
            target.close()

    def load(self, image: CoreImage) -> None:
        """Load an image."""
        for target in self._targets:
            target.load(image)

    def run(
        self,
        spikes: npt.NDArray[np.bool_],
        *,
        learn: bool = False,
        rewards: npt.NDArray[np.int64] | None = None,
        progress: Progress | None = None,
    ) -> RunResult:
        """Run samples; see :meth:`spikewright.target.LearningTarget.run`."""
        first, *others = (
            target.run(spikes, learn=learn, rewards=rewards, progress=progress if k == 0 else None)
            for k, target in enumerate(self._targets)
        )
        for other in others:
            self.differences += int(np.count_nonzero(first.spikes != other.spikes))
            if first.cycles is not None and other.cycles is not None:
                self.differences += int(np.count_nonzero(first.cycles != other.cycles))
        return first

    def learned_image(self) -> CoreImage:
        """The image with all that was learned in it."""
        first, *others = (target.learned_image() for target in self._targets)
        for other in others:
            self.differences += first.rule != other.rule
            self.differences += sum(
                int(np.count_nonzero(array != other.arrays[name]))
                for name, array in first.arrays.items()
            )
        return first

    @property
    def names(self) -> list[str]:
        """Names of the targets."""
        return [target.name for target in self._all]

    @property
    def figures(self) -> dict[str, Any]:
        """What every row says: on which targets, and with how many differences."""
        return {"targets": self.names, "differences": self.differences}

    @property
    def verdict(self) -> list[str]:
        """A line on how two targets compare, where there are two."""
        found = f"{self.differences:,} differences between {' and '.join(self.names)}"
        return [found] if len(self.names) > 1 else []


def save_row(folder: Path, name: str, figures: Mapping[str, Any]) -> None:
    """Write an example's figures into ``learn.json``, beside those of the others."""
    merge_json(folder / "learn.json", {name: dict(figures)})


def save_figure(path: Path, figure: Figure) -> None:
    """Write a figure as PNG, whole or not at all."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110)
    write_whole(path, data.getvalue())


def digits_split() -> "tuple[Digits, Digits]":
    """The 8 x 8 digits of ``examples/digits``: 1,203 images to train on and 594 to test on."""
    folder = str(Path(__file__).parents[1] / "digits")
    if folder not in sys.path:
        sys.path.append(folder)
    from data import load

    return load()
