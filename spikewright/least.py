"""What ``compile --bits auto`` does: the least weight bits, from files."""

from pathlib import Path

import typer

from spikewright.compiler import CompileOptions
from spikewright.compiler.search import least_bits
from spikewright.files import read_labels, read_spikes
from spikewright.image import CoreImage

__all__ = ["compile_least"]


def compile_least(
    model: Path,
    options: CompileOptions,
    calibrate: Path | None,
    *,
    spec: Path | None,
    keep: float,
    dump_passes: Path | None,
) -> CoreImage:
    """Compile a NIR file with the least weight bits that keep what its samples decide.

    Raises
    ------
    typer.BadParameter
        No samples, or weight bits that are given already.
    SpikewrightError
        As :func:`~spikewright.compiler.search.least_bits`, and for files that cannot be read.
    """
    if calibrate is None:
        raise typer.BadParameter("--bits auto needs samples to decide with: --calibrate in.npz.")
    if spec or options.weight_bits is not None:
        raise typer.BadParameter("--bits auto excludes --weight-bits, and --spec, which has them.")
    return least_bits(
        model,
        options,
        read_spikes(calibrate),
        read_labels(calibrate),
        keep=keep,
        dump_passes=dump_passes,
    )
