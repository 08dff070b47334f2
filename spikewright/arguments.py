"""Arguments and options that several commands of the command line take."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from spikewright.compiler import CompileOptions
    from spikewright.compiler.options import ProjectionBits

__all__ = [
    "CoreFile",
    "ImageFile",
    "Json",
    "Quiet",
    "Spikes",
    "TargetName",
    "Verbose",
    "compile_options",
    "with_compile_options",
]

ImageFile = Annotated[
    Path, typer.Argument(metavar="IMAGE", help="Core image, as compile and learn write it.")
]
CoreFile = Annotated[
    Path | None,
    typer.Option(help="Core to fit, as JSON, or a preset; by default as small as can be."),
]
Spikes = Annotated[
    Path,
    typer.Option(
        help="Input spikes: .npz with an array 'spikes' of 0 and 1, [samples, timesteps, axons]."
    ),
]
TargetName = Annotated[
    str, typer.Option(help="golden, verilator, virtual, a serial port, or replay:FILE.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose", "-v", count=True, show_default=False, help="More detail; -vv: tracebacks."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Errors and the exit code only.")]


Dt = Annotated[float | None, typer.Option(help="Timestep [s], in the unit of the time constants.")]
Reset = Annotated[
    Literal["subtract", "zero"] | None,
    typer.Option(help="A spike takes v_threshold off v, or sets v to v_reset."),
]
ResetDelay = Annotated[
    bool | None,
    typer.Option(
        "--reset-delay/--no-reset-delay",
        help="The reset acts in the next timestep, as snnTorch's default, or at once. snnTorch's "
        "Leaky (not RLeaky) with reset zero acts at once, whatever its own setting.",
    ),
]
Discretization = Annotated[
    Literal["euler", "exact"],
    typer.Option(help="Decay 1 - dt/tau as in snnTorch and Norse, or exp(-dt/tau)."),
]
WeightBits = Annotated[int | None, typer.Option(help="Bits of a weight, 2 to 16.")]
Bits = Annotated[
    str | None,
    typer.Option(
        help="4,8: bits of each layer's weights in order; hidden=4,in:out=8: of layers or "
        "projections by name. With compile, auto: the least --weight-bits that keep the decisions "
        "of the --calibrate samples, right ones where the file has an array 'labels', else those "
        "in float."
    ),
]
StateBits = Annotated[int | None, typer.Option(help="Bits of a state, 12 to 24.")]
FractionBits = Annotated[
    int | None, typer.Option(help="State bits below one weight unit, 0 to 16.")
]
Lanes = Annotated[int | None, typer.Option(help="Weights and neurons a cycle, 1 to 32.")]
UpdateCycles = Annotated[
    int | None,
    typer.Option(help="Cycles to update as many neurons as there are lanes; more need less area."),
]
Sparse = Annotated[
    bool | None,
    typer.Option(help="Rows of only the words that hold synapses. [default: where it pays]"),
]
Scaling = Annotated[
    Literal["percentile", "mse"],
    typer.Option(help="Weight scales cover a percentile, or err least in square."),
]
Percentile = Annotated[
    float, typer.Option(help="Share of a neuron's weights that its scale covers.")
]
Tune = Annotated[
    bool,
    typer.Option(
        "--tune",
        help="Choose scales, biases, thresholds and decays by what potentials do on the samples: "
        "--scaling mse is then about potentials, --percentile about spikes that arrive.",
    ),
]


def compile_options(
    dt: Dt = None,
    reset: Reset = None,
    reset_delay: ResetDelay = None,
    discretization: Discretization = "euler",
    weight_bits: WeightBits = None,
    bits: Bits = None,
    state_bits: StateBits = None,
    fraction_bits: FractionBits = None,
    lanes: Lanes = None,
    update_cycles: UpdateCycles = None,
    sparse: Sparse = None,
    scaling: Scaling = "percentile",
    percentile: Percentile = 100.0,
    tune: Tune = False,
) -> "CompileOptions":
    """The options of compiling that diagnosing has too."""
    from spikewright.compiler import CompileOptions

    return CompileOptions(
        dt=dt,
        reset=reset,
        reset_delay=reset_delay,
        discretization=discretization,
        weight_bits=weight_bits,
        state_bits=state_bits,
        fraction_bits=fraction_bits,
        lanes=lanes,
        update_cycles=update_cycles,
        sparse=sparse,
        bits=() if bits is None else _read_bits(bits),
        scaling=scaling,
        percentile=percentile,
        tune=tune,
    )


def _read_bits(text: str) -> "ProjectionBits":
    """``4,8`` or ``hidden=4,in:out=8``."""
    try:
        if "=" not in text:
            return tuple(int(each) for each in text.split(","))
        pairs = [each.rsplit("=", 1) for each in text.split(",")]
        named = {name: int(each) for name, each in pairs}
    except ValueError:
        raise typer.BadParameter(
            "--bits must be bits of each layer in order such as 4,8, or bits by name such as "
            f"hidden=4,in:out=8, not {text!r}."
        ) from None
    if len(named) < len(pairs):
        raise typer.BadParameter(f"--bits must name each layer once, not as {text!r} does.")
    return named


def with_compile_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the parameters of :func:`compile_options` in place of its ``**options``."""
    own = inspect.signature(function).parameters.values()
    named = [p for p in own if p.kind is not inspect.Parameter.VAR_KEYWORD]
    options = inspect.signature(compile_options).parameters.values()
    vars(function)["__signature__"] = inspect.Signature([*named, *options])
    return function
