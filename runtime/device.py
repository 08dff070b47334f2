"""The device on a serial port: load an image, run it, let it learn, read everything back."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spikewright.closing import Closing
from spikewright.errors import BoardError, SpikewrightError
from spikewright.frames import Command, LinkSpec
from spikewright.image import CoreImage
from spikewright.spec import CoreSpec, Region
from spikewright.target import check_plastic, check_rewards, check_spikes

from .following import follow
from .link import Link, Port
from .loading import WRITE_HEAD, check_fit, check_held, load_requests, weights_fault
from .pace import Pace
from .protocol import Hello, Request
from .readback import Readback, Records
from .session import Session
from .stream import DevicePart, DeviceRun, RunStream

__all__ = ["Device", "DevicePart", "DeviceRun", "LoadProgress"]

LoadProgress = Callable[[int, int], None]
"""Called with the bytes of a load that are done, verification included, and with all of them."""

Bools = npt.NDArray[np.bool_]
Array = npt.NDArray[np.int64]


class Device(Closing):
    """The device on a serial port; a context manager that gives the port back.

    Parameters
    ----------
    port : str or Port
        Such as ``/dev/ttyUSB1``, or a virtual board's path; or what else carries bytes.
    baud_hz : int
        Line rate that the board was built for.
    retry_s : float
        As for :class:`spikewright.runtime.session.Session`.
    record
        As for :class:`spikewright.runtime.link.Link`.

    Raises
    ------
    LinkError
        No such port, in use, not allowed, or no answer.
    """

    def __init__(
        self,
        port: str | Port,
        *,
        baud_hz: int = LinkSpec.baud_hz,
        retry_s: float = 0.25,
        record: Path | None = None,
    ) -> None:
        self.link = Link(port, baud_hz=baud_hz, record=record)
        self.session = Session(self.link, retry_s=retry_s)
        self._image: CoreImage | None = None
        self._is_interrupted = False  # a run that did not end well, and no clear since
        self._is_running = False
        self._rate: float | None = None  # bytes of spikes out a timestep, lately
        try:
            self._hello = self.hello()
        except BaseException:
            self.close()
            raise

    def hello(self) -> Hello:
        """Ask who the device is. A load that another host began is ended by it."""
        self._check_idle()
        self._hello = self.session.open()
        return self._hello

    @property
    def clock_hz(self) -> int:
        """Its clock: cycles are counted by it, and periods in its cycles."""
        return self._hello.clock_hz

    # Loading

    def load(
        self, image: CoreImage, *, verify: bool = True, progress: LoadProgress | None = None
    ) -> None:
        """Load an image; the device then is cleared and records all neurons.

        Until all of it has arrived the device holds no valid image.

        Parameters
        ----------
        image : CoreImage
        verify : bool
            Read the weights back and compare them with the image's. Nothing else can be read
            back: that descriptors, levels and neurons arrived whole, and the weights too, is known
            from the byte count and CRC-32C of COMMIT, with or without this.
        progress : callable
            Told how far the load is.

        Raises
        ------
        SpecError
            The device has another spec; nothing of the image was sent.
        BoardError
            The device refused, or weights read back wrong: then it holds no valid image.
        LinkError
            The device stopped answering, or the port vanished.
        """
        hello = self._fitting(image)
        self._image = None
        written = sum(records.size for records in image.records.values())
        weights = image.records.get(Region.WEIGHTS, np.zeros((0, 1), np.uint8))
        total, done = written + (weights.size if verify else 0), 0
        for request, reply in self.session.exchange(load_requests(image, hello.max_payload)):
            reply.check()
            if request.command is Command.WRITE and progress is not None:
                done += len(request.payload) - WRITE_HEAD
                progress(done, total)
        if verify:
            self._verify(
                image.spec, weights, lambda read: progress and progress(written + read, total)
            )
        self._image = image
        self.session.is_alone = True
        self._is_interrupted = False
        self._rate = None

    def attach(self, image: CoreImage) -> None:
        """Go on with an image that the device holds already, and with what it learned since.

        For a host that lost its link, or was stopped, while the core learned: nothing of the image
        is sent, and :meth:`learned_image` then gives what was learned until that moment. As after
        a load, all neurons are recorded.

        Raises
        ------
        SpecError
            The device has another spec.
        BoardError
            The device holds no image, or another: what it learned is lost.
        LinkError
            The device stopped answering, or the port vanished.
        """
        check_held(image, self._fitting(image), self.link.port)
        self._image = None
        request = Request(Command.RECORD, first_group=0, group_count=image.spec.groups)
        self.session.request(request)
        self._image = image
        self.session.is_alone = True
        self._is_interrupted = True
        self._rate = None

    def _fitting(self, image: CoreImage) -> Hello:
        """Who the device is, if it can hold an image. Raises ``SpecError`` or ``BoardError``."""
        hello = self.hello()
        check_fit(image.spec, hello, self.link.port)
        return hello

    def _verify(self, spec: CoreSpec, weights: Records, progress: Callable[[int], object]) -> None:
        words = self._readback(spec).records(Region.WEIGHTS, len(weights), progress)
        if fault := weights_fault(words, weights):
            self.session.request(Request(Command.BEGIN))  # the image is invalid from here on
            raise fault

    # Running

    def run(
        self,
        spikes: Bools,
        *,
        clear: bool = True,
        record_v: bool | Sequence[int] = False,
        learn: bool = False,
        rewards: Array | None = None,
        period_s: float | None = None,
    ) -> DeviceRun:
        """Run timesteps of one sample.

        Parameters
        ----------
        spikes : bool[timesteps, axons]
            Axons that the spec has beyond these stay silent.
        clear : bool
            Start from a cleared state; if not, go on from the present one. Refused after a run
            that was interrupted, until a clear or a load: parts of its spikes may be left in the
            device.
        record_v : bool or sequence of int
            Give back membrane potentials too, of all neurons or of these: slow, they are read
            after each timestep.
        learn : bool
            Let the core learn. What it learned stays until the next load, whatever happens to the
            link; :meth:`attach` goes on with it.
        rewards : int64[timesteps], optional
            Of a run that learns: rewards Q1.6, -128 to 127; 0 without them.
        period_s : float, optional
            Let timesteps begin on ticks of the device's timer, so far apart [s], 100 us to 10 ms.
            ``counters["overruns"]`` tells the ticks that were missed; they change no result. By
            default timesteps are run on demand, as fast as they can be.

        Raises
        ------
        SpikewrightError
            Spikes of another dtype or shape, or of more axons than the spec has; rewards likewise,
            or learning without plasticity; a period that the device cannot keep; no such neurons.
        BoardError
            No image was loaded, the last run was interrupted, or the device refused.
        LinkError
            The device stopped answering or makes no sense, or the port vanished.
        """
        stream = self._stream(
            spikes, clear=clear, record_v=record_v, learn=learn, rewards=rewards, period_s=period_s
        )
        for _ in self._follow(stream):
            pass
        return DeviceRun(stream.spikes(), stream.v, stream.counters)

    def live(self, spikes: Bools, **options: Any) -> Iterator[DevicePart]:
        """Run as :meth:`run` does, and give the timesteps as their spikes come.

        With a period they come some milliseconds after they were run; on demand, when a request
        is full. Options and errors are those of :meth:`run`; nothing is checked or sent before the
        first timesteps are asked for. Who leaves the iteration early interrupts the run.
        """
        stream = self._stream(spikes, **options)
        with closing(self._follow(stream)) as replies:
            for _ in replies:
                if part := stream.part():
                    yield part

    def _stream(
        self,
        spikes: Bools,
        *,
        clear: bool = True,
        record_v: bool | Sequence[int] = False,
        learn: bool = False,
        rewards: Array | None = None,
        period_s: float | None = None,
    ) -> RunStream:
        """A run that has not begun, if it can."""
        image = self._loaded()
        check_spikes(spikes, image.spec, "[timesteps, axons]")
        given = None
        if learn:
            row = None if rewards is None else np.asarray(rewards)[None]
            given = check_rewards(row, spikes[None], image.spec)[0]
        if self._is_interrupted and not clear:
            raise BoardError(
                f"The last run on {self.link.port} was interrupted: parts of it may still be in "
                "the board.",
                hint="Run with clear=True, or call clear() first.",
            )
        first_timestep = None
        if not clear:
            first_timestep = self.hello().timestep
            self._check_alone()
        return RunStream(
            image,
            spikes,
            first_timestep=first_timestep,
            max_payload=self._hello.max_payload,
            rate=self._rate,
            record_v=record_v,
            pace=None if period_s is None else Pace.of(period_s, self._hello),
            rewards=given,
        )

    def _follow(self, stream: RunStream) -> Generator[None]:
        """Run to the end, stopping at each reply. Everything else is refused meanwhile."""
        self._is_interrupted = self._is_running = True
        try:
            yield from follow(self.session, stream)
        finally:
            self._is_running = False
        self._is_interrupted = False
        self._rate = stream.rate

    def _check_idle(self) -> None:
        if self._is_running:
            raise BoardError(
                f"The board on {self.link.port} is running: nothing can be loaded, read back or "
                "run meanwhile.",
                hint="Wait until the run is over; for snapshots, run fewer samples at a time.",
            )

    def clear(self) -> None:
        """Clear the state, set the timestep to 0 and drop what is left of an interrupted run."""
        cycles = self._loaded().spec.clear_cycles
        self.session.request(Request(Command.CLEAR, cycles=cycles))
        self._is_interrupted = False

    def record(self, first_group: int = 0, group_count: int | None = None) -> None:
        """Report the spikes of these neuron groups only; of all, without arguments.

        Raises
        ------
        SpikewrightError
            Groups that the spec has not.
        """
        spec = self._loaded().spec
        if group_count is None:
            group_count = spec.groups - first_group
        if min(first_group, group_count) < 0 or first_group + group_count > spec.groups:
            raise SpikewrightError(
                f"Recorded groups must be among the spec's {spec.groups}, "
                f"not {group_count} from {first_group} on.",
                hint=f"Give the first, counted from 0, and how many: groups of {spec.lanes} "
                "neurons. Without arguments all are recorded.",
            )
        self.session.request(
            Request(Command.RECORD, first_group=first_group, group_count=group_count)
        )

    # Reading back

    def counters(self) -> dict[str, int]:
        """All of ``frames.COUNTERS``, 32 bits each, since power-up."""
        self._check_idle()
        return dict(self.session.request(Request(Command.COUNTERS)).head)

    def read_weights(self) -> dict[str, Array]:
        """The words of the image, by an image's names.

        Returns
        -------
        dict of str to int64[words, lanes]
            ``weights`` and ``delays``; ``plastic`` and ``eligibility`` where the spec has them. If
            it is sparse, ``word_group`` too, ``int64[words]``.
        """
        image = self._loaded()
        return self._readback(image.spec).words(len(image.weights))

    def learned_image(self) -> CoreImage:
        """The loaded image with all that the core learned since in it, read back.

        Raises
        ------
        SpikewrightError
            Its spec has no plasticity.
        BoardError
            No image was loaded, the core runs, or the device refused.
        LinkError
            The device stopped answering, or the port vanished.
        """
        image = self._loaded()
        check_plastic(image.spec)
        return self._readback(image.spec).learned(image)

    def read_state(self) -> dict[str, Array]:
        """State by name, ``int64[neurons]`` each: ``v``, and ``i`` and others if kept."""
        return self._readback(self._loaded().spec).state()

    def read_accumulators(self) -> Array:
        """Accumulators ``int64[delay_slots, neurons]``; timestep t consumes slot ``t % slots``."""
        return self._readback(self._loaded().spec).accumulators()

    def _readback(self, spec: CoreSpec) -> Readback:
        """What reads the device's memories."""
        return Readback(self.session, spec, max_payload=self._hello.max_payload)

    def _loaded(self) -> CoreImage:
        """The image, still in the device as it was left. Raises ``BoardError`` or ``LinkError``."""
        self._check_idle()
        image = self.image
        if not self.session.is_open:
            self.hello()
        self._check_alone()
        return image

    def _check_alone(self) -> None:
        if not self.session.is_alone:
            raise BoardError(
                f"The board on {self.link.port} was used by another host, or reset.",
                hint="Load the image again; or call attach(image), if the board still holds it.",
            )

    @property
    def image(self) -> CoreImage:
        """The image that was loaded. Raises :class:`BoardError` if none was."""
        if self._image is None:
            raise BoardError(
                f"No image was loaded to the board on {self.link.port}.",
                hint="Call load(image) first.",
            )
        return self._image

    def close(self) -> None:
        """Give the port back. Harmless if done twice."""
        self.link.close()
