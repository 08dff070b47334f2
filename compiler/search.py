"""The least weight bits with which a network still decides as it should, on a user's spikes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from spikewright.errors import DataError, ModelError, SpikewrightError
from spikewright.image import CoreImage
from spikewright.sim.golden import GoldenModel
from spikewright.spec import CoreSpec

from .divergence import BATCH_SAMPLES
from .graph import Network
from .ir import Circuit
from .options import LEAST_BITS, MOST_BITS, CompileOptions
from .passes import PassWriter
from .pipeline import to_circuit, to_image
from .reference import Reference
from .report import BitsSearch, BitsTrial, CompileReport

if TYPE_CHECKING:
    import nir
    import torch

__all__ = ["KEEP", "least_bits"]

KEEP = 0.5
"""Percentage points that may be lost unless told."""

_ROUNDING = 1e-9
"""Of sums of a few shares: far below one sample's."""

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


def least_bits(
    source: "Path | str | nir.NIRGraph | torch.nn.Module | Network",
    options: CompileOptions,
    spikes: Bools,
    labels: Ints | None = None,
    *,
    keep: float = KEEP,
    sample: "torch.Tensor | None" = None,
    dump_passes: Path | str | None = None,
) -> CoreImage:
    """Compile with the least ``weight_bits``, tried from 2 up, that keep the network's decisions.

    A decision is the output neuron with the most spikes, of a tie the first. With labels, the share
    of right ones is within ``keep`` points of float's; without, that of float's is of 100 %, at
    each output.

    Parameters
    ----------
    source, sample, dump_passes
        As in :func:`~spikewright.compiler.pipeline.compile_network`.
    options : CompileOptions
        Without ``weight_bits`` and ``bits``: fewer bits of some layers would save no memory.
    spikes : bool[samples, timesteps, inputs]
        Not those that the accuracy will be stated for: the bits are chosen for these.
    labels : int[samples]
        Index of the output neuron that should spike most.
    keep : float
        Percentage points that may be lost, 0 to 100.

    Returns
    -------
    CoreImage
        Calibrated with the spikes; its report says what was tried.

    Raises
    ------
    ModelError, SpecError
        As :func:`~spikewright.compiler.pipeline.compile_network`; options with bits, an output
        that does not spike, labels for several outputs, or no number of bits that does.
    DataError
        Spikes or labels of another shape or dtype, or out of range.
    """
    _check_options(options, keep)
    passes = PassWriter(dump_passes)
    network, circuit, draft = to_circuit(source, options, sample=sample, passes=passes)
    _check_spikes(circuit, spikes)
    real = _float_decisions(circuit, spikes)
    _check_labels(circuit, labels, len(spikes))
    reference = _share(real, real, labels)
    tried: list[BitsTrial] = []
    for trial in _trials(partial(to_image, network, circuit), draft, options, spikes, real, labels):
        tried.append(trial)
        if trial.share is not None and trial.share >= reference - keep / 100 - _ROUNDING:
            break
    else:
        raise _none_keeps(tried, reference, keep, labels is not None)
    formats = replace(draft, weight_bits=trial.weight_bits)
    image = to_image(network, circuit, formats, options, calibration=spikes, passes=passes)
    measure: Literal["accuracy", "agreement"] = "agreement" if labels is None else "accuracy"
    return _with_search(image, BitsSearch(measure, reference, keep, len(spikes), tuple(tried)))


def _trials(
    compiled: Callable[..., CoreImage],
    draft: CoreSpec,
    options: CompileOptions,
    spikes: Bools,
    real: Mapping[str, Ints],
    labels: Ints | None,
) -> Iterator[BitsTrial]:
    """What each number of bits does, from the least on."""
    tuned = spikes if options.tune else None
    for bits in range(LEAST_BITS, MOST_BITS + 1):
        try:
            image = compiled(replace(draft, weight_bits=bits), options, calibration=tuned)
        except SpikewrightError as error:
            yield BitsTrial(bits, refused=" ".join([error.what, *error.reasons]))
        else:
            yield BitsTrial(bits, _share(_integer_decisions(image, spikes), real, labels))


def _with_search(image: CoreImage, search: BitsSearch) -> CoreImage:
    """The image with the search in its report."""
    report = replace(CompileReport.of(image), search=search)
    manifest = image.manifest.model_copy(update={"report": report.to_dict()})
    return replace(image, manifest=manifest)


