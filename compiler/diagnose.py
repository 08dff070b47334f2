"""Diagnosis: what a network lost on its way to integers, on a user's spikes, and what helps."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from spikewright.errors import SpikewrightError
from spikewright.files import fit_spikes
from spikewright.image import CoreImage
from spikewright.spec import CoreSpec

from .divergence import Comparison, compare_with_float
from .graph import Network
from .options import CompileOptions
from .pipeline import circuit_of, compile_network, load_network
from .remedies import Case, Finding, examine
from .report import CompileReport, calibrate
from .semantics import resolve

if TYPE_CHECKING:
    import nir

__all__ = ["Diagnosis", "Trial", "diagnose"]

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Trial:
    """The network compiled with other options and run on the same spikes.

    Attributes
    ----------
    change : mapping of str to number
        Fields of :class:`CompileOptions`; empty for the network as it is.
    agreement : float or None
        As :attr:`Comparison.agreement`; None where the network does not compile so.
    equal_samples, equal_decisions : int and mapping of str to int, or None
        As in :class:`Comparison`.
    v_error : float or None
        The largest of the layers that cannot spike; None also where all can.
    saturated_share : float or None
        Neuron updates in which v or i was clamped, over all.
    refused : str
        Why it does not compile.
    """

    change: Mapping[str, float]
    agreement: float | None = None
    equal_samples: int | None = None
    equal_decisions: Mapping[str, int] | None = None
    v_error: float | None = None
    saturated_share: float | None = None
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found.

    Attributes
    ----------
    image : CoreImage
        The network as it was compiled.
    report : CompileReport
        With what each layer did.
    comparison : Comparison
        With the float reference.
    findings : tuple of Finding
        What matters most first.
    trials : tuple of Trial
        The network as it is, then what the findings propose, the best first.
    """

    image: CoreImage
    report: CompileReport
    comparison: Comparison
    findings: tuple[Finding, ...]
    trials: tuple[Trial, ...]

    def to_dict(self) -> dict[str, Any]:
        """All but the image, as JSON takes it."""
        compared = self.comparison
        return {
            "image": self.image.id,
            **self.report.to_dict(),
            "float": {
                "agreement": compared.agreement,
                "samples": compared.samples,
                "equal_samples": compared.equal_samples,
                "equal_decisions": dict(compared.equal_decisions),
                "first": asdict(compared.first) if compared.first else None,
                "layers": {name: asdict(layer) for name, layer in compared.layers.items()},
            },
            "findings": [asdict(finding) for finding in self.findings],
            "trials": [asdict(trial) for trial in self.trials],
        }


def diagnose(
    source: "Path | str | nir.NIRGraph | Network",
    options: CompileOptions,
    spikes: Bools,
    spec: CoreSpec | None = None,
) -> Diagnosis:
    """Compile a network, run it in float and in integers, and say what differs and what helps.

    Parameters
    ----------
    source : path, nir.NIRGraph or Network
    options : CompileOptions
    spikes : bool[samples, timesteps, inputs]
        Input spikes that are typical for its use.
    spec : CoreSpec, optional
        The core to fit; by default the smallest that holds the network.

    Raises
    ------
    ModelError, SpecError
        As :func:`compile_network`, and for spikes without a sample or timestep.
    DataError
        Spikes that do not have a line for each input.
    """
    network = load_network(source)
    image, report, comparison = _run(network, options, spikes, spec)
    circuit = circuit_of(resolve(network, options), options.discretization)
    findings = examine(Case(circuit, image, report, comparison, options, spikes))
    tried = [_trial(network, options, spikes, spec, change) for change in _merged(findings)]
    tried.sort(key=lambda trial: (-(trial.agreement or 0.0), trial.v_error or 0.0))
    return Diagnosis(
        image, report, comparison, findings, (_outcome({}, report, comparison), *tried)
    )


def _run(
    network: Network, options: CompileOptions, spikes: Bools, spec: CoreSpec | None
) -> tuple[CoreImage, CompileReport, Comparison]:
    """Compile, and run both models."""
    tuned = spikes if options.tune else None
    image = compile_network(network, options, spec=spec, calibration=tuned)
    if spikes.ndim == 3:  # another number of axes is for calibrate to refuse
        fit_spikes(spikes, image)
    report = calibrate(image, CompileReport.of(image), spikes)
    circuit = circuit_of(resolve(network, options), options.discretization)
    return image, report, compare_with_float(circuit, image, spikes)


def _merged(findings: tuple[Finding, ...]) -> list[dict[str, float]]:
    """What findings propose; of changes of the same fields, the one that is enough for all."""
    merged: dict[tuple[str, ...], dict[str, float]] = {}
    for finding in findings:
        for change in finding.changes:
            most = merged.setdefault(tuple(change), dict(change))
            for name, value in change.items():
                enough = min if name == "fraction_bits" else max
                most[name] = enough(most[name], value)
    return list(merged.values())


def _trial(
    network: Network,
    options: CompileOptions,
    spikes: Bools,
    spec: CoreSpec | None,
    change: Mapping[str, float],
) -> Trial:
    """Run with changed options, on a core changed alike if one was given."""
    changed: dict[str, Any] = dict(change)
    formats = {name: bits for name, bits in changed.items() if name != "percentile"}
    try:
        other = replace(spec, **formats) if spec else None
        _, report, comparison = _run(network, replace(options, **changed), spikes, other)
    except SpikewrightError as error:
        return Trial(change, refused=" ".join([error.what, *error.reasons]))
    return _outcome(change, report, comparison)


def _outcome(change: Mapping[str, float], report: CompileReport, comparison: Comparison) -> Trial:
    layers = report.layers.values()
    clamped = sum(
        layer.measured.saturated_share * layer.neurons for layer in layers if layer.measured
    )
    errors = [layer.v_error for layer in comparison.layers.values() if not layer.spiking]
    return Trial(
        change,
        agreement=comparison.agreement,
        equal_samples=comparison.equal_samples,
        equal_decisions=comparison.equal_decisions,
        v_error=max(errors, default=None),
        saturated_share=clamped / sum(layer.neurons for layer in layers),
    )
