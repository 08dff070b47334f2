"""The command that compiles."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikewright.arguments import CoreFile, compile_options
from spikewright.console import Console

if TYPE_CHECKING:
    from spikewright.compiler import CompileOptions
    from spikewright.compiler.lesson import Lesson
    from spikewright.image import CoreImage
    from spikewright.spec import CoreSpec

__all__ = ["compile"]


def compile(
    console: Console,
    model: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="Network: a NIR file, or SuperNeuroMAT's .json."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Core image to be written.")],
    spec: CoreFile = None,
    board: Annotated[
        str | None, typer.Option(help="Board to fit, as spikewright boards lists them.")
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(help="Input spikes to measure the quantized network with, and to --tune it."),
    ] = None,
    keep: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=100,
            help="Percentage points that --bits auto may lose.  [default: 0.5]",
        ),
    ] = None,
    dump_passes: Annotated[
        Path | None, typer.Option(help="Folder for a file of what each pass made.")
    ] = None,
    learn: Annotated[
        Path | None,
        typer.Option(
            metavar="LESSON",
            help="Synapses that learn on the core and their rule, as JSON: see the README.",
        ),
    ] = None,
    **options: Any,
) -> None:
    """Compile a trained network into a core image."""
    bits = options["bits"]
    faults = {
        "--keep is for --bits auto.": keep is not None and bits != "auto",
        "--tune needs samples to tune on: --calibrate in.npz.": options["tune"] and not calibrate,
        "--bits, --calibrate and --dump-passes are for NIR: SuperNeuroMAT's are not rounded.": (
            model.suffix.lower() == ".json" and (bits or calibrate or dump_passes)
        ),
        "--board excludes --spec and --bits auto.": board and (spec or bits == "auto"),
        "--learn excludes --board and --bits auto.": learn and (board or bits == "auto"),
    }
    for fault, is_there in faults.items():
        if is_there:
            raise typer.BadParameter(fault)
    from spikewright.summary import image_summary, report_tables

    lesson = _lesson(learn) if learn else None
    if lesson and spec is None and options["sparse"] is None:
        options["sparse"] = False  # rows of a core that learns are not
    with console.progress("Compiling"):
        given = compile_options(**options | ({"bits": None} if bits == "auto" else {}))
        if bits == "auto":
            image = _least(model, given, calibrate, spec, keep, dump_passes)
        elif board:
            image = _fitted(model, given, calibrate, board, dump_passes)
        else:
            image = _compiled(model, given, calibrate, _core(spec), dump_passes)
        if lesson:
            from spikewright.compiler.lesson import with_lesson

            image = with_lesson(image, lesson)
    image.save(output)
    data = image_summary(image)
    used = f"{data['used']['neurons']} neurons, {data['used']['synapses']} synapses"
    console.result(
        {"output": str(output), **data},
        *report_tables(image),
        f"Wrote {output}: {used}, id {image.id[:16]}.",
        *_board_lines(board, image, output),
    )


def _lesson(path: Path) -> "Lesson":
    """The lesson, before a network is compiled for it."""
    from spikewright.compiler.lesson import read_lesson

    return read_lesson(path)


def _core(path: Path | None) -> "CoreSpec | None":
    from spikewright.files import read_spec

    return read_spec(path) if path else None


def _fitted(
    model: Path,
    options: "CompileOptions",
    calibrate: Path | None,
    board: str,
    dump_passes: Path | None,
) -> "CoreImage":
    """Compile for a board."""
    from spikewright.boards.catalog import find_board
    from spikewright.fitting import compile_for_board

    return compile_for_board(
        find_board(board),
        options,
        lambda chosen, core: _compiled(model, chosen, calibrate, core, dump_passes),
    )


def _board_lines(name: str | None, image: "CoreImage", output: Path) -> list[str]:
    """How to get the bitstream that the image needs."""
    if name is None:
        return []
    from spikewright.boards.catalog import find_board

    if image.spec == find_board(name).spec:
        return [f"It runs on the core that {name} carries: spikewright build --board {name}"]
    return [
        f"It needs a core of its own, which {name} should have room for: "
        f"spikewright build --board {name} --image {output}"
    ]


def _compiled(
    model: Path,
    options: "CompileOptions",
    calibrate: Path | None,
    core: "CoreSpec | None",
    dump_passes: Path | None,
) -> "CoreImage":
    """Compile with the bits that were given."""
    from spikewright.compiler import compile_network
    from spikewright.compiler.superneuromat import compile_superneuromat
    from spikewright.files import read_spikes

    if model.suffix.lower() == ".json":
        return compile_superneuromat(model, options, spec=core)
    spikes = read_spikes(calibrate) if calibrate else None
    return compile_network(model, options, spec=core, calibration=spikes, dump_passes=dump_passes)


def _least(
    model: Path,
    options: "CompileOptions",
    calibrate: Path | None,
    spec: Path | None,
    keep: float | None,
    dump_passes: Path | None,
) -> "CoreImage":
    """Compile with the least weight bits that keep what the samples decide."""
    if calibrate is None:
        raise typer.BadParameter("--bits auto needs samples to decide with: --calibrate in.npz.")
    if spec or options.weight_bits is not None:
        raise typer.BadParameter("--bits auto excludes --weight-bits, and --spec, which has them.")
    from spikewright.compiler.search import KEEP, least_bits
    from spikewright.files import read_labels, read_spikes

    return least_bits(
        model,
        options,
        read_spikes(calibrate),
        read_labels(calibrate),
        keep=KEEP if keep is None else keep,
        dump_passes=dump_passes,
    )
