"""The command line: thin commands over the API that a script would call."""

import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from spikewright import __version__
from spikewright.arguments import (
    ImageFile,
    Json,
    Quiet,
    Spikes,
    Verbose,
    with_compile_options,
)
from spikewright.building import boards, build
from spikewright.compilation import compile
from spikewright.console import Console, Table, explain
from spikewright.devices import devices
from spikewright.doctor import doctor
from spikewright.errors import SpikewrightError
from spikewright.flashing import flash
from spikewright.inspection import diagnose
from spikewright.inspection import explain as explain_neuron
from spikewright.monitoring import monitor
from spikewright.running import run
from spikewright.teaching import learn, recover

__all__ = ["app", "main"]

app = typer.Typer(
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="From a trained spiking network to an FPGA, proved equal at every step.",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    int
        0; 1 after an error, a difference or a missing requirement; 2 after a wrong command line;
        130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    console = Console(json="--json" in arguments)
    try:
        code = app(arguments, prog_name="spikewright", standalone_mode=False, obj=console)
        return int(code or 0)
    except typer.TyperException as error:
        usage = SpikewrightError(error.format_message(), hint="See: spikewright COMMAND --help")
        return console.error(usage, "UsageError", code=2)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except Exception as error:
        return console.error(*explain(error))


def _version(wanted: bool) -> None:
    if wanted:
        print(f"spikewright {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _shared(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    context.obj.configure(json=json, verbosity=verbose, quiet=quiet)
    if context.invoked_subcommand is None:
        print(context.get_help())


def _command(function: Callable[..., int | None]) -> Callable[..., int | None]:
    """Register a subcommand and give it the options that each one takes.

    The function's first parameter is the :class:`Console`; what it returns is the exit code.
    """

    @functools.wraps(function)
    def run(
        context: typer.Context, *, json: bool, verbose: int, quiet: bool, **options: Any
    ) -> int | None:
        context.obj.configure(json=json, verbosity=verbose, quiet=quiet)
        return function(context.obj, **options)

    def keyword(name: str, kind: Any, default: Any) -> inspect.Parameter:
        return inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default
        )

    context = inspect.Parameter(
        "context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
    )
    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in list(inspect.signature(function).parameters.values())[1:]
    ]
    shared = [
        keyword("json", Json, False),
        keyword("verbose", Verbose, 0),
        keyword("quiet", Quiet, False),
    ]
    vars(run)["__signature__"] = inspect.Signature([context, *own, *shared])
    app.command()(run)
    return function


_command(with_compile_options(compile))
_command(with_compile_options(diagnose))
_command(explain_neuron)
_command(monitor)
_command(learn)
_command(recover)
_command(boards)
_command(build)
_command(devices)
_command(flash)
_command(doctor)
_command(run)


@_command
def verify(
    console: Console,
    image: ImageFile,
    spikes: Annotated[
        Path | None, typer.Option(help="Input spikes as for run; by default random ones.")
    ] = None,
    timesteps: Annotated[int, typer.Option(min=1, help="Timesteps of random samples.")] = 100,
    samples: Annotated[int, typer.Option(min=1, help="Random samples.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Of random spikes and stalls.")] = 0,
    trace_dir: Annotated[
        Path | None, typer.Option(help="Folder for a waveform of the first difference.")
    ] = None,
) -> None:
    """Compare RTL and golden model, every register, every timestep; learning, if the core can."""
    from spikewright.files import fit_spikes, read_spikes
    from spikewright.image import CoreImage
    from spikewright.sim.compare import verify as compare

    core = CoreImage.load(image)
    stimulus = fit_spikes(read_spikes(spikes), core) if spikes else None
    total = samples if stimulus is None else len(stimulus)
    with console.progress("Comparing", total) as progress:
        report = compare(
            core,
            stimulus,
            timesteps=timesteps,
            samples=samples,
            seed=seed,
            waveforms=trace_dir,
            progress=progress,
            report=console.note,
        )
    report.check()
    learned = f"{report.updates} changes of synapses, " if core.spec.plastic else ""
    console.result(
        {"image": core.id, "seed": seed, "equal": True, **asdict(report)},
        f"Equal in every register: {report.samples} samples, {report.timesteps} timesteps, "
        f"{report.neuron_steps} neuron-steps, {report.spikes} spikes, {report.cycles} cycles, "
        f"{learned}in {report.seconds:.2f} s (seed {seed}).",
    )


