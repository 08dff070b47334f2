"""From a trained network to spikes on a board, every step compared: ``make demo``."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from data import TEST_IMAGES, encode, load
from report import Evidence, write_report
from stages import CLOCK_HZ, Stage, compile_digits, in_lockstep, on_target, reference

from spikewright.console import Console, Table
from spikewright.errors import SpikewrightError
from spikewright.files import spikes_bytes, write_whole

__all__ = ["main", "run_demo"]

BOARD_IMAGES = 50
_BOARD_WITH_V = 5


def run_demo(
    folder: Path,
    console: Console,
    *,
    rtl_images: int = TEST_IMAGES,
    board_images: int = BOARD_IMAGES,
) -> Evidence:
    """Run all stages; write ``report.html``, ``summary.json``, the image and some of its input.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    console : Console
    rtl_images, board_images : int
        How many of the 594 test images the RTL and the virtual board see.

    Raises
    ------
    SpikewrightError
        A tool is missing, or a target failed. Differences are counted, not raised.
    """
    started = time.perf_counter()
    training, test = load()
    console.note("Compiling digits.nir, and running it in float and on the golden model.")
    floats = reference(test)
    image = compile_digits(training)
    golden = on_target("golden", image, test, None, console, images=len(test), with_v=len(test))
    console.note(f"Running {rtl_images} images on the RTL, in Verilator.")
    rtl = on_target("verilator", image, test, golden, console, images=rtl_images, with_v=rtl_images)
    console.note("Again in lockstep with the golden model, every register after every timestep.")
    locked = in_lockstep(image, test, console, images=rtl_images)
    console.note(f"Running {board_images} images on the virtual board, through its serial port.")
    with_v = min(_BOARD_WITH_V, board_images)
    board = on_target("virtual", image, test, golden, console, images=board_images, with_v=with_v)
    evidence = Evidence(
        image=image,
        test=test,
        floats=floats,
        golden=golden,
        rtl=rtl,
        board=board,
        lockstep=locked,
        board_with_v=with_v,
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_report(folder / "report.html", evidence)
    image.save(folder / "digits.core")
    write_whole(folder / "digits.npz", spikes_bytes(encode(test.pixels[:BOARD_IMAGES])))
    summary = _summary(evidence, time.perf_counter() - started)
    write_whole(folder / "summary.json", (json.dumps(summary, indent=2) + "\n").encode())
    console.result(summary, _table(evidence), f"{summary['seconds']:.0f} s in all.")
    return evidence


def _summary(evidence: Evidence, seconds: float) -> dict[str, float | None]:
    return {
        "float_accuracy": evidence.floats.accuracy,
        "golden_accuracy": evidence.golden.accuracy,
        "rtl_images": evidence.lockstep.samples,
        "rtl_differences": evidence.rtl_differences,
        "board_images": evidence.board.images,
        "board_differences": evidence.board.differences,
        "cycles_per_image": evidence.golden.cycles_per_image,
        "seconds": round(seconds, 3),
    }


def _table(evidence: Evidence) -> Table:
    def row(stage: Stage, verdict: str) -> tuple[str, ...]:
        cycles, seconds = stage.cycles_per_image, stage.seconds_per_image
        return (
            stage.name,
            f"{stage.images}",
            f"{stage.accuracy:.2%}",
            verdict,
            f"{stage.timesteps_per_s:,.0f}",
            "" if cycles is None else f"{cycles:,.0f}",
            "" if seconds is None else f"{seconds * 1e6:.1f} us",
        )

    return Table(
        columns=(
            *("", "images", "accuracy", "equal", "timesteps/s", "cycles/image"),
            f"{CLOCK_HZ / 1e6:.0f} MHz",
        ),
        rows=(
            row(evidence.floats, ""),
            row(evidence.golden, ""),
            row(evidence.rtl, _verdict(evidence.rtl_differences)),
            row(evidence.board, _verdict(evidence.board.differences)),
        ),
    )


def _verdict(differences: int) -> str:
    return f"NO, {differences:,}" if differences else "yes"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 0 if everything was equal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("build/demo"), metavar="FOLDER")
    for name, most in (("rtl", TEST_IMAGES), ("board", BOARD_IMAGES)):
        parser.add_argument(
            f"--{name}-images",
            type=int,
            default=most,
            choices=range(1, TEST_IMAGES + 1),
            metavar="N",
        )
    options = parser.parse_args(arguments)
    console = Console()
    try:
        evidence = run_demo(
            options.output,
            console,
            rtl_images=options.rtl_images,
            board_images=options.board_images,
        )
    except SpikewrightError as error:
        return console.error(error)
    if evidence.lockstep.mismatch is not None:
        console.note(f"\nRTL and golden model differ. {evidence.lockstep.mismatch}")
    console.note(f"Report: {options.output / 'report.html'}")
    return 0 if evidence.is_equal else 1


if __name__ == "__main__":
    sys.exit(main())
