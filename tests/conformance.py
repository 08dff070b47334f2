"""PilotNet layers of lava-dl as core images, and their recordings; see ../shared/conformance."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from spikewright.fixed import signed_range
from spikewright.image import CoreImage
from spikewright.sim.golden import GoldenModel
from spikewright.spec import CoreSpec
from spikewright.target import Target

FOLDER = Path(__file__).parents[2] / "shared" / "conformance"

Array = npt.NDArray[Any]
Run = Callable[[Array], tuple[Array, Array, Array | None]]
"""From a cleared state, ``bool[timesteps, axons]`` to spikes, v and (where it can be seen) i of
every timestep and neuron slot."""

V_OF_SPIKE = 128
"""What the recordings hold for v on a spike; the neuron goes on from 0."""


def conformance_file(name: str) -> Path:
    """A file of the conformance folder; where that is absent the test is skipped."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"no conformance vectors: {path} is absent")
    return path


@dataclass(frozen=True)
class PilotNetLayer:
    """One layer with its recording, ``[timesteps, axons]`` and ``[timesteps, neurons]``.

    ``zeroed`` are the timesteps before which all v are set to zero.
    """

    image: CoreImage
    axon_spikes: Array
    u: Array
    v: Array
    spikes: Array
    zeroed: tuple[int, ...]

    def mismatches(self, run: Run) -> dict[str, int]:
        """Entries in which a replay differs from the recording, by variable; ``u`` only if seen."""
        timesteps, neurons = self.spikes.shape
        counts = dict.fromkeys(("spikes", "v", "u"), 0)
        bounds = [0, *self.zeroed, timesteps]
        for first, last in itertools.pairwise(bounds):
            here = slice(first, last)
            spikes, v, i = run(self.axon_spikes[here])
            seen = np.where(spikes, V_OF_SPIKE, v)[:, :neurons]
            counts["spikes"] += int((spikes[:, :neurons] != self.spikes[here]).sum())
            counts["v"] += int((seen != self.v[here]).sum())
            if i is None:
                counts.pop("u", None)
            else:
                u = i[:, :neurons] - self.image.bias[:neurons]
                counts["u"] += int((u != self.u[here]).sum())
        return counts


def pilotnet(name: str, *, lanes: int = 8) -> PilotNetLayer:
    """The layer ``fc-1`` or ``fc-2``, for a core with this many lanes."""
    with np.load(conformance_file(f"pilotnet/{name}.npz")) as file:
        data = {key: file[key] for key in file.files}
    neurons, axons = data["weight"].shape
    groups = -(-neurons // lanes)
    spec = CoreSpec(axons=axons, neurons=groups * lanes, lanes=lanes, weight_bits=8, state_bits=20)
    rows = np.zeros((axons, spec.neurons), np.int64)
    rows[:, :neurons] = data["weight"].T
    bias = np.zeros(spec.neurons, np.int64)
    bias[:neurons] = data["bias"] << spec.fraction_bits
    threshold = np.full(spec.neurons, signed_range(spec.state_bits)[1])
    threshold[:neurons] = 1600
    source = np.arange(spec.sources)
    none = np.zeros(spec.neurons, np.int64)
    image = CoreImage(
        spec=spec,
        weights=rows.reshape(-1, lanes),
        delays=np.zeros((axons * groups, lanes), np.int64),
        first_word=np.where(source < axons, source * groups, 0),
        word_count=np.where(source < axons, groups, 0),
        first_group=np.zeros(spec.sources, np.int64),
        level_groups=np.array([groups]),
        a_mem=np.full(spec.neurons, 3072),
        a_syn=none,
        bias=bias,
        v_threshold=threshold,
        reset=none,
        reset_to=none + 1,
        refractory=none,
    )
    # Recorded input arrives one timestep later, over a synapse without a delay of its own.
    timesteps = data["spikes_in"].shape[1]
    axon_spikes = np.zeros((timesteps, axons), np.bool_)
    axon_spikes[1:] = data["spikes_in"].T[:-1]
    return PilotNetLayer(
        image=image,
        axon_spikes=axon_spikes,
        u=data["u"].T,
        v=data["v"].T,
        spikes=data["spikes_out"].T,
        zeroed=tuple(range({"fc-1": 7, "fc-2": 8}[name], timesteps, 17)),
    )


def run_golden(image: CoreImage) -> Run:
    """The golden model, i included."""
    model = GoldenModel(image)

    def run(axon_spikes: Array) -> tuple[Array, Array, Array]:
        model.clear()
        steps = [
            (model.step(row[None]).spikes[0], model.v[0].copy(), model.i[0].copy())
            for row in axon_spikes
        ]
        spikes, v, i = (np.array(column) for column in zip(*steps, strict=True))
        return spikes, v, i

    return run


def run_target(target: Target, image: CoreImage) -> Run:
    """Any target; i cannot be seen through it."""
    target.load(image)

    def run(axon_spikes: Array) -> tuple[Array, Array, None]:
        result = target.run(axon_spikes[None], record_v=True)
        if result.v is None:
            raise TypeError("the target was asked for v and gave none")
        return result.spikes[0], result.v[0], None

    return run