@_command
def board(
    console: Console,
    virtual: Annotated[
        bool, typer.Option("--virtual", help="Simulate the board, UART pins included.")
    ] = False,
    spec: Annotated[Path | None, typer.Option(help="Core to build, as JSON, or a preset.")] = None,
    image: Annotated[Path | None, typer.Option(help="Core image whose core to build.")] = None,
    replay: Annotated[
        Path | None, typer.Option(help="Be the device of a session that run --record wrote.")
    ] = None,
) -> None:
    """Start a virtual board and print its serial port; Ctrl-C ends it."""
    if replay and (virtual or spec or image):
        raise typer.BadParameter("--replay excludes --virtual, --spec and --image.")
    if replay:
        from spikewright.recording import read_recording
        from spikewright.sim.replay import Replay
        from spikewright.sim.terminal import Terminal

        recorded = Replay(read_recording(replay))
        with Terminal(recorded) as terminal:
            console.result({"port": terminal.path, "requests": len(recorded)}, terminal.path)
            console.note(f"This port replays {len(recorded)} requests until Ctrl-C.")
            with suppress(KeyboardInterrupt):
                terminal.wait()
        return
    if not virtual:
        raise typer.BadParameter("A real board needs no command: run --target takes its port.")
    if spec and image:
        raise typer.BadParameter("--spec and --image exclude each other.")
    from spikewright.files import read_spec
    from spikewright.image import CoreImage
    from spikewright.sim.virtual import VirtualBoard
    from spikewright.spec import CoreSpec

    core = CoreImage.load(image).spec if image else read_spec(spec) if spec else CoreSpec()
    with console.progress("Building the board"):
        simulated = VirtualBoard(core, report=console.note)
    with simulated:
        facts = {"port": simulated.path, "spec_hash": core.hash, "spec": asdict(core)}
        console.result(facts, simulated.path)
        console.note(f"This port is a board of spec {core.hash[:16]} until Ctrl-C.")
        with suppress(KeyboardInterrupt):
            simulated.wait()


@_command
def info(console: Console, image: ImageFile) -> None:
    """Say what an image holds: spec, populations, semantics, report."""
    from spikewright.image import CoreImage
    from spikewright.summary import image_summary, image_tables

    core = CoreImage.load(image)
    console.result(image_summary(core), *image_tables(core))


@_command
def cost(
    console: Console,
    image: ImageFile,
    spikes: Spikes,
    clock: Annotated[float, typer.Option(help="Clock of the core [Hz].")] = 100e6,
) -> None:
    """Say what inferences would cost on hardware: cycles, link bytes, energy band, NeuroBench."""
    from spikewright.cost import cost as estimate
    from spikewright.cost import cost_summary, cost_tables
    from spikewright.files import fit_spikes, read_spikes
    from spikewright.image import CoreImage

    core = CoreImage.load(image)
    stimulus = fit_spikes(read_spikes(spikes), core)
    with console.progress("Running", len(stimulus)) as progress:
        found = estimate(core, stimulus, clock_hz=clock, progress=progress)
    console.result({"image": core.id, **cost_summary(found)}, *cost_tables(found))


@_command
def record(
    console: Console,
    image: ImageFile,
    spikes: Spikes,
    output: Annotated[Path, typer.Option("--output", "-o", help="Case to be made, a folder.")],
) -> None:
    """Record a case: image, input spikes, golden results."""
    from spikewright.files import read_spikes
    from spikewright.image import CoreImage
    from spikewright.sim.regress import record_case

    stimulus = read_spikes(spikes)
    with console.progress("Recording", len(stimulus)) as progress:
        case = record_case(CoreImage.load(image), stimulus, output, progress=progress)
    samples, timesteps, _ = case.spikes.shape
    count = int(case.golden.spikes.sum())
    console.result(
        {
            "output": str(output),
            "image": case.image.id,
            "samples": samples,
            "timesteps": timesteps,
            "spikes": count,
        },
        f"Recorded {output}: {samples} samples, {timesteps} timesteps, {count} spikes.",
    )


@_command
def regress(
    console: Console,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Searched for cases.")],
    target: Annotated[
        list[str] | None, typer.Option(help="As for run, may be repeated; default: all models.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Report to be written, JUnit XML.")] = None,
) -> int:
    """Run recorded cases again; exit code 1 on a difference."""
    from spikewright.files import write_whole
    from spikewright.sim.regress import TARGETS, find_cases, junit_xml
    from spikewright.sim.regress import regress as run_cases

    targets = tuple(target or TARGETS)
    with console.progress("Running cases", len(find_cases(folder)) * len(targets)) as progress:
        outcomes = run_cases(folder, targets, progress=progress)
    if junit:
        write_whole(junit, junit_xml(outcomes))
    bad = [outcome for outcome in outcomes if outcome.status != "passed"]
    rows = [(o.case, o.target, o.status, f"{o.seconds:.2f}") for o in outcomes]
    console.result(
        {
            "passed": len(outcomes) - len(bad),
            "failed": sum(outcome.status == "failed" for outcome in bad),
            "errors": sum(outcome.status == "error" for outcome in bad),
            "outcomes": [asdict(outcome) for outcome in outcomes],
        },
        Table(("case", "target", "status", "seconds"), rows),
        *(f"{o.case} on {o.target}, {o.status}: {o.message}" for o in bad),
        f"{len(outcomes) - len(bad)} of {len(outcomes)} passed.",
    )
    return 1 if bad else 0
