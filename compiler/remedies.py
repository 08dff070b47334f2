"""Findings of a diagnosis, what matters most first, and what to do about each."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from spikewright.errors import ModelError
from spikewright.fixed import DECAY_ONE, signed_range
from spikewright.image import CoreImage
from spikewright.spec import CoreSpec

from .divergence import Comparison, LayerComparison
from .ir import Circuit
from .options import CompileOptions
from .quantize import quantize
from .report import CompileReport, LayerReport, Measured

__all__ = ["Case", "Finding", "examine"]

Array = npt.NDArray[np.float64]
Change = Mapping[str, Any]
"""Fields of CompileOptions and their values."""

MOST_STATE_BITS, MOST_WEIGHT_BITS = 24, 16
"""What a core can have at most; see :class:`~spikewright.spec.CoreSpec`."""

ZEROED_SHARE = 0.01
"""Weights that may round to 0 before it is worth a word."""
V_ERROR = 0.01
"""Error of v, over v, that a layer without spikes may have before it is worth a word."""
COARSE = 1.5
"""Times a neuron's scale may be what its weights need before it is worth a word: half a bit."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that went wrong, or may.

    Attributes
    ----------
    kind : str
        For scripts: "no input", "silent", "saturated", "coarse", "silenced", "differs",
        "potential", "decay", "clipped", "zeroed", "always" or "unused".
    layer : str
        Name of the population, empty for the whole network.
    what, remedy : str
        One sentence each.
    changes : tuple of mapping of str to number
        Fields of CompileOptions that may mend it; each mapping alone.
    """

    kind: str
    layer: str
    what: str
    remedy: str
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """What a diagnosis knows."""

    circuit: Circuit
    image: CoreImage
    report: CompileReport
    comparison: Comparison
    options: CompileOptions
    spikes: npt.NDArray[np.bool_]

    def silent_sources(self, name: str) -> list[str]:
        """Sources of a population, if none of them ever spikes in float; else an empty list."""
        sources = [edge.source for edge in self.circuit.into(name) if edge.source != name]
        return [] if any(map(self._spikes, sources)) else sources

    def _spikes(self, source: str) -> bool:
        if source in self.comparison.layers:
            return self.comparison.layers[source].float_spikes > 0
        axons = next(p.slice for p in self.image.manifest.inputs if p.name == source)
        return bool(self.spikes[..., axons].any())


@dataclass(frozen=True, eq=False)
class _Layer:
    """A case as one of its layers sees it."""

    case: Case
    name: str
    report: LayerReport
    measured: Measured
    compared: LayerComparison

    @property
    def spec(self) -> CoreSpec:
        return self.case.image.spec

    def finding(self, kind: str, what: str, remedy: str, *changes: Change) -> Finding:
        changes = tuple(change for change in changes if change)
        return Finding(kind, self.name, f"{self.name}: {what}.", remedy, changes)

    def scale(self, change: Change) -> Array | None:
        """The neurons' scales with other formats; None if these are refused."""
        try:
            spec = replace(self.spec, **change)
            quantized = quantize(self.case.circuit, spec, replace(self.case.options, tune=False))
        except ModelError:
            return None
        return quantized.populations[self.name].scale

    def holds(self, change: Change) -> bool:
        """Whether the state of other formats holds what v and i reach in float."""
        scale, spec = self.scale(change), replace(self.spec, **change)
        if scale is None:
            return False
        limit = signed_range(spec.state_bits)[1] * scale / 2.0**spec.fraction_bits
        return bool((self.case.comparison.peaks[self.name] < limit).all())

    def coarse(self, change: Change) -> int:
        """Neurons whose scale bias, threshold or reset make larger than the weights need."""
        scale = self.scale(change)
        least = self.scale({**change, "state_bits": MOST_STATE_BITS, "fraction_bits": 0})
        if scale is None or least is None:
            return self.report.neurons
        return int((scale > COARSE * least).sum())

    def wider(self) -> Iterator[Change]:
        """More bits for the state, then fewer of them below one weight unit, then both."""
        bits, fraction = self.spec.state_bits, self.spec.fraction_bits
        yield from ({"state_bits": k} for k in range(bits + 1, MOST_STATE_BITS + 1))
        fewer = range(fraction - 1, -1, -1)
        yield from ({"fraction_bits": k} for k in fewer)
        if bits < MOST_STATE_BITS:
            yield from ({"state_bits": MOST_STATE_BITS, "fraction_bits": k} for k in fewer)

    @cached_property
    def finer(self) -> Change:
        """Two bits more for the weights, and a state that holds them; empty if there are none."""
        weight_bits = min(self.spec.weight_bits + 2, MOST_WEIGHT_BITS)
        if weight_bits == self.spec.weight_bits:
            return {}
        for state_bits in range(self.spec.state_bits, MOST_STATE_BITS):
            change = {"weight_bits": weight_bits, "state_bits": state_bits}
            if self.holds(change) and not self.coarse(change):
                return change
        return {"weight_bits": weight_bits, "state_bits": MOST_STATE_BITS}

    def refined(self, why: str = "") -> str:
        """The sentence that proposes :attr:`finer`."""
        if not self.finer:
            return "No core has finer weights: train the network with its quantization in the loop."
        return f"Compile with {_said(self.finer)}{why}."


