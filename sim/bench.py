"""Speed of the core and of its models: ``python -m spikewright.sim.bench``."""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spikewright.errors import SpikewrightError
from spikewright.files import fit_spikes, read_spikes, write_whole
from spikewright.fixed import DECAY_ONE, signed_range
from spikewright.image import CoreImage, Manifest
from spikewright.spec import CoreSpec

from .golden import GoldenModel
from .verilator import CoreRun, CoreSimulator

__all__ = [
    "allowed_idle_cycles",
    "busy_network",
    "example",
    "layered_network",
    "main",
    "run_rtl",
    "silent_network",
]

SQUARE = CoreSpec(axons=256, neurons=256, lanes=8)
WIDE = CoreSpec(axons=512, neurons=512, lanes=32)
NARROW = CoreSpec(axons=256, neurons=256, lanes=1)
LAYERS = (64, 128, 10)
"""Axons and neurons of the layers where there is no image: the size of the digits network."""
DIGITS = Path("build/demo/digits.core"), Path("build/demo/digits.npz")
"""Where the demo leaves the trained digits network and its test images."""
DRIVER_TO_COCOTB = 300
"""How many times the cycles a second of a cocotb bench the driver is meant to reach."""
COCOTB_TIMESTEPS = 20
DRIVER_TIMESTEPS = 2000
GOLDEN = CoreSpec(axons=1024, neurons=1024, lanes=32)
GOLDEN_TIMESTEPS = 1000

Spikes = npt.NDArray[np.bool_]


# Networks


def busy_network(spec: CoreSpec, rate: float) -> CoreImage:
    """All-to-all with full rows, in which a share ``rate`` of the neurons spikes each timestep.

    Neurons integrate a constant bias without decay, and start at different distances from their
    thresholds; recurrent weights of +1 and -1 only jitter that.
    """
    rng = np.random.default_rng(0)
    n = spec.neurons
    step = 60 << spec.fraction_bits
    reset = round(step / rate)
    return _image(
        spec,
        groups=[spec.groups],
        rows=np.full(spec.sources, spec.groups),
        first_group=np.zeros(spec.sources, np.int64),
        weights=rng.choice([-1, 1], (spec.sources * spec.groups, spec.lanes)),
        a_mem=np.full(n, DECAY_ONE),
        bias=np.full(n, step),
        v_threshold=rng.integers(reset, size=n),
        reset=np.full(n, reset),
    )


