"""The command that shows a run while it goes on, in the terminal or in a browser."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from spikewright.arguments import ImageFile, Spikes
from spikewright.console import Console
from spikewright.pacing import Period, too_short

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from spikewright.monitored import Chunk, Monitored

__all__ = ["monitor"]

_MOST_TIMESTEPS = 16
"""At a time, unless told otherwise: few enough to look at, enough to keep a serial line busy."""
_LOOK_S = 0.1
"""Longest time between two looks at a run with a pace, unless a timestep takes longer."""


def monitor(
    console: Console,
    image: ImageFile,
    spikes: Spikes,
    target: Annotated[
        str, typer.Option(help="golden, verilator, virtual, or a serial port.")
    ] = "golden",
    v: Annotated[
        str | None,
        typer.Option(
            metavar="NEURON,...",
            help="Membranes to show: names such as 'hidden[3]', or numbers of the core's neurons.",
        ),
    ] = None,
    pace: Annotated[float, typer.Option(min=0, max=60, help="Least time a timestep [s].")] = 0.0,
    chunk: Annotated[
        int | None,
        typer.Option(min=1, max=4096, help="Timesteps at a time. [default: 16, fewer by --pace]"),
    ] = None,
    period: Period = None,
    web: Annotated[
        bool, typer.Option("--web", help="In a browser page of this machine; it starts the run.")
    ] = False,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Of --web. [default: a free one]")
    ] = None,
) -> None:
    """Show spikes, rates and chosen membranes while a run goes on; --json: one line a chunk."""
    if port is not None and not web:
        raise typer.BadParameter("--port is the page's: it needs --web.")
    if period is not None and (pace or chunk):
        raise typer.BadParameter("--period is the board's own: without --pace and --chunk.")
    from spikewright.files import fit_spikes, read_spikes
    from spikewright.image import CoreImage
    from spikewright.monitored import Monitored, watch

    core = CoreImage.load(image)
    stimulus = fit_spikes(read_spikes(spikes), core)
    watched = watch(core, v) if v is not None else ()
    samples, timesteps, _ = stimulus.shape
    watching = Monitored(core, target, samples, timesteps, watched, period)
    if chunk is None:
        chunk = max(1, min(_MOST_TIMESTEPS, int(_LOOK_S / pace))) if pace else _MOST_TIMESTEPS
    with ExitStack() as held:
        page = None
        if web:
            from spikewright.monitor_page import MonitorPage

            page = held.enter_context(MonitorPage(watching, port or 0))
            _say(console, {"url": page.url}, page.url)
        found = _chunks(console, watching, held, stimulus, chunk, pace)
        if page is not None:
            console.note("Open this page to start the run; Ctrl-C ends it.")
            page.wait()
        show = _view(console, watching, held, is_page=page is not None)
        for done in found:
            show(done)
            if page is not None:
                page.show(done)


def _chunks(
    console: Console,
    watching: "Monitored",
    held: ExitStack,
    stimulus: "npt.NDArray[np.bool_]",
    size: int,
    pace_s: float,
) -> "Iterator[Chunk]":
    """The run, which begins with the first of them."""
    from spikewright.monitored import chunks, open_device, open_steps, paced_chunks

    core, target, period_s = watching.image, watching.target, watching.period_s
    neurons = [w.neuron for w in watching.watched]
    if period_s is None:
        step = held.enter_context(open_steps(target, core, neurons=neurons, report=console.note))
        return chunks(step, stimulus, size, pace_s)
    from spikewright.runtime.pace import check_period

    check_period(period_s)
    device = held.enter_context(open_device(target, core, report=console.note))
    if warning := too_short(core, period_s, device.clock_hz):
        console.note(warning)
    return paced_chunks(device, stimulus, period_s, neurons)


def _view(
    console: Console, watching: "Monitored", held: ExitStack, *, is_page: bool
) -> "Callable[[Chunk], object]":
    """What shows chunks on stdout."""
    if console.json:
        return lambda chunk: _say(console, watching.chunk_facts(chunk), "")
    if is_page or console.quiet:
        return lambda chunk: None
    from spikewright.monitor_terminal import MonitorView, line

    if sys.stdout.isatty() and sys.stdout.encoding.lower().startswith("utf"):
        return held.enter_context(MonitorView(watching)).show
    return lambda chunk: console.result({}, line(watching, chunk))


def _say(console: Console, data: dict[str, object], text: str) -> None:
    """One line: a stream of JSON is one document a line."""
    if console.json:
        print(json.dumps(data, allow_nan=False), flush=True)
    else:
        console.result({}, text)
