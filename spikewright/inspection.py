"""The commands that look into a network, diagnose and explain, and what they print."""

import shutil
import textwrap
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikewright.arguments import CoreFile, ImageFile, Spikes, compile_options
from spikewright.console import Console, Table

if TYPE_CHECKING:
    from spikewright.compiler.diagnose import Diagnosis, Trial
    from spikewright.compiler.divergence import Comparison, Difference
    from spikewright.compiler.explain import Explanation, Incoming
    from spikewright.compiler.report import CompileReport

__all__ = ["diagnose", "explain"]

_WIDEST = 100
_TIMES_SHOWN = 6
_WEIGHTS_SHOWN = 16


def diagnose(
    console: Console,
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Network as a NIR file.")],
    spikes: Spikes,
    spec: CoreFile = None,
    **options: Any,
) -> None:
    """Say what a network loses in integers on your spikes, and what to do about it."""
    from spikewright.compiler.diagnose import diagnose
    from spikewright.files import read_spec, read_spikes

    chosen = compile_options(**options)
    core = read_spec(spec) if spec else None
    stimulus = read_spikes(spikes)
    with console.progress("Diagnosing"):
        found = diagnose(model, chosen, stimulus, spec=core)
    console.result(found.to_dict(), *_diagnosis(found))


def explain(
    console: Console,
    image: ImageFile,
    neuron: Annotated[
        str, typer.Argument(metavar="NAME[INDEX]", help="Such as 'hidden[3]' or 'conv[2,0,5]'.")
    ],
    spikes: Spikes,
    sample: Annotated[int, typer.Option(min=0, help="Which sample of the spikes.")] = 0,
) -> None:
    """Tell the story of one neuron on one sample: why it spikes, or why it does not."""
    from spikewright.compiler.explain import explain
    from spikewright.errors import DataError
    from spikewright.files import read_spikes
    from spikewright.image import CoreImage

    core = CoreImage.load(image)
    stimulus = read_spikes(spikes)
    if sample >= len(stimulus):
        raise DataError(
            f"Sample must be in [0, {len(stimulus) - 1}], not {sample}.",
            hint=f"{str(spikes)!r} holds {len(stimulus)} samples.",
        )
    found = explain(core, stimulus[sample], neuron)
    shown = None if console.verbosity else _WEIGHTS_SHOWN
    data = {"image": core.id, "sample": sample, **found.to_dict()}
    console.result(data, *_explanation(found, sample, shown))


# A diagnosis


def _diagnosis(found: "Diagnosis") -> Iterator[Table | str]:
    compared = found.comparison
    yield _wrapped(_headline(compared))
    for number, finding in enumerate(found.findings, 1):
        yield ""
        yield _wrapped(finding.what, f"{number:2}. ")
        yield _wrapped(finding.remedy, "    ")
    if not found.findings:
        yield _wrapped("No findings: nothing is clipped, clamped, silent or unlike float.")
    yield ""
    if len(found.trials) > 1:
        yield _trials(found.trials, compared.samples)
    if compared.first:
        yield from _first(compared.first)
    yield _activity(found.report, compared)
    if any(layer.spiking for layer in compared.layers.values()):
        yield _by_timestep(compared)
    yield _ranges(found.report)
    yield _weights(found.report)


def _headline(compared: "Comparison") -> str:
    if not any(layer.spiking for layer in compared.layers.values()):
        worst = max(layer.v_error for layer in compared.layers.values())
        return f"No layer spikes; potentials are {worst:.2%} off those in float, or less."
    decisions = "".join(
        f", and the most active neuron of {name!r} is the same in {count}"
        for name, count in compared.equal_decisions.items()
    )
    return (
        f"{_share(compared.agreement)} of all spikes, or silences, are those of the network in "
        f"float; {compared.equal_samples} of {compared.samples} samples are equal throughout"
        f"{decisions}."
    )


def _trials(trials: "Sequence[Trial]", samples: int) -> Table:
    columns = ["options", "spikes", "samples"]
    columns += ["decisions"] if trials[0].equal_decisions else []
    columns += ["v error"] if trials[0].v_error is not None else []
    columns.append("clamped")
    rows = []
    for trial in trials:
        change = [f"{name}={value:g}" for name, value in trial.change.items()]
        row = [", ".join(change) or "as it is"]
        if trial.agreement is None or trial.saturated_share is None:
            row.append(f"refused: {trial.refused}")
        else:
            row += [_share(trial.agreement), f"{trial.equal_samples} of {samples}"]
            if trial.equal_decisions:
                row.append(f"{min(trial.equal_decisions.values())} of {samples}")
            if trial.v_error is not None:
                row.append(f"{trial.v_error:.2%}")
            row.append(f"{trial.saturated_share:.2%}")
        rows.append(row + [""] * (len(columns) - len(row)))
    return Table(
        columns, rows, title="Tried on the same spikes: what is equal to float, and clamped"
    )


