"""The compiler's report: what quantization cost each layer, and what calibration showed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from spikewright.errors import ModelError
from spikewright.fixed import signed_range
from spikewright.image import CoreImage
from spikewright.sim.golden import GoldenModel
from spikewright.sim.update import Neurons, update

from .ir import Circuit, Quantized, Tuning
from .matrices import row_sums, with_data

__all__ = [
    "BitsSearch",
    "BitsTrial",
    "CompileReport",
    "LayerReport",
    "Measured",
    "accumulator_range",
    "calibrate",
    "check_calibration",
    "static_report",
]

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Measured:
    """What a layer did with the calibration spikes.

    Attributes
    ----------
    acc_peak : int
        Largest magnitude of an accumulator, in weight units.
    saturations : int
        Neuron updates in which v or the synaptic current was clamped.
    saturated_share : float
        The same over all neuron updates.
    spikes_per_timestep : float
        Of the whole layer.
    silent : int
        Neurons that never fired.
    always : int
        Neurons that fired in every timestep.
    """

    acc_peak: int
    saturations: int
    saturated_share: float
    spikes_per_timestep: float
    silent: int
    always: int


@dataclass(frozen=True, slots=True)
class LayerReport:
    """One population.

    Attributes
    ----------
    neurons, synapses : int
        Size, and nonzero weights into it.
    level : int
    scale_min, scale_max : float
        Real value of one weight unit, over the neurons.
    clipped_weights, zeroed_weights : int
        Weights larger than the scale allows, and nonzero ones that rounded to 0.
    weight_error : float
        Root mean square of the weights' rounding over that of the weights.
    acc_worst : int
        Largest magnitude that an accumulator can reach, in weight units.
    acc_limit : int
        Largest that it holds.
    measured : Measured or None
        With calibration spikes only.
    """

    neurons: int
    synapses: int
    level: int
    scale_min: float
    scale_max: float
    clipped_weights: int
    zeroed_weights: int
    weight_error: float
    acc_worst: int
    acc_limit: int
    measured: Measured | None = None


@dataclass(frozen=True, slots=True)
class BitsTrial:
    """What a number of weight bits did.

    Attributes
    ----------
    weight_bits : int
    share : float or None
        Of the samples' decisions, those that are right or float's; None if these bits are refused.
    refused : str
        Why.
    """

    weight_bits: int
    share: float | None = None
    refused: str = ""


@dataclass(frozen=True, slots=True)
class BitsSearch:
    """How the weight bits were chosen: the last that were tried.

    Attributes
    ----------
    measure : {"accuracy", "agreement"}
        Share of the samples' decisions that are the labels, or those of the network in float.
    reference : float
        What it is in float.
    keep : float
        Percentage points below that are enough.
    samples : int
    tried : tuple of BitsTrial
    """

    measure: Literal["accuracy", "agreement"]
    reference: float
    keep: float
    samples: int
    tried: tuple[BitsTrial, ...]


@dataclass(frozen=True, slots=True)
class CompileReport:
    """All layers by name, and notes in plain words.

    Attributes
    ----------
    layers : mapping of str to LayerReport
    notes : tuple of str
    search : BitsSearch or None
        Where the weight bits were searched for.
    tuning : mapping of str to Tuning
        By layer, where roundings were chosen by spikes.
    """

    layers: Mapping[str, LayerReport]
    notes: tuple[str, ...] = ()
    search: BitsSearch | None = None
    tuning: Mapping[str, Tuning] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As the image's manifest has it."""
        layers = {name: asdict(layer) for name, layer in self.layers.items()}
        report: dict[str, Any] = {"layers": layers, "notes": list(self.notes)}
        if self.search:
            tried = [asdict(trial) for trial in self.search.tried]
            report["search"] = asdict(self.search) | {"tried": tried}
        if self.tuning:
            report["tuning"] = {name: asdict(tuning) for name, tuning in self.tuning.items()}
        return report

    @classmethod
    def of(cls, image: CoreImage) -> "CompileReport":
        """The report in an image's manifest. Raises :class:`ModelError` if there is none."""
        try:
            return TypeAdapter(cls).validate_python(image.manifest.report)
        except ValidationError:
            raise ModelError(
                "Image has no compiler report.", hint="Compile the network again."
            ) from None