def silent_network(spec: CoreSpec, levels: int) -> CoreImage:
    """A network of so many levels in which nothing ever spikes."""
    groups = np.full(levels, spec.groups // levels)
    groups[: spec.groups % levels] += 1
    none = np.zeros(spec.sources, np.int64)
    return _image(
        spec,
        groups=groups.tolist(),
        rows=none,
        first_group=none,
        weights=np.zeros((0, spec.lanes), np.int64),
    )


def layered_network(layers: Sequence[int], lanes: int = 8) -> CoreImage:
    """A feed-forward network of random weights; ``layers`` are axons, then neurons of each layer.

    Each layer is a level of whole neuron groups; no axon or neuron has a synapse but those to the
    next layer.
    """
    rng = np.random.default_rng(0)
    axons, *sizes = layers
    groups = [-(-size // lanes) for size in sizes]
    starts = np.cumsum([0, *groups])
    spec = CoreSpec(axons=axons, neurons=int(starts[-1]) * lanes, lanes=lanes)
    rows = np.zeros(spec.sources, np.int64)
    first_group = np.zeros(spec.sources, np.int64)
    used = np.zeros(spec.neurons, np.bool_)
    before = slice(0, axons)
    words = []
    for size, count, start in zip(sizes, groups, starts.tolist(), strict=False):
        rows[before], first_group[before] = count, start
        here = np.arange(count * lanes) < size
        used[start * lanes : (start + count) * lanes] = here
        weights = rng.choice([-3, -2, -1, 1, 2, 3], (before.stop - before.start, count * lanes))
        words.append((weights * here).reshape(-1, lanes))
        before = slice(axons + start * lanes, axons + start * lanes + size)
    return _image(
        spec,
        groups=groups,
        rows=rows,
        first_group=first_group,
        weights=np.concatenate(words),
        name=f"random {'-'.join(map(str, layers))}",
        a_mem=np.full(spec.neurons, 3686),
        v_threshold=np.where(used, 8 << spec.fraction_bits, signed_range(spec.state_bits)[1]),
        reset=np.where(used, 8 << spec.fraction_bits, 0),
    )


def _image(
    spec: CoreSpec,
    *,
    groups: Sequence[int],
    rows: npt.NDArray[np.int64],
    first_group: npt.NDArray[np.int64],
    weights: npt.NDArray[np.int64],
    name: str = "",
    **neurons: npt.NDArray[np.int64],
) -> CoreImage:
    """Rows stored one after the other, no delays; neuron parameters zero unless given."""
    none = np.zeros(spec.neurons, np.int64)
    parameters: dict[str, Any] = dict.fromkeys(("a_mem", "a_syn", "bias", "reset"), none)
    parameters |= {"v_threshold": none, "reset_to": none, "refractory": none}
    return CoreImage(
        spec=spec,
        weights=weights,
        delays=np.zeros_like(weights),
        first_word=np.cumsum(rows) - rows,
        word_count=rows,
        first_group=first_group,
        level_groups=np.array(groups),
        manifest=Manifest(name=name),
        **parameters | neurons,
    )


# Measures


def run_rtl(image: CoreImage, spikes: Spikes) -> CoreRun:
    """Run ``bool[timesteps, axons]`` in the RTL from a cleared state."""
    with CoreSimulator(image.spec) as simulator:
        simulator.load(image)
        return simulator.run(spikes)


def operations_per_lane_cycle(spec: CoreSpec, rate: float) -> dict[str, float]:
    """Synaptic operations per lane and cycle if rows are full and ``rate`` of the sources spikes.

    Returns
    -------
    dict
        ``operations_per_lane_cycle``, and the ``source_rate`` that there was.
    """
    axon_spikes = np.random.default_rng(1).random((500, spec.axons)) < rate
    run = run_rtl(busy_network(spec, rate), axon_spikes)
    fired = int(axon_spikes.sum() + run.spikes.sum())
    return {
        "operations_per_lane_cycle": float(run.synapses.sum() / run.cycles.sum() / spec.lanes),
        "source_rate": fired / (len(axon_spikes) * spec.sources),
    }


def idle_cycles(spec: CoreSpec, levels: int) -> dict[str, int]:
    """Cycles of a timestep without a spike, and how many are ``allowed``."""
    run = run_rtl(silent_network(spec, levels), np.zeros((10, spec.axons), np.bool_))
    return {
        "levels": levels,
        "cycles": int(run.cycles.max()),
        "allowed": allowed_idle_cycles(spec, levels),
    }


def allowed_idle_cycles(spec: CoreSpec, levels: int) -> int:
    """What a timestep without a spike may cost at most."""
    return spec.groups + 32 + 4 * levels


def driver_cycles_per_s(image: CoreImage, spikes: Spikes) -> float:
    """Cycles a second [CPU time] of the compiled driver."""
    with CoreSimulator(image.spec, optimize=3) as simulator:
        simulator.load(image)
        simulator.run(spikes[:100])
        before = simulator.simulated_cycles
        started = time.process_time()
        simulator.run(spikes)
        return (simulator.simulated_cycles - before) / (time.process_time() - started)


def cocotb_cycles_per_s(image: CoreImage, spikes: Spikes, folder: Path) -> float:
    """Cycles a second [CPU time] of a cocotb bench that collects what the driver collects."""
    from .cocotb_core import run_core_bench

    run_core_bench(image, spikes[None, :COCOTB_TIMESTEPS], folder, ["speed"], optimize=3)
    result = json.loads((folder / "speed.json").read_text())
    return float(result["cycles"] / result["seconds"])


def simulation_speed(spec: CoreSpec, folder: Path) -> dict[str, float]:
    """Cycles a second of the compiled driver and of cocotb, both built with ``-O3``, and the ratio.

    10 % of the sources spike.
    """
    network = busy_network(spec, 0.1)
    spikes = np.random.default_rng(1).random((DRIVER_TIMESTEPS, spec.axons)) < 0.1
    driver = driver_cycles_per_s(network, spikes)
    cocotb = cocotb_cycles_per_s(network, spikes, folder)
    return {
        "driver_cycles_per_s": driver,
        "cocotb_cycles_per_s": cocotb,
        "driver_to_cocotb": driver / cocotb,
    }


def golden_timesteps_per_s() -> float:
    """Timesteps a second of the golden model, 2 % of axons and of neurons spiking."""
    model = GoldenModel(busy_network(GOLDEN, 0.02))
    spikes = np.random.default_rng(1).random((1, GOLDEN_TIMESTEPS, GOLDEN.axons)) < 0.02
    started = time.perf_counter()
    model.run(spikes)
    return GOLDEN_TIMESTEPS / (time.perf_counter() - started)


def cycles_per_image(image: CoreImage, spikes: Spikes) -> float:
    """Mean cycles of a sample of ``bool[samples, timesteps, axons]``, each from a cleared state."""
    cycles = []
    with CoreSimulator(image.spec) as simulator:
        simulator.load(image)
        for sample in spikes:
            simulator.clear()
            cycles.append(int(simulator.run(sample).cycles.sum()))
    return float(np.mean(cycles))


# Command


def measure(image: CoreImage, spikes: Spikes, folder: Path) -> dict[str, Any]:
    """All figures, as they are written to ``core.json``.

    Parameters
    ----------
    image : CoreImage
        For cycles an image.
    spikes : bool[samples, timesteps, axons]
        Its input.
    folder : Path
        For what cocotb builds.
    """
    busy = {label(spec): operations_per_lane_cycle(spec, 0.1) for spec in (SQUARE, WIDE)}
    simulation = {label(spec): simulation_speed(spec, folder) for spec in (NARROW, SQUARE)}
    return {
        "core": label(SQUARE),
        "synaptic_operations_per_lane_cycle": {
            name: value["operations_per_lane_cycle"] for name, value in busy.items()
        },
        "source_rate": {name: value["source_rate"] for name, value in busy.items()},
        "idle_cycles": [idle_cycles(SQUARE, levels) for levels in (1, 4, SQUARE.groups)],
        "image": image.manifest.name or image.id[:16],
        "cycles_per_image": cycles_per_image(image, spikes),
        **simulation[label(SQUARE)],
        "simulation": simulation,
        "golden_core": label(GOLDEN),
        "golden_timesteps_per_s": golden_timesteps_per_s(),
    }


def label(spec: CoreSpec) -> str:
    """Axons, neurons and lanes: ``256x256x8``."""
    return f"{spec.axons}x{spec.neurons}x{spec.lanes}"


def _rows(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The figures in words."""
    core, rates = figures["core"], figures["source_rate"]
    return [
        *(
            (
                f"synaptic operations per lane and cycle, {name}, "
                f"{100 * rates[name]:.1f} % of sources spiking",
                f"{value:.3f}",
            )
            for name, value in figures["synaptic_operations_per_lane_cycle"].items()
        ),
        *(
            (
                f"cycles of an idle timestep, {core}, levels: {value['levels']}",
                f"{value['cycles']} (allowed: {value['allowed']})",
            )
            for value in figures["idle_cycles"]
        ),
        (f"cycles an image, {figures['image']}", f"{figures['cycles_per_image']:,.0f}"),
        *(
            (
                f"cycles/s of the compiled driver and of a cocotb bench, {name}",
                f"{speed['driver_cycles_per_s']:,.0f} : {speed['cocotb_cycles_per_s']:,.0f} "
                f"= {speed['driver_to_cocotb']:.0f} (aim: {DRIVER_TO_COCOTB})",
            )
            for name, speed in figures["simulation"].items()
        ),
        (
            f"timesteps/s of the golden model, {figures['golden_core']}, 2 % spiking",
            f"{figures['golden_timesteps_per_s']:,.0f}",
        ),
    ]


def example(image: Path | None, spikes: Path | None) -> tuple[CoreImage, Spikes]:
    """The image for cycles an image and its input; if not given, what there is."""
    if image is None and spikes is None and all(path.is_file() for path in DIGITS):
        image, spikes = DIGITS
    core = layered_network(LAYERS) if image is None else CoreImage.load(image)
    if spikes is not None:
        return core, fit_spikes(read_spikes(spikes), core)
    return core, np.random.default_rng(1).random((20, 16, core.spec.axons)) < 0.3


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table and write ``core.json``; the exit code."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--image", type=Path, help="core image for cycles an image")
    parser.add_argument("--spikes", type=Path, help="its input spikes, .npz; random without")
    parser.add_argument("--output", type=Path, default=Path("build/bench/core.json"))
    options = parser.parse_args(arguments)
    folder = options.output.parent
    try:
        image, spikes = example(options.image, options.spikes)
        folder.mkdir(parents=True, exist_ok=True)
        figures = measure(image, spikes, folder / "cocotb")
        write_whole(options.output, (json.dumps(figures, indent=2) + "\n").encode())
    except SpikewrightError as error:
        print(error, file=sys.stderr)
        return 1
    rows = _rows(figures)
    width = max(len(name) for name, _ in rows)
    print("\n".join(f"{name:{width}}  {value}" for name, value in rows))
    print(f"Written to {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
