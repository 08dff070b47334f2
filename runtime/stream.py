"""One run through a device: which RUN comes next, and what came back of those before."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spikewright.errors import LinkError
from spikewright.frames import (
    COUNTER_VALUES,
    COUNTERS,
    END,
    MOST_MISSED,
    REPLY_PAYLOADS,
    REQUEST_PAYLOADS,
    RUNS,
    TIMESTEPS,
    Command,
    Status,
    ring_bytes,
    worst_timestep_bytes,
)
from spikewright.image import CoreImage

from .coding import decode_spikes, encode_spikes, trim
from .membranes import Membranes
from .pace import Pace
from .protocol import Reply, Request

__all__ = ["DevicePart", "DeviceRun", "RunStream", "worst_timestep_cycles"]

_RUN_CYCLES = 1 << 20
"""Most clock cycles that a RUN may take at worst: 10 ms at 100 MHz, a second when simulated."""
_RUN_TIMESTEPS = (1 << 16) - 1
_COUNTED = 1 << 31
"""A counter may grow by this much, and one RUN more, before it must be read: it wraps at 2^32."""


def worst_timestep_cycles(image: CoreImage, *, learns: bool = True) -> int:
    """A bound on the cycles of a timestep: every source spikes, and every row is learned in.

    Without ``learns`` it is one of a RUN, in which nothing is.
    """
    spec = image.spec
    per_level = spec.update_latency + spec.integrate_overhead
    rows = int(np.maximum(image.word_count, 1).sum())
    levels = len(image.level_groups) + 1
    update = spec.update_cycles
    cycles = spec.timestep_overhead + update * image.groups_used + levels * per_level + rows
    if image.level_winners is not None:
        passes = image.level_winners.astype(np.int64)
        cycles += int((passes * (update * image.level_groups + spec.update_latency)).sum())
    if learns and spec.plastic:
        words = np.maximum(image.word_count[image.learns], image.groups_used)
        cycles += spec.learn_overhead + int(words.sum())
    return cycles


@dataclass(frozen=True)
class DeviceRun:
    """What a device did in T timesteps.

    Attributes
    ----------
    spikes : bool[T, neurons]
        Spikes of every neuron slot of the spec; none of groups that are not recorded.
    v : int32[T, neurons] or None
        Membrane potentials after each timestep, if asked for: of all neurons, or of those chosen.
    counters : dict of str to int
        What each of ``frames.COUNTERS`` grew by.
    """

    spikes: npt.NDArray[np.bool_]
    v: npt.NDArray[np.int32] | None
    counters: dict[str, int]


@dataclass(frozen=True)
class DevicePart:
    """Some timesteps of a run that goes on.

    Attributes
    ----------
    timestep : int
        The first of them, counted from the first of the run.
    spikes, v
        As in :class:`DeviceRun`.
    """

    timestep: int
    spikes: npt.NDArray[np.bool_]
    v: npt.NDArray[np.int32] | None


class RunStream:
    """The timesteps of one run as requests, and their results as replies come in.

    RUNs are cut so that the spikes in fit a request, and the spikes out, as many as there were
    lately, a reply. Where the device pauses for want of room, the stream goes on from there.

    Parameters
    ----------
    image : CoreImage
        What the device holds.
    spikes : bool[timesteps, axons]
    first_timestep : int or None
        The device's timestep before the run; None clears it first.
    max_payload : int
        The device's limit [bytes].
    rate : float, optional
        Bytes of spikes out a timestep to begin with, if known; :attr:`rate` is kept up to date.
    record_v : bool or sequence of int
        Run single timesteps and read the membrane potentials after each, of all neurons or of
        these.
    pace : Pace, optional
        Let timesteps begin on ticks; the run begins a timeline.
    rewards : int64[timesteps], optional
        Let the core learn, with these rewards. Each request has one: it is for as many timesteps
        as share it.

    Attributes
    ----------
    counters : dict of str to int
        What each of ``frames.COUNTERS`` grew by.
    """

    def __init__(
        self,
        image: CoreImage,
        spikes: npt.NDArray[np.bool_],
        *,
        first_timestep: int | None,
        max_payload: int,
        rate: float | None = None,
        record_v: bool | Sequence[int] = False,
        pace: Pace | None = None,
        rewards: npt.NDArray[np.int64] | None = None,
    ) -> None:
        self._worst_bytes = worst_timestep_bytes(image.spec)
        self.rate = rate or self._worst_bytes / (1 if pace else 8)
        self.counters = dict.fromkeys(COUNTERS, 0)
        self._membranes = None
        if record_v is not False:
            neurons = None if record_v is True else record_v
            self._membranes = Membranes(
                image, neurons, timesteps=len(spikes), max_payload=max_payload
            )
        self._image = image
        self._first = first_timestep or 0
        self._clears = first_timestep is None
        self._pace = pace
        self._starts_timer = pace is not None
        self._timesteps = len(spikes)
        self._rewards = rewards
        self._command = Command.RUN if rewards is None else Command.LEARN
        self._head = REQUEST_PAYLOADS[self._command].size
        given = np.zeros(self._timesteps, np.int64) if rewards is None else rewards
        changes = np.flatnonzero(np.diff(given)) + 1
        self._one_reward_until = np.append(changes, self._timesteps)
        self._code, self._start = encode_spikes(spikes)
        self._max_payload = max_payload
        self._worst_cycles = worst_timestep_cycles(image, learns=self.learns)
        # No counter grows faster in a timestep than synaptic operations, or than overruns.
        self._most_grown = max(self._worst_cycles * image.spec.lanes, MOST_MISSED if pace else 0)
        self._at = (0, 0)  # timestep and byte of the code that the next RUN begins with
        self._ran = 0  # timesteps that the device has run
        self._taken = 0  # bytes of the next timestep that it has already
        self._pending = 0
        self._is_stalled = False
        self._out = bytearray()
        self._told = (0, 0)  # timesteps and bytes of `_out` that were given as parts
        self._out_most = len(spikes) * self._worst_bytes
        self._last_counters: dict[str, int] = {}
        self._grown = 0  # most that a counter has grown since it was last read

    @property
    def progress(self) -> tuple[int, int]:
        """Timesteps run and bytes received; grows until the run is finished."""
        return self._ran, len(self._out)

    @property
    def is_finished(self) -> bool:
        """Whether the state was cleared, all timesteps run and all their spikes received."""
        return not self._clears and self._ran == self._timesteps and not self._pending

    def spikes(self) -> npt.NDArray[np.bool_]:
        """Spikes of the finished run: ``bool[timesteps, neurons]``. Raises ``LinkError``."""
        return decode_spikes(self._out, self._timesteps, self._image.spec.neurons)

    @property
    def learns(self) -> bool:
        """Whether the core learns in it."""
        return self._command is Command.LEARN

    @property
    def is_paced(self) -> bool:
        """Whether its timesteps begin on ticks."""
        return self._pace is not None

    @property
    def v(self) -> npt.NDArray[np.int32] | None:
        """Membrane potentials, as in :class:`DeviceRun`."""
        return self._membranes.v if self._membranes else None

    def part(self) -> DevicePart | None:
        """Timesteps that have become whole since the last call, if any. Raises ``LinkError``."""
        first, began = self._told
        end = self._out.rfind(END) + 1
        if end <= began:
            return None
        count = self._out.count(END, began, end)
        if self._membranes and first + count > self._membranes.whole:
            return None
        spikes = decode_spikes(self._out[began:end], count, self._image.spec.neurons)
        self._told = (first + count, end)
        return DevicePart(first, spikes, None if self.v is None else self.v[first : first + count])

    def requests(self) -> Iterator[Request]:
        """What to ask next, given the replies so far; ends early when the device pauses."""
        self._is_stalled = False
        if self._clears:
            self._clears = False
            yield Request(Command.CLEAR, cycles=self._image.spec.clear_cycles)
        if self._pace and self._starts_timer:
            self._starts_timer = False
            yield Request(Command.PACE, period=self._pace.period)
        if not self._last_counters:
            yield Request(Command.COUNTERS)
        while self._at[0] < self._timesteps and not self._is_stalled:
            request = self._next_run()
            yield request
            if request.head["count"]:
                if self._membranes:
                    yield from self._membranes.requests()
                self._grown += request.head["count"] * self._most_grown
                if self._grown >= _COUNTED:
                    yield self._read_counters()
        if not self._is_stalled:
            for _ in range(-(-self._pending // self._room_out)):
                yield Request(Command.RUN, timestep=self._device_timestep(self._timesteps), count=0)
        if self._grown:
            yield self._read_counters()

    def _read_counters(self) -> Request:
        self._grown = 0
        return Request(Command.COUNTERS)

    @property
    def _room_out(self) -> int:
        return self._max_payload - REPLY_PAYLOADS[Command.RUN].size

    def _next_run(self) -> Request:
        timestep, byte = self._at
        room = self._max_payload - self._head
        fit = int(np.searchsorted(self._start, byte + room, side="right")) - 1 - timestep
        if fit < 1:  # not even this timestep: its first part, the rest follows
            count, data = 0, self._code[byte : byte + room]
            self._at = (timestep, byte + room)
        else:
            most = self._most_timesteps()
            alike = self._one_reward_until.searchsorted(timestep, side="right")
            most = min(most, int(self._one_reward_until[alike]) - timestep)
            count = max(1, min(fit, most, _RUN_CYCLES // self._worst_cycles))
            end = int(self._start[timestep + count])
            data = trim(self._code[byte:end])
            self._at = (timestep + count, end)
        reward = {} if self._rewards is None else {"reward": int(self._rewards[timestep])}
        return Request(
            self._command,
            data,
            cycles=count * (self._worst_cycles + (self._pace.period if self._pace else 0)),
            timestep=self._device_timestep(timestep),
            count=count,
            **reward,
        )

    def _most_timesteps(self) -> int:
        """Timesteps that may share a request, by the spikes out that they are likely to have."""
        if self._membranes:
            return 1
        most = min(_RUN_TIMESTEPS, int(self._room_out / self.rate))
        if self._pace is None:
            return most
        # A device that pauses misses ticks: let twice the rate fit, or whatever may come.
        room = ring_bytes(self._image.spec) - self._worst_bytes
        fit = 1 + int(room / min(2 * self.rate, self._worst_bytes))
        return min(most, fit, self._pace.run_timesteps)

    def _device_timestep(self, timestep: int) -> int:
        return (self._first + timestep) % TIMESTEPS

    def take(self, request: Request, reply: Reply) -> None:
        """Take in the reply to the next of :meth:`requests`.

        Raises
        ------
        BoardError
            The device refused.
        LinkError
            The reply makes no sense.
        """
        if request.command in RUNS:
            self._take_run(request, reply)
        elif request.command is Command.READ and self._membranes:
            # Those after the last timestep run, paused or not.
            self._membranes.take(request, reply, self._ran)
        elif request.command is Command.COUNTERS:
            self._take_counters(reply.check())
        else:
            reply.check()

    def _take_run(self, request: Request, reply: Reply) -> None:
        if reply.status not in (Status.OK, Status.PAUSED) and not (
            reply.status is Status.BAD_TIMESTEP and self._is_stalled
        ):
            reply.check()
        began, now = (
            (head["timestep"] - self._first) % TIMESTEPS for head in (request.head, reply.head)
        )
        count = request.head["count"]
        self._ran, ran_before = now, self._ran
        steps = self._ran - ran_before
        if self._is_stalled:
            sane = steps == 0
        else:
            sane = ran_before == began and (
                steps == count if reply.status is Status.OK else 0 <= steps < count
            )
        self._out += reply.data
        if not sane or len(self._out) > self._out_most:
            raise LinkError(
                f"The device's reply to a {request.command.name} of {count} timesteps "
                "makes no sense.",
                hint="Reset the board and load the image again; if it stays so, flash it again.",
            )
        if steps:
            made = len(reply.data) + reply.head["pending"] - self._pending
            self.rate = max(1.0, self.rate + (made / steps - self.rate) / 4)
            self._taken = 0
        elif reply.status is Status.OK:
            self._taken += len(request.payload) - REQUEST_PAYLOADS[request.command].size
        self._pending = reply.head["pending"]
        if reply.status is Status.PAUSED and not self._is_stalled:
            self._is_stalled = True
            self._at = (self._ran, int(self._start[self._ran]) + self._taken)

    def _take_counters(self, reply: Reply) -> None:
        for name, now in reply.head.items():
            before = self._last_counters.get(name, now)
            self.counters[name] += (now - before) % COUNTER_VALUES
        self._last_counters = dict(reply.head)
