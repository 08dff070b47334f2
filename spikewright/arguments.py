"""Arguments and options that several commands of the command line take."""

from pathlib import Path
from typing import Annotated, Literal

import typer

__all__ = ["Bits", "ImageFile", "Json", "Keep", "Quiet", "ResetDelay", "Spikes", "Verbose"]

ImageFile = Annotated[Path, typer.Argument(metavar="IMAGE", help="Core image that compile wrote.")]
Spikes = Annotated[
    Path,
    typer.Option(
        help="Input spikes: .npz with an array 'spikes' of 0 and 1, [samples, timesteps, axons]."
    ),
]
ResetDelay = Annotated[
    bool | None,
    typer.Option(
        "--reset-delay/--no-reset-delay",
        help="The reset acts in the next timestep, as snnTorch's default, or at once. snnTorch's "
        "Leaky (not RLeaky) with reset zero acts at once, whatever its own setting.",
    ),
]
Bits = Annotated[
    Literal["auto"] | None,
    typer.Option(
        help="auto: the least --weight-bits that keep the decisions of the --calibrate samples, "
        "right ones where the file has an array 'labels', else those in float."
    ),
]
Keep = Annotated[
    float, typer.Option(min=0, max=100, help="Percentage points that --bits auto may lose.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose", "-v", count=True, show_default=False, help="More detail; -vv: tracebacks."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Errors and the exit code only.")]
