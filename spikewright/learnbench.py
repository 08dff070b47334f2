"""Cost of learning on the compiled core: ``python -m spikewright.learnbench``."""

import argparse
import copy
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spikewright.compiler.plastic import plastic_image
from spikewright.errors import MismatchError
from spikewright.files import write_whole
from spikewright.fixed import DECAY_ONE, signed_range
from spikewright.image import CoreImage
from spikewright.learning import LearningRule
from spikewright.presets import PRESETS
from spikewright.sim.golden import GoldenModel
from spikewright.sim.verilator import CoreSimulator
from spikewright.spec import CoreSpec

__all__ = ["Cost", "cost", "learning_network", "main"]

RATE = 0.1
"""Share of the axons, and of the neurons, that spike in a timestep."""
TIMESTEPS = 200
"""Timesteps that count; as many go before them, in which the windows fill."""
WINDOWS = (2, 4, 5, 127)
NEUROCOREX = PRESETS["neurocorex"]
SPECS = {
    "neurocorex": NEUROCOREX,
    "with 4 lanes": replace(NEUROCOREX, lanes=4, update_cycles=1, weight_words=0),
    "by traces": CoreSpec(plasticity="trace"),
}


@dataclass(frozen=True)
class Cost:
    """What learning cost in a run of the RTL.

    Attributes
    ----------
    spiking, least_spiking, most_spiking : float
        Share of the sources that spiked: mean, minimum and maximum of the timesteps.
    cycles, most_cycles : float
        Of a timestep that learns, mean and maximum.
    cycles_off : float
        Of the same timesteps, had learning been off, mean.
    words, synapses : int
        Weight words with a changed synapse, and changed synapses, timestep by timestep.
    cycles_a_word, cycles_a_synapse : float
        All that learning added, over these.
    """

    spiking: float
    least_spiking: float
    most_spiking: float
    cycles: float
    most_cycles: float
    cycles_off: float
    words: int
    synapses: int
    cycles_a_word: float
    cycles_a_synapse: float


def learning_network(spec: CoreSpec, window: int) -> CoreImage:
    """All to all, every synapse plastic but one strong one from an axon to each neuron.

    That one alone makes the neuron spike: as many neurons spike in a timestep as axons do. The
    others are bounded, so that all that spike together make no difference. Two spikes less than
    ``window`` timesteps apart change a weight by one; with the ``trace`` rule, traces decay to half
    in that time.
    """
    rng = np.random.default_rng(0)
    strong = np.eye(spec.axons, spec.neurons, dtype=np.bool_)
    strongest = signed_range(spec.weight_bits)[1]
    most = max(1, strongest // 2 // round(RATE * spec.axons + RATE * spec.neurons))
    decay = round(DECAY_ONE * 0.5 ** (1 / window))
    one = 1 << spec.trace_fraction_bits
    rule = LearningRule(pre_step=one, post_step=one, a_pre=decay, a_post=decay)
    if spec.plasticity == "window":
        rule = LearningRule(pre_step=window, post_step=window, pre_change=1, post_change=1)
    return plastic_image(
        spec,
        np.where(strong, strongest, rng.choice([-1, 1], strong.shape)),
        rng.choice([-1, 1], (spec.neurons, spec.neurons)),
        axon_plastic=~strong,
        neuron_plastic=True,
        rule=replace(rule, w_min=-most, w_max=most),
        v_threshold=strongest << (spec.fraction_bits - 1),
        reset_to=1,
    )


def cost(spec: CoreSpec, window: int) -> Cost:
    """Learn on the RTL for a while.

    Raises
    ------
    MismatchError
        Golden model and RTL do not do the same.
    """
    image = learning_network(spec, window)
    order = np.random.default_rng(1).random((2 * TIMESTEPS, spec.axons)).argsort(axis=1)
    spikes = order < round(RATE * spec.axons)
    with CoreSimulator(spec) as simulator:
        simulator.load(image)
        run = simulator.run(spikes, record=("weights",), learn=np.ones(len(spikes), np.bool_))
    if run.weights is None:
        raise MismatchError("The core kept no weights.", hint="This is a fault: please report it.")
    model, off = GoldenModel(image), np.zeros(len(spikes), np.int64)
    for t, axons in enumerate(spikes):
        off[t] = copy.deepcopy(model).step(axons[None]).cycles[0]
        wanted = model.step(axons[None], learn=True)
        if wanted.cycles[0] != run.cycles[t] or (wanted.spikes[0] != run.spikes[t]).any():
            raise MismatchError(
                f"Golden model and RTL differ in timestep {t}.",
                hint="Compare them: spikewright verify.",
            )
    return _cost(image, spikes, run.spikes, run.cycles, off, run.weights)


def _cost(
    image: CoreImage,
    axons: npt.NDArray[np.bool_],
    fired: npt.NDArray[np.bool_],
    cycles: npt.NDArray[np.int64],
    off: npt.NDArray[np.int64],
    weights: npt.NDArray[np.int32],
) -> Cost:
    changed = np.diff(weights[-TIMESTEPS - 1 :, : len(image.weights)], axis=0) != 0
    words, synapses = int(changed.any(axis=2).sum()), int(changed.sum())
    axons, fired = axons[-TIMESTEPS:], fired[-TIMESTEPS:]
    cycles, off = cycles[-TIMESTEPS:], off[-TIMESTEPS:]
    added = int((cycles - off).sum())
    spiking = np.concatenate([axons, fired], axis=1).mean(axis=1)
    return Cost(
        spiking=float(spiking.mean()),
        least_spiking=float(spiking.min()),
        most_spiking=float(spiking.max()),
        cycles=float(cycles.mean()),
        most_cycles=float(cycles.max()),
        cycles_off=float(off.mean()),
        words=words,
        synapses=synapses,
        cycles_a_word=added / words,
        cycles_a_synapse=added / synapses,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table and write ``learning.json``; the exit code."""
    from rich.console import Console
    from rich.table import Table

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("build/bench/learning.json"))
    options = parser.parse_args(arguments)
    table = Table(title="Cycles of a timestep that learns, RTL, and what learning adds")
    table.add_column("core", no_wrap=True)
    for name in ("window", "spiking", "mean", "most", "off", "word", "synapse"):
        table.add_column(name, justify="right", no_wrap=True)
    figures = []
    for name, spec in SPECS.items():
        for window in WINDOWS:
            one = cost(spec, window)
            figures.append({"core": name, "window": window, **asdict(one)})
            table.add_row(
                name,
                str(window),
                f"{one.spiking:.1%}",
                f"{one.cycles:,.0f}",
                f"{one.most_cycles:,.0f}",
                f"{one.cycles_off:,.0f}",
                f"{one.cycles_a_word:.2f}",
                f"{one.cycles_a_synapse:.3f}",
            )
    Console().print(table)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_whole(options.output, (json.dumps(figures, indent=2) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
