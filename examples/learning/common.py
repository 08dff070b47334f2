"""What the learning examples share: a row each in ``build/learn.json``, a target, the digits."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikewright.files import merge_json

if TYPE_CHECKING:
    from data import Digits

__all__ = ["arguments", "digits_split", "save_row"]


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The options of every example; add its own."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--target", default="golden", help="golden, verilator or a serial port")
    parser.add_argument("--folder", type=Path, default=Path("build"), help="for figures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="much less of it: does it run?")
    return parser


def save_row(folder: Path, name: str, figures: Mapping[str, Any]) -> None:
    """Write an example's figures into ``learn.json``, beside those of the others."""
    merge_json(folder / "learn.json", {name: dict(figures)})


def digits_split() -> "tuple[Digits, Digits]":
    """The 8 x 8 digits of ``examples/digits``: 1,203 images to train on and 594 to test on."""
    folder = str(Path(__file__).parents[1] / "digits")
    if folder not in sys.path:
        sys.path.append(folder)
    from data import load

    return load()