def examine(case: Case) -> tuple[Finding, ...]:
    """All findings, what matters most first; of one kind, in the order of levels."""
    layers = [
        _Layer(case, name, case.report.layers[name], measured, compared)
        for name, compared in case.comparison.layers.items()
        for measured in [case.report.layers[name].measured]
        if measured
    ]
    found = list(_no_input(case))
    for rule in (
        _silent, _saturated, _coarse, _silenced, _differs, _potential, _decays, _clipped, _zeroed,
        _always, _unused,
    ):  # fmt: skip
        for layer in layers:
            found += rule(layer)
    return tuple(found)


def _no_input(case: Case) -> Iterator[Finding]:
    if not case.spikes.any():
        yield Finding(
            "no input",
            "",
            "No input line ever spikes in these samples.",
            "Check how the samples were encoded, and that the array is [samples, timesteps, "
            "inputs] with 1 where a line spikes.",
        )


def _silent(layer: _Layer) -> Iterator[Finding]:
    """Layers of which nothing comes."""
    compared, closest = layer.compared, layer.compared.closest
    if closest is None or compared.integer_spikes:
        return
    neurons = f"none of its {layer.report.neurons} neurons ever spikes"
    if compared.float_spikes:
        yield layer.finding(
            "silent",
            f"{neurons}, but {compared.float_spikes} times in float",
            layer.refined(": rounding took what drives it"),
            layer.finer,
        )
        return
    what = (
        f"{neurons}, not even in float, where neuron {closest.neuron} comes closest: v "
        f"{closest.v:.4g}, threshold {closest.v_threshold:.4g}"
    )
    if sources := layer.case.silent_sources(layer.name):
        names = ", ".join(map(repr, sources))
        remedy = f"Mend what feeds it first: no spike comes from {names}."
    else:
        remedy = (
            f"Lower v_threshold or enlarge the weights{_factor(closest.v, closest.v_threshold)}, "
            "and check that dt is the one that the network was trained with."
        )
    yield layer.finding("silent", what, remedy)


def _factor(v: float, v_threshold: float) -> str:
    return f" {1.1 * v_threshold / v:.2g} times" if 0 < v <= v_threshold else ""


def _saturated(layer: _Layer) -> Iterator[Finding]:
    if not layer.measured.saturations:
        return
    peak, spec = layer.case.comparison.peaks[layer.name], layer.spec
    scale = np.array(layer.case.image.manifest.scales[layer.name])
    limit = signed_range(spec.state_bits)[1] * scale / 2.0**spec.fraction_bits
    n = int((peak / limit).argmax())
    what = (
        f"v or i is clamped in {layer.measured.saturated_share:.2%} of its updates: in float, "
        f"neuron {n} reaches {peak[n]:.4g}, and {spec.state_bits} bits hold {limit[n]:.4g}"
    )
    changes = _one_of_each(filter(layer.holds, layer.wider()))
    if changes:
        remedy = f"Compile with {_either(changes)}."
    else:
        remedy = "Give it a shorter tau_mem or less one-sided input: no core's state holds as much."
    yield layer.finding("saturated", what, remedy, *changes)


def _coarse(layer: _Layer) -> Iterator[Finding]:
    """Scales that follow from bias, threshold or reset, and waste bits of the weights."""
    if coarse := layer.coarse({}):
        changes = _one_of_each(change for change in layer.wider() if not layer.coarse(change))
        yield layer.finding(
            "coarse",
            f"v_threshold, bias or reset set the scale of {coarse} of {layer.report.neurons} "
            f"neurons, whose weights then do not use all {layer.spec.weight_bits} bits",
            f"Compile with {_either(changes)}."
            if changes
            else "Train with larger weights for this threshold.",
            *changes,
        )