def _first(first: "Difference") -> Iterator[Table | str]:
    spiked = ("yes", "no") if first.float_spiked else ("no", "yes")
    rows = [
        ("float", _number(first.float_v), _number(first.float_threshold), spiked[0]),
        ("integers", _number(first.integer_v), _number(first.integer_threshold), spiked[1]),
    ]
    gap = abs(first.integer_v - first.float_v)
    yield _wrapped(
        f"First difference: {first.layer}[{first.neuron}] in timestep {first.timestep} of sample "
        f"{first.sample}. All spikes of the sample until then are equal; v is {_number(gap)} "
        f"apart, {_number(gap / first.weight_unit)} times this neuron's weight unit."
    )
    yield Table(("", "v", "threshold", "spike"), rows)


def _activity(report: "CompileReport", compared: "Comparison") -> Table:
    rows = []
    for name, layer in compared.layers.items():
        row = [name]
        if layer.spiking and (measured := report.layers[name].measured):
            row.append(f"{layer.integer_spikes} ({layer.float_spikes})")
            row.append(f"{measured.silent} ({layer.float_silent})")
            row.append(f"{measured.always} ({layer.float_always})")
            row.append(_share(layer.mean_agreement))
        rows.append([*row, *[""] * (5 - len(row)), f"{layer.v_error:.2%}"])
    columns = ("layer", "spikes", "silent", "always on", "equal", "v error")
    return Table(columns, rows, title="Activity, of the network in float in brackets")


def _by_timestep(compared: "Comparison") -> Table:
    """Means over equal stretches of time."""
    layers = {name: layer for name, layer in compared.layers.items() if layer.spiking}
    timesteps = len(next(iter(compared.layers.values())).agreement)
    parts = min(timesteps, _TIMES_SHOWN)
    edges = [timesteps * k // parts for k in range(parts + 1)]
    spans = [range(a, b) for a, b in pairwise(edges)]
    heads = [f"{s[0]}" if len(s) == 1 else f"{s[0]}-{s[-1]}" for s in spans]
    rows = [
        [name, *(_share(sum(layer.agreement[t] for t in s) / len(s)) for s in spans)]
        for name, layer in layers.items()
    ]
    return Table(("layer", *heads), rows, title="Equal spikes by timestep")


def _ranges(report: "CompileReport") -> Table:
    columns = ("layer", "peak sum", "worst sum", "limit", "v or i clamped", "share")
    rows = []
    for name, layer in report.layers.items():
        m = layer.measured
        row = [name, str(m.acc_peak) if m else "", str(layer.acc_worst), str(layer.acc_limit)]
        row += [str(m.saturations), f"{m.saturated_share:.2%}"] if m else ["", ""]
        rows.append(row)
    return Table(columns, rows, title="Accumulators, in weight units, and state")


def _weights(report: "CompileReport") -> Table:
    columns = ("layer", "neurons", "synapses", "weight unit", "clipped", "to zero", "error")
    rows = [
        (
            name,
            str(layer.neurons),
            str(layer.synapses),
            f"{layer.scale_min:.3g} to {layer.scale_max:.3g}",
            str(layer.clipped_weights),
            str(layer.zeroed_weights),
            f"{layer.weight_error:.2%}",
        )
        for name, layer in report.layers.items()
    ]
    return Table(columns, rows, title="Weights")


# An explanation


def _explanation(found: "Explanation", sample: int, most: int | None) -> Iterator[Table | str]:
    yield f"{found.population}[{found.index}], sample {sample}"
    yield from map(_wrapped, found.story)
    facts = [
        (c.name, _number(c.value), str(c.raw))
        for c in found.constants
        if found.can_spike or c.name != "v_threshold"
    ]
    facts.append(("weight unit", _number(found.scale), "1"))
    yield Table(("parameter", "value", "raw"), facts)
    yield _incoming(found.incoming[:most])
    if left := len(found.incoming[most:]) if most else 0:
        yield f"And {left} smaller ones; -v shows them."
        yield ""
    yield _moments(found)


def _incoming(synapses: "Sequence[Incoming]") -> Table:
    columns = ("source", "weight", "raw", "delay", "spikes", "total")
    rows = [
        (
            f"{synapse.source}[{synapse.index}]",
            _number(synapse.weight),
            str(synapse.weight_raw),
            str(synapse.delay),
            str(synapse.arrived),
            _number(synapse.total),
        )
        for synapse in synapses
    ]
    return Table(columns, rows, title="Weights, the largest first")


def _moments(found: "Explanation") -> Table:
    columns = ("timestep", "spikes", "input", "i", "v", "threshold", "event")
    rows = []
    for moment in found.moments:
        notes = ["spike"] if moment.spike else []
        notes += ["refractory"] if moment.refractory else []
        notes += ["saturated"] if moment.saturated else []
        row = [str(moment.timestep), str(moment.arrived)]
        row += map(_number, (moment.input, moment.i, moment.v))
        row.append(_number(moment.v_threshold) if found.can_spike else "none")
        rows.append([*row, ", ".join(notes)])
    return Table(columns, rows, title="What arrives, and what it does with it")


# Text


def _wrapped(text: str, start: str = "") -> str:
    """A paragraph as wide as the terminal, at most as wide as is easy to read."""
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    return textwrap.fill(
        text,
        width,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
    )


def _number(x: float) -> str:
    return f"{x + 0.0:.4g}"  # a zero has no sign here


def _share(x: float) -> str:
    """A percentage that is 100 only where all are."""
    return "100%" if x == 1 else f"{min(x, 0.9999):.2%}"