def static_report(circuit: Circuit, quantized: Quantized, acc_bits: int) -> CompileReport:
    """What can be said without running the network."""
    levels = {name: k for k, names in enumerate(circuit.levels) for name in names}
    layers = {}
    for name, population in circuit.populations.items():
        scale = quantized.populations[name].scale
        error = power = 0.0
        synapses = zeroed = 0
        for edge in circuit.into(name):
            real, raw = circuit.weights[edge], quantized.weights[edge]
            rounded = raw.data * np.repeat(scale, np.diff(raw.indptr))
            error += float(np.square(real.data - rounded).sum())
            power += float(np.square(real.data).sum())
            synapses += int(np.count_nonzero(raw.data))
            zeroed += int(np.count_nonzero(raw.data == 0))
        low, high = accumulator_range(circuit, quantized, name)
        layers[name] = LayerReport(
            neurons=population.size,
            synapses=synapses,
            level=levels[name],
            scale_min=float(scale.min()),
            scale_max=float(scale.max()),
            clipped_weights=quantized.clipped[name],
            zeroed_weights=zeroed,
            weight_error=float(np.sqrt(error / power)) if power else 0.0,
            acc_worst=int(max(high.max(), -low.min())),
            acc_limit=signed_range(acc_bits)[1],
        )
    return CompileReport(layers, quantized.notes, tuning=quantized.tuning)


def accumulator_range(
    circuit: Circuit, quantized: Quantized, name: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Least and greatest sum that each accumulator of a population can reach, in weight units."""
    raw = [quantized.weights[edge] for edge in circuit.into(name)]
    size = circuit.populations[name].size
    low = row_sums([with_data(w, np.minimum(w.data, 0)) for w in raw], size)
    return low, row_sums([with_data(w, np.maximum(w.data, 0)) for w in raw], size)


def check_calibration(spikes: Bools) -> None:
    """Refuse calibration spikes of another shape or dtype, or none at all.

    Raises
    ------
    ModelError
    """
    if spikes.ndim != 3 or spikes.dtype != np.bool_ or 0 in spikes.shape[:2]:
        raise ModelError(
            "Calibration spikes must be bool[samples, timesteps, inputs] of at least one timestep, "
            f"not {spikes.dtype}{list(spikes.shape)}.",
            hint="Stack samples along the first axis, and convert them with `spikes > 0`.",
        )


def calibrate(image: CoreImage, report: CompileReport, spikes: Bools) -> CompileReport:
    """Run the golden model on calibration spikes and add what each layer did.

    Parameters
    ----------
    spikes : bool[samples, timesteps, axons]

    Raises
    ------
    ModelError
        Spikes of another shape or dtype, or none at all.
    """
    check_calibration(spikes)
    samples, timesteps, _ = spikes.shape
    model = GoldenModel(image, samples)
    neurons = Neurons.of(image, slice(None))
    peak, clamped, fired = np.zeros((3, image.spec.neurons), np.int64)
    for t in range(timesteps):
        before = model.v.copy(), model.i.copy(), model.refractory.copy()
        result = model.step(spikes[:, t])
        *_, saturated = update(*before, result.consumed, neurons, image.spec)
        peak = np.maximum(peak, np.abs(result.consumed).max(axis=0))
        clamped += saturated.sum(axis=0)
        fired += result.spikes.sum(axis=0)
    layers = {}
    updates = samples * timesteps
    for name, layer in report.layers.items():
        where = image.population(name).slice
        measured = Measured(
            acc_peak=int(peak[where].max()),
            saturations=int(clamped[where].sum()),
            saturated_share=float(clamped[where].sum() / (updates * layer.neurons)),
            spikes_per_timestep=float(fired[where].sum() / updates),
            silent=int((fired[where] == 0).sum()),
            always=int((fired[where] == updates).sum()),
        )
        layers[name] = replace(layer, measured=measured)
    return replace(report, layers=layers)