def _check_options(options: CompileOptions, keep: float) -> None:
    if options.weight_bits is not None or options.bits:
        raise ModelError(
            "The least weight_bits are searched for, so they must not be "
            f"{options.weight_bits or options.bits}.",
            hint="Leave weight_bits and bits out, or compile with them and without the search.",
        )
    if not 0 <= keep <= 100:
        raise ModelError(
            f"keep must be 0 to 100 percentage points, not {keep!r}.",
            hint="0.5 lets three of 600 samples be decided otherwise.",
        )


def _check_spikes(circuit: Circuit, spikes: Bools) -> None:
    mute = [name for name in _outputs(circuit) if not circuit.populations[name].spikes]
    if mute:
        raise ModelError(
            f"Output {mute[0]!r} does not spike, so that no spikes say what it decides.",
            hint="Choose weight_bits yourself; `spikewright diagnose` says what potentials lose.",
        )
    lines = sum(int(np.prod(shape)) for shape in circuit.inputs.values())
    if spikes.dtype != np.bool_ or spikes.shape[2:] != (lines,) or not spikes.size:
        raise DataError(
            f"Spikes must be bool[samples, timesteps, {lines}], none of them 0, not "
            f"{spikes.dtype}{list(spikes.shape)}.",
            hint="Stack samples along the first axis and timesteps along the second.",
        )


def _check_labels(circuit: Circuit, labels: Ints | None, samples: int) -> None:
    if labels is None:
        return
    outputs = _outputs(circuit)
    if len(outputs) > 1:
        raise ModelError(
            f"Labels are for one output, and there are {len(outputs)}: {', '.join(outputs)}.",
            hint="Leave the labels out: decisions are then compared with those in float.",
        )
    size = circuit.populations[outputs[0]].size
    if labels.shape != (samples,) or labels.dtype.kind not in "iu":
        raise DataError(
            f"Labels must be int[{samples}], one for each sample, not "
            f"{labels.dtype}{list(labels.shape)}.",
            hint="Write them beside the spikes: numpy.savez('in.npz', spikes=..., labels=...)",
        )
    if not ((labels >= 0) & (labels < size)).all():
        raise DataError(
            f"Labels must be in [0, {size - 1}], neurons of output {outputs[0]!r}, not "
            f"{labels.min()} to {labels.max()}.",
            hint="A label is the index of the output neuron that should spike most.",
        )


def _outputs(circuit: Circuit) -> tuple[str, ...]:
    return tuple(dict.fromkeys(circuit.outputs.values()))


def _float_decisions(circuit: Circuit, spikes: Bools) -> dict[str, Ints]:
    """Of each output, ``int64[samples]``."""
    counts = {
        name: np.zeros((len(spikes), circuit.populations[name].size), np.int64)
        for name in _outputs(circuit)
    }
    for start in range(0, len(spikes), BATCH_SAMPLES):
        batch = slice(start, start + BATCH_SAMPLES)
        model = Reference(circuit, len(spikes[batch]))
        for t in range(spikes.shape[1]):
            activity = model.step(spikes[batch, t])
            for name, count in counts.items():
                count[batch] += activity[name].spikes
    return {name: count.argmax(axis=1) for name, count in counts.items()}


def _integer_decisions(image: CoreImage, spikes: Bools) -> dict[str, Ints]:
    """The same of an image, on the golden model."""
    counts = np.zeros((len(spikes), image.spec.neurons), np.int64)
    for start in range(0, len(spikes), BATCH_SAMPLES):
        batch = slice(start, start + BATCH_SAMPLES)
        model = GoldenModel(image, len(spikes[batch]))
        for t in range(spikes.shape[1]):
            counts[batch] += model.step(spikes[batch, t]).spikes
    return {name: counts[:, where].argmax(axis=1) for name, where in image.output_slices.items()}


def _share(found: Mapping[str, Ints], real: Mapping[str, Ints], labels: Ints | None) -> float:
    """Decisions that are right, or else float's, at the output where fewest are."""
    right = real if labels is None else dict.fromkeys(real, labels)
    return min(float(np.mean(found[name] == right[name])) for name in real)


def _none_keeps(
    tried: Sequence[BitsTrial], reference: float, keep: float, has_labels: bool
) -> ModelError:
    what = "right" if has_labels else "float's"
    return ModelError(
        f"No weight_bits keep the share of decisions that are {what} within {keep:g} points of "
        f"{reference:.2%}:",
        reasons=[
            f"{trial.weight_bits} bits: "
            + (trial.refused if trial.share is None else f"{trial.share:.2%}")
            for trial in tried
        ],
        hint="Let it lose more (keep), or see what is lost: `spikewright diagnose`.",
    )
