"""A board on a serial port, as a target like any other."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from spikewright.frames import LinkSpec
from spikewright.image import CoreImage
from spikewright.target import Progress, RunResult, check_rewards, check_spikes

from .device import Device
from .link import Port, parse_port

__all__ = ["SerialTarget"]

Bools = npt.NDArray[np.bool_]


class SerialTarget:
    """A board on a serial port as a :class:`spikewright.target.Target`.

    Parameters
    ----------
    name : str or Port
        The port, with ``@`` and the baud rate if it is not 1,000,000: ``/dev/ttyUSB1@115200``; or
        what stands in for one.
    record
        As for :class:`spikewright.runtime.link.Link`.

    Raises
    ------
    LinkError
        No such port, in use, not allowed, or no answer.
    """

    def __init__(self, name: str | Port, *, record: Path | None = None) -> None:
        self.name = name if isinstance(name, str) else name.name
        port, baud_hz = parse_port(name) if isinstance(name, str) else (name, LinkSpec.baud_hz)
        self.device = Device(port, baud_hz=baud_hz, record=record)

    def load(self, image: CoreImage) -> None:
        """Load an image and verify it; see :meth:`Device.load`."""
        self.device.load(image)

    def attach(self, image: CoreImage) -> None:
        """Go on with the image that the board holds, and what it learned; see Device.attach."""
        self.device.attach(image)

    def run(
        self,
        spikes: Bools,
        *,
        record_v: bool = False,
        learn: bool = False,
        rewards: npt.NDArray[np.int64] | None = None,
        period_s: float | None = None,
        progress: Progress | None = None,
    ) -> RunResult:
        """Run samples, each from a cleared state.

        As :meth:`spikewright.target.RealTimeTarget.run`.

        Raises
        ------
        SpikewrightError, BoardError, LinkError
            As :meth:`Device.run`.
        """
        spec = self.device.image.spec
        check_spikes(spikes, spec, "[samples, timesteps, axons]")
        if learn:
            check_rewards(rewards, spikes, spec)
        fired = np.empty((*spikes.shape[:2], spec.neurons), np.bool_)
        v = np.empty(fired.shape, np.int32) if record_v else None
        total_cycles = np.empty(len(spikes), np.int64)
        overruns = None if period_s is None else np.empty(len(spikes), np.int64)
        for n, sample in enumerate(spikes):
            of_sample = rewards[n] if learn and rewards is not None else None
            run = self.device.run(
                sample, record_v=record_v, learn=learn, rewards=of_sample, period_s=period_s
            )
            fired[n], total_cycles[n] = run.spikes, run.counters["cycles"]
            if v is not None and run.v is not None:
                v[n] = run.v
            if overruns is not None:
                overruns[n] = run.counters["overruns"]
            if progress is not None:
                progress(1)
        return RunResult(fired, None, total_cycles, v, overruns)

    @property
    def clock_hz(self) -> int:
        """The device's clock, which paces timesteps."""
        return self.device.clock_hz

    def learned_image(self) -> CoreImage:
        """See :meth:`Device.learned_image`."""
        return self.device.learned_image()

    def close(self) -> None:
        """Give the port back. Harmless if done twice."""
        self.device.close()
