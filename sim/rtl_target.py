"""The Verilated core as a target, as users run it."""

import numpy as np
import numpy.typing as npt

from spikewright.errors import SpikewrightError
from spikewright.image import CoreImage
from spikewright.learned_image import with_learned
from spikewright.spec import Region
from spikewright.target import (
    Progress,
    Report,
    RunResult,
    check_plastic,
    check_rewards,
    check_spikes,
)

from .verilator import CoreSimulator

__all__ = ["VerilatorTarget"]


class VerilatorTarget:
    """The Verilated core as a :class:`spikewright.target.LearningTarget`.

    Parameters
    ----------
    report : callable
        Given one line of text when a build takes longer than two seconds.
    """

    name = "verilator"

    def __init__(self, report: Report | None = None) -> None:
        self._report = report
        self._simulator: CoreSimulator | None = None
        self._image: CoreImage | None = None

    def load(self, image: CoreImage) -> None:
        """Load an image, into a core of its spec that is built or taken from the cache.

        Raises
        ------
        ToolError
            The core cannot be built.
        """
        if self._simulator is None or self._simulator.spec != image.spec:
            self.close()
            self._simulator = CoreSimulator(image.spec, report=self._report)
        self._simulator.load(image)
        self._image = image

    def run(
        self,
        spikes: npt.NDArray[np.bool_],
        *,
        record_v: bool = False,
        learn: bool = False,
        rewards: npt.NDArray[np.int64] | None = None,
        progress: Progress | None = None,
    ) -> RunResult:
        """Run samples, each from a cleared state; see
        :meth:`spikewright.target.LearningTarget.run`.

        Raises
        ------
        SpikewrightError
            No image is loaded, the spikes have another dtype, shape or too many axons, or the core
            cannot learn so.
        MismatchError
            The core broke its port protocol or did not finish a timestep.
        """
        simulator, _ = self._loaded()
        spec = simulator.spec
        check_spikes(spikes, spec, "[samples, timesteps, axons]")
        given = check_rewards(rewards, spikes, spec) if learn else None
        shape = (*spikes.shape[:2], spec.neurons)
        fired = np.zeros(shape, np.bool_)
        cycles = np.zeros(shape[:2], np.int64)
        v = np.zeros(shape, np.int32) if record_v else None
        for sample, stimulus in enumerate(spikes):
            simulator.clear()
            run = simulator.run(
                stimulus,
                record=("v",) if record_v else (),
                learn=np.ones(len(stimulus), np.bool_) if learn else None,
                rewards=None if given is None else given[sample],
            )
            fired[sample], cycles[sample] = run.spikes, run.cycles
            if v is not None:
                v[sample] = run.v
            if progress is not None:
                progress(1)
        return RunResult(fired, cycles, cycles.sum(axis=1), v)

    def learned_image(self) -> CoreImage:
        """See :meth:`spikewright.target.LearningTarget.learned_image`; read back from the core."""
        simulator, image = self._loaded()
        spec = simulator.spec
        check_plastic(spec)
        words = simulator.read(Region.WEIGHTS, 0, len(image.weights))
        random = simulator.read(Region.RANDOM)["random"] if spec.stochastic_rounding else [0]
        return with_learned(
            image,
            weights=_lanes(words, "weight", spec.lanes),
            eligibility=_lanes(words, "eligibility", spec.lanes) if spec.reward else None,
            h=simulator.read(Region.STATE)["h"] if spec.adaptive_threshold else None,
            random=int(random[0]),
        )

    def _loaded(self) -> tuple[CoreSimulator, CoreImage]:
        if self._simulator is None or self._image is None:
            raise SpikewrightError("No image is loaded.", hint="Call load(image) before run().")
        return self._simulator, self._image

    def close(self) -> None:
        """Give back the model. Harmless if done twice."""
        if self._simulator is not None:
            self._simulator.close()
            self._simulator = None


def _lanes(words: dict[str, npt.NDArray[np.int64]], kind: str, lanes: int) -> npt.NDArray[np.int64]:
    return np.stack([words[f"{kind}{lane}"] for lane in range(lanes)], axis=1)
