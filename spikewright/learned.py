"""What a training has changed: plastic weights while it went on, in numbers and tables."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from spikewright.console import Table
from spikewright.errors import DataError
from spikewright.image import CoreImage
from spikewright.learning import LearningRule
from spikewright.plastic import PlasticSynapses
from spikewright.training import Trained

__all__ = ["History", "training_summary", "training_tables"]

Array = npt.NDArray[np.int64]

_ABSENT_SHOWN = 5


class History:
    """Plastic weights of a training, as it begins and each time that they are read back.

    Parameters
    ----------
    image : CoreImage
        What the training begins with, or any that it makes of it.

    Attributes
    ----------
    plastic : PlasticSynapses
    samples : list of int
        Samples learned until then, those to skip among them.
    """

    def __init__(self, image: CoreImage) -> None:
        self.plastic = PlasticSynapses.of(image)
        self.samples: list[int] = []
        self._weights: list[npt.NDArray[np.int16]] = []

    def add(self, samples: int, image: CoreImage) -> None:
        """Keep what was read back; a :data:`spikewright.training.OnRead`."""
        self.samples.append(samples)
        self._weights.append(self.plastic.weights(image).astype(np.int16))

    @property
    def weights(self) -> npt.NDArray[np.int16]:
        """Weights ``int16[reads, synapses]``."""
        return np.stack(self._weights)

    def find(self, synapses: Sequence[tuple[int, int]]) -> Array:
        """Index of synapses, given as source and neuron, ``int64[n]``.

        Raises
        ------
        DataError
            Some of them are not there, or do not learn.
        """
        plastic = self.plastic
        found = [np.flatnonzero((plastic.source == j) & (plastic.neuron == n)) for j, n in synapses]
        absent = [pair for pair, at in zip(synapses, found, strict=True) if not at.size]
        if absent:
            raise DataError(
                "No plastic synapses to watch:",
                reasons=[f"from source {j} to neuron {n}" for j, n in absent[:_ABSENT_SHOWN]],
                hint="Name source and neuron as in 3:7. Sources are axons, and neurons after all "
                "of the core's axons.",
            )
        return np.array([at[0] for at in found], np.int64)

    def most_changed(self, count: int) -> Array:
        """Index of synapses that rose most and that fell most, of a neuron each, ``int64[n]``."""
        change = self._weights[-1].astype(np.int64) - self._weights[0]
        chosen: list[int] = []
        neurons: set[int] = set()
        for sign in (1, -1):
            room = len(chosen) + count // 2
            for k in np.argsort(-sign * change, kind="stable").tolist():
                if len(chosen) == room or sign * change[k] <= 0:
                    break
                if int(self.plastic.neuron[k]) not in neurons:
                    neurons.add(int(self.plastic.neuron[k]))
                    chosen.append(k)
        return np.array(chosen, np.int64)


def training_summary(
    trained: Trained, target: str, timesteps: int, seconds: float
) -> dict[str, Any]:
    """What a training did, as JSON.

    Parameters
    ----------
    trained : Trained
    target : str
    timesteps : int
        Of a sample.
    seconds : float
        That it took on the target.
    """
    before, after = trained.before, trained.after
    rule = after.rule or LearningRule()
    plastic = PlasticSynapses.of(before)
    old, new = plastic.weights(before), plastic.weights(after)
    total = trained.samples * timesteps
    return {
        "image": before.id,
        "learned": after.id,
        "target": target,
        "samples": trained.samples,
        "timesteps": timesteps,
        "seconds": round(seconds, 3),
        "timesteps_per_second": round(total / max(seconds, 1e-9)),
        "cycles_per_sample": trained.cycles / trained.samples,
        "spikes": int(trained.spikes.sum()),
        "synapses": {
            "plastic": len(plastic),
            "changed": int((old != new).sum()),
            "at_w_min": int((new == rule.w_min).sum()),
            "at_w_max": int((new == rule.w_max).sum()),
            "mean_before": round(float(old.mean()), 4),
            "mean_after": round(float(new.mean()), 4),
        },
        "h": None if after.h is None else {"least": int(after.h.min()), "most": int(after.h.max())},
    }


def training_tables(data: dict[str, Any]) -> list[Table | str]:
    """What :func:`training_summary` gave, for people."""
    synapses = data["synapses"]
    plastic = synapses["plastic"]
    rows = [
        ("plastic synapses", f"{plastic}"),
        ("changed", f"{synapses['changed']}, {synapses['changed'] / plastic:.1%}"),
        (
            "mean weight",
            f"{synapses['mean_before']:.2f} before, {synapses['mean_after']:.2f} after",
        ),
        ("at w_min", f"{synapses['at_w_min']}, {synapses['at_w_min'] / plastic:.1%}"),
        ("at w_max", f"{synapses['at_w_max']}, {synapses['at_w_max'] / plastic:.1%}"),
    ]
    if data["h"]:
        rows.append(("threshold offsets", f"{data['h']['least']} to {data['h']['most']}"))
    return [
        f"{data['samples']} samples of {data['timesteps']} timesteps learned on {data['target']}: "
        f"{data['seconds']:.2f} s, {data['timesteps_per_second']} timesteps/s, "
        f"{data['cycles_per_sample']:.1f} cycles a sample, {data['spikes']} spikes",
        Table(("learned", ""), rows),
    ]
