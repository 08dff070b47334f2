"""The command that runs input spikes through an image, on demand or in real time."""

import functools
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikewright.arguments import ImageFile, Spikes, TargetName
from spikewright.console import Console
from spikewright.pacing import Period, overrun_lines, pace_facts, too_short

if TYPE_CHECKING:
    from spikewright.image import CoreImage
    from spikewright.target import RealTimeTarget, Target

__all__ = ["run"]


def run(
    console: Console,
    image: ImageFile,
    spikes: Spikes,
    target: TargetName = "golden",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Results, as .npz: spikes, cycles, v, overruns."),
    ] = None,
    record_v: Annotated[
        bool, typer.Option("--record-v", help="Keep membrane potentials too.")
    ] = False,
    record: Annotated[
        Path | None,
        typer.Option(help="File for all bytes of the serial line, for --target replay:FILE."),
    ] = None,
    period: Period = None,
) -> None:
    """Run input spikes through an image on a target."""
    from spikewright.files import fit_spikes, read_spikes, result_bytes, write_whole
    from spikewright.image import CoreImage
    from spikewright.summary import run_summary, run_tables
    from spikewright.target import open_target

    core = CoreImage.load(image)
    stimulus = fit_spikes(read_spikes(spikes), core)
    device = open_target(target, report=console.note, record=record)
    try:
        paced = None if period is None else _paced(console, device, core, period)
        run_samples = functools.partial(paced.run, period_s=period) if paced else device.run
        started = time.perf_counter()
        with console.progress(f"Loading on {target}"):
            device.load(core)
        loaded = time.perf_counter()
        console.detail(f"Image {core.id[:16]} loaded on {target} in {loaded - started:.2f} s.")
        with console.progress(f"Running on {target}", len(stimulus)) as progress:
            result = run_samples(stimulus, record_v=record_v, progress=progress)
        seconds = time.perf_counter() - loaded
    finally:
        device.close()
    if output:
        write_whole(output, result_bytes(result))
    data = run_summary(core, target, result, seconds) | pace_facts(result, period)
    said = [*run_tables(core, data)]
    if paced and period and not console.json:
        said += overrun_lines(console, core, stimulus, result, period, paced.clock_hz)
    said += [f"Wrote {output}."] if output else []
    console.result(data, *said)


def _paced(
    console: Console, device: "Target", core: "CoreImage", period_s: float
) -> "RealTimeTarget":
    """The target, if it can have that period; with a word about one that may be too short."""
    from spikewright.runtime.pace import check_period
    from spikewright.target import able_to_pace

    check_period(period_s)
    paced = able_to_pace(device)
    if warning := too_short(core, period_s, paced.clock_hz):
        console.note(warning)
    return paced
