"""The demo's report: one HTML file with everything in it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import figures
import numpy as np
import numpy.typing as npt
from data import TIMESTEPS, Digits, encode
from markupsafe import Markup
from model import HERE, classify, semantics
from stages import CLOCK_HZ, Stage, outputs

from spikewright import __version__
from spikewright.compiler import CompileReport
from spikewright.files import write_whole
from spikewright.image import CoreImage
from spikewright.page import render
from spikewright.sim.compare import LockstepReport

__all__ = ["Evidence", "confusion", "layer_weights", "write_report"]


@dataclass(frozen=True)
class Evidence:
    """All that the demo found out.

    Attributes
    ----------
    image : CoreImage
    test : Digits
        The test images.
    floats, golden, rtl, board : Stage
    lockstep : LockstepReport
        Golden model against RTL, register by register.
    board_with_v : int
        Images whose membrane potentials were read back from the board.
    """

    image: CoreImage
    test: Digits
    floats: Stage
    golden: Stage
    rtl: Stage
    board: Stage
    lockstep: LockstepReport
    board_with_v: int

    @property
    def rtl_differences(self) -> int:
        """Values in which the RTL differs, at least 1 if lockstep found one."""
        return max(self.rtl.differences, int(self.lockstep.mismatch is not None))

    @property
    def is_equal(self) -> bool:
        """Whether golden model, RTL and board agreed in every value compared."""
        return not (self.rtl_differences or self.board.differences)

    @property
    def read(self) -> npt.NDArray[np.int64]:
        """The digit that the golden model reads in each test image."""
        if self.golden.result is None:
            return np.zeros(0, np.int64)
        return classify(outputs(self.image, self.golden.result.spikes))


def write_report(path: Path, evidence: Evidence) -> None:
    """Write the page; it needs no other file and no network."""
    write_whole(path, render(HERE / "report.html", _content(evidence)))


def _content(evidence: Evidence) -> dict[str, Any]:
    image = evidence.image
    return {
        "evidence": evidence,
        "stages": [evidence.floats, evidence.golden, evidence.rtl, evidence.board],
        "equal": evidence.is_equal,
        "clock_mhz": CLOCK_HZ / 1e6,
        "timesteps": TIMESTEPS,
        "shown": [_shown(evidence, n) for n in _chosen(evidence)],
        "confusion": confusion(evidence),
        "histograms": figures.histograms(layer_weights(image)),
        "cost": _cost(evidence),
        "layers": _layers(CompileReport.of(image)),
        "notes": CompileReport.of(image).notes,
        "image": image,
        "spec": image.spec,
        "semantics": semantics(),
        "version": __version__,
    }


def _chosen(evidence: Evidence) -> list[int]:
    """The first image that is read right, and the first that is not, of those the RTL ran."""
    right = (evidence.read == evidence.test.labels)[: evidence.rtl.images]
    return [int(np.flatnonzero(right == wanted)[0]) for wanted in (True, False) if wanted in right]


def _shown(evidence: Evidence, n: int) -> dict[str, Any]:
    """One image on its way through the core."""
    image, golden, rtl = evidence.image, evidence.golden.result, evidence.rtl.result
    if golden is None or rtl is None or golden.v is None or rtl.v is None:
        raise ValueError("Golden model and RTL must have been run with their membranes recorded")
    label, read = int(evidence.test.labels[n]), int(evidence.read[n])
    pixels, spikes = evidence.test.pixels[n], golden.spikes[n]
    layers = {"input": encode(pixels[None])[0]}
    layers |= {p.name: spikes[:, p.slice] for p in image.manifest.populations}
    output = image.population(image.manifest.outputs[0])
    threshold = image.v_threshold[output.slice].astype(np.float64)
    return {
        "number": n,
        "label": label,
        "read": read,
        "cycles": int(golden.total_cycles[n]),
        "rasters": figures.rasters(pixels, layers),
        "membranes": figures.membranes(
            golden.v[n][:, output.slice] / threshold,
            rtl.v[n][:, output.slice] / threshold,
            spikes[:, output.slice],
            label,
            read,
        ),
    }


def confusion(evidence: Evidence) -> npt.NDArray[np.int64]:
    """Images by digit written (row) and digit read (column)."""
    counts = np.zeros((10, 10), np.int64)
    np.add.at(counts, (evidence.test.labels, evidence.read), 1)
    return counts


def layer_weights(image: CoreImage) -> dict[str, npt.NDArray[np.int64]]:
    """Integer weights of each layer by title: all of the rows that lead to it."""
    first = {p.name: p.first for p in image.manifest.populations}
    sources = {
        "input to hidden": (0, image.manifest.inputs[0].count, image.population("hidden")),
        "hidden to output": (
            image.spec.axons + first["hidden"],
            image.population("hidden").count,
            image.population("output"),
        ),
    }
    return {
        title: np.stack([_row(image, source)[to.slice] for source in range(start, start + count)])
        for title, (start, count, to) in sources.items()
    }


def _row(image: CoreImage, source: int) -> npt.NDArray[np.int64]:
    """Weights from a source to every neuron slot."""
    lanes = image.spec.lanes
    row = np.zeros(image.spec.neurons, np.int64)
    word, count = int(image.first_word[source]), int(image.word_count[source])
    start = int(image.first_group[source]) * lanes
    row[start : start + count * lanes] = image.weights[word : word + count].ravel()
    return row


def _cost(evidence: Evidence) -> Markup:
    image, result = evidence.image, evidence.golden.result
    if result is None:
        return Markup()
    fan_out = np.array([np.count_nonzero(_row(image, n)) for n in range(image.spec.sources)])
    axons = encode(evidence.test.pixels).sum(axis=1)
    operations = axons @ fan_out[: axons.shape[1]]
    operations += result.spikes.sum(axis=1) @ fan_out[image.spec.axons :]
    return figures.cost(operations, result.total_cycles)


def _layers(report: CompileReport) -> list[tuple[str, str, list[str]]]:
    """Rows of the compiler's report: what, what it means, and its value in each layer."""
    rows: list[tuple[str, str, list[str]]] = []

    def row(what: str, meaning: str, values: list[str]) -> None:
        rows.append((what, meaning, values))

    layers = list(report.layers.values())
    measured = [layer.measured for layer in layers if layer.measured is not None]
    row("neurons", "in the layer", [f"{x.neurons:,}" for x in layers])
    row("synapses", "weights into it that are not zero", [f"{x.synapses:,}" for x in layers])
    row(
        "scale",
        "what one weight unit is worth; every neuron has its own",
        [f"{x.scale_min:.4f} to {x.scale_max:.4f}" for x in layers],
    )
    row(
        "rounding error",
        "root mean square, relative to the weights",
        [f"{x.weight_error:.2%}" for x in layers],
    )
    row("clipped", "weights too large for their scale", [f"{x.clipped_weights}" for x in layers])
    row("rounded to zero", "weights too small for it", [f"{x.zeroed_weights}" for x in layers])
    row(
        "largest sum",
        "of weights that arrive in one timestep: worst case, and what the accumulator holds",
        [f"{x.acc_worst:,} of {x.acc_limit:,}" for x in layers],
    )
    row("measured sum", "largest with training images", [f"{m.acc_peak:,}" for m in measured])
    row(
        "saturated",
        "neuron updates that hit the end of the number range",
        [f"{m.saturated_share:.2%}" for m in measured],
    )
    row("activity", "spikes per timestep", [f"{m.spikes_per_timestep:.1f}" for m in measured])
    row("silent", "neurons that never fired", [f"{m.silent}" for m in measured])
    return rows
