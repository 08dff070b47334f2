"""Paced runs on the command line: the period as it is typed, and what is said of overruns."""

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from spikewright.console import Console
    from spikewright.image import CoreImage
    from spikewright.target import RunResult

__all__ = ["Period", "overrun_lines", "pace_facts", "period_text", "too_short"]

_EXPONENTS = {"us": -6, "ms": -3, "s": 0}


def _read_period(text: str) -> float:
    """``250us``, ``1ms`` or ``0.005s`` in seconds."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(us|ms|s)", text)
    if match is None:
        raise typer.BadParameter(f"must be a time such as 250us or 1ms, not {text!r}.")
    return float(f"{match[1]}e{_EXPONENTS[match[2]]}")


Period = Annotated[
    float | None,
    typer.Option(
        parser=_read_period,
        metavar="TIME",
        help="Begin timesteps on ticks of the board's timer so far apart, 100us to 10ms.",
    ),
]


def period_text(period_s: float) -> str:
    """A period as it is typed."""
    return f"{1e3 * period_s:g}ms" if period_s >= 1e-3 else f"{1e6 * period_s:g}us"


def too_short(image: "CoreImage", period_s: float, clock_hz: int) -> str | None:
    """What to say before a run whose timesteps, of inference, may take longer than the period."""
    from spikewright.runtime.stream import worst_timestep_cycles

    cycles = worst_timestep_cycles(image, learns=False)
    if cycles <= period_s * clock_hz:
        return None
    return (
        f"A timestep in which everything spikes takes up to {cycles:,} cycles, "
        f"{_us(cycles, clock_hz)}: longer than {period_text(period_s)}. Overruns are counted."
    )


def pace_facts(result: "RunResult", period_s: float | None) -> dict[str, Any]:
    """For JSON: the period, and the overruns of each sample; nothing of a run on demand."""
    if result.overruns is None:
        return {}
    return {"period_s": period_s, "overruns": result.overruns.tolist()}


def overrun_lines(
    console: "Console",
    image: "CoreImage",
    stimulus: "npt.NDArray[np.bool_]",
    result: "RunResult",
    period_s: float,
    clock_hz: int,
) -> list[str]:
    """What to say after a paced run: that it was in time; or why not, and what to do about it.

    To know why, all is run again by the golden model, with a progress bar.
    """
    if result.overruns is None:
        return []
    total, period = int(result.overruns.sum()), period_text(period_s)
    if not total:
        return [f"In real time: no overrun at {period} a timestep."]
    cycles = _most_cycles(console, image, stimulus)
    advice = "The host or the line was late. Take a longer period or a faster line"
    if cycles > period_s * clock_hz:
        advice = "Take a longer period than that, or a board with a faster clock"
    slowest = f"The slowest timestep takes the core {cycles:,} cycles, {_us(cycles, clock_hz)}"
    return [
        f"Overruns: {total}. So many ticks, {period} apart, were missed: the run took "
        "so much longer; its results are those of one in time.",
        f"{slowest}. {advice}.",
    ]


def _most_cycles(console: "Console", image: "CoreImage", stimulus: "npt.NDArray[np.bool_]") -> int:
    """Cycles that the core takes for the slowest timestep, by the golden model."""
    from spikewright.sim.golden import GoldenTarget

    golden = GoldenTarget()
    golden.load(image)
    with console.progress("Looking for the slowest timestep", len(stimulus)) as progress:
        cycles = golden.run(stimulus, progress=progress).cycles
    return 0 if cycles is None else int(cycles.max())


def _us(cycles: int, clock_hz: int) -> str:
    return f"{1e6 * cycles / clock_hz:.1f} us at {clock_hz / 1e6:g} MHz"