def _silenced(layer: _Layer) -> Iterator[Finding]:
    compared = layer.compared
    if compared.silenced and compared.integer_spikes:
        yield layer.finding(
            "silenced",
            f"{compared.silenced} of {layer.report.neurons} neurons spike in float, but not once "
            "in integers",
            layer.refined(", so that small weights survive"),
            layer.finer,
        )


def _differs(layer: _Layer) -> Iterator[Finding]:
    at, first = layer.compared.first, layer.case.comparison.first
    if at is None or first is None:
        return
    what = (
        f"spikes differ from float in {100 * (1 - layer.compared.mean_agreement):.3g}% of its "
        f"neurons' timesteps, first in timestep {at.timestep}: neuron {at.neuron}, sample "
        f"{at.sample}"
    )
    if at.layer != first.layer:
        remedy = f"Mend {first.layer} first: differences start there, and spread with its spikes."
        yield layer.finding("differs", what, remedy)
        return
    remedy = layer.refined(", if that is too many")
    yield layer.finding("differs", what, remedy, layer.finer)


def _potential(layer: _Layer) -> Iterator[Finding]:
    if not layer.compared.spiking and layer.compared.v_error > V_ERROR:
        yield layer.finding(
            "potential",
            f"its potentials are {layer.compared.v_error:.2%} off (root mean square)",
            layer.refined(", and mend the layers before it"),
            layer.finer,
        )


def _decays(layer: _Layer) -> Iterator[Finding]:
    population = layer.case.circuit.populations[layer.name]
    where = layer.case.image.population(layer.name).index
    for name, tau in (("a_mem", "tau_mem"), ("a_syn", "tau_syn")):
        real, raw = getattr(population, name), layer.case.image.arrays[name][where]
        for edge, does, other in ((1, "never leak", "shorter"), (0, "keep nothing", "longer")):
            changed = (raw == edge * DECAY_ONE) & (real != edge)
            if changed.any():
                yield layer.finding(
                    "decay",
                    f"{name} of {int(changed.sum())} neurons rounds to {edge}: they {does} (model: "
                    f"{real[changed.argmax()]:.6g}, in steps of 1/{DECAY_ONE})",
                    f"Train them with a {other} {tau}.",
                )


def _clipped(layer: _Layer) -> Iterator[Finding]:
    if layer.report.clipped_weights:
        share = layer.report.clipped_weights / layer.report.synapses
        what = f"{layer.report.clipped_weights} of its weights ({share:.2%}) are clipped, as "
        options = layer.case.options
        if options.scaling == "mse":
            what += "the least squared error of all wants"
            remedy = "Compile with scaling percentile, if these weights matter."
            yield layer.finding("clipped", what, remedy)
        else:
            what += f"a percentile of {options.percentile:g} wants"
            remedy = "Compile with a higher percentile, if these weights matter."
            yield layer.finding("clipped", what, remedy, {"percentile": 100.0})


def _zeroed(layer: _Layer) -> Iterator[Finding]:
    zeroed = layer.report.zeroed_weights
    share = zeroed / max(1, zeroed + layer.report.synapses)
    if share > ZEROED_SHARE:
        other = ", or with a lower percentile, so that a few large ones set no scale"
        yield layer.finding(
            "zeroed",
            f"{zeroed} of its weights ({share:.1%}) round to 0",
            layer.refined("" if layer.coarse({}) else other),
            layer.finer,
        )


def _always(layer: _Layer) -> Iterator[Finding]:
    if always := layer.measured.always:
        yield layer.finding(
            "always",
            f"{always} of {layer.report.neurons} neurons spike in every timestep "
            f"({layer.compared.float_always} in float)",
            "Raise their v_threshold or lower their bias: they tell nothing, and cost the most.",
        )


def _unused(layer: _Layer) -> Iterator[Finding]:
    silent = layer.compared.float_silent
    if layer.compared.spiking and silent and layer.compared.float_spikes:
        yield layer.finding(
            "unused",
            f"{silent} of {layer.report.neurons} neurons never spike, not even in float",
            "Lower their v_threshold, train with a penalty on silence, or prune them.",
        )


def _one_of_each(changes: Iterable[Change]) -> list[Change]:
    """The first change of state_bits alone and of fraction_bits alone; failing these, of both."""
    found: dict[tuple[str, ...], Change] = {}
    for change in changes:
        if len(change) > 1 and found:
            break
        found.setdefault(tuple(change), change)
    return list(found.values())


def _said(change: Change) -> str:
    return " and ".join(f"{name}={value:g}" for name, value in change.items())


def _either(changes: Iterable[Change]) -> str:
    return ", or with ".join(map(_said, changes))
