"""A host that uses a device as programs do, and knows what must come of it."""

import random
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
from link_cases import Expected

from spikewright.errors import SpikewrightError
from spikewright.frames import Command
from spikewright.runtime.device import Device
from spikewright.runtime.link import Port
from spikewright.runtime.protocol import Request

BAUD_HZ = 1_000_000
PERIODS_S = (1e-4, 1e-4, 5e-4)
"""Drawn from: the shortest one is shorter than some timesteps of a slow device."""


class WrongError(Exception):
    """A result that is not the golden model's."""


def expect(condition: object, what: str) -> None:
    if not condition:
        raise WrongError(what)


class Host:
    """Uses a device as programs do, and knows what must come of it.

    Parameters
    ----------
    port : Port
    case : Expected
    rng : Random
    trusts_board : bool
        Nobody else changes what the board learned.
    is_model : bool
        Timesteps alone take the device time: overruns are known.
    """

    def __init__(
        self,
        port: Port,
        case: Expected,
        rng: random.Random,
        *,
        trusts_board: bool = True,
        is_model: bool = True,
    ) -> None:
        self.port = port
        self.case = case
        self.samples, self.timesteps = case.spikes.shape[:2]
        self.rng = rng
        self.trusts_board = trusts_board
        self.is_model = is_model
        self.device: Device | None = None
        self.is_loaded = False
        self.sample = 0
        self.at = -1  # timesteps of the sample that were run; -1: it must be cleared first
        self.is_unsure = False  # an operation failed since the last load
        self.groups: int | None = case.image.spec.groups  # recorded, if that is known

    def step(self) -> Callable[[], None]:
        """The next operation: from what a program may do now, any."""
        if self.device is None:
            return self.open
        if not self.is_loaded:
            return self.rng.choice((self.load, self.load, self.load, self.refused))
        if self.case.learned:
            return self.rng.choice((self.learn, self.learn, self.learned, self.hello, self.state))
        return self.rng.choice((
            *(self.run, self.run, self.go_on, self.go_on, self.state, self.weights),
            *(self.hello, self.counters, self.record, self.again, self.paced),
        ))

    def failed(self, error: SpikewrightError) -> None:
        """Go on as a program would after an error."""
        self.at, self.groups, self.is_unsure = -1, None, True
        if self.device is None:
            return
        if self.case.learned and self.is_loaded:
            self.is_loaded = False
            if self.trusts_board:
                self.learned_so_far()
        elif self.rng.random() < 0.3:
            self.is_loaded = False
        if self.rng.random() < 0.3:
            self.close()

    # Operations

    def close(self) -> None:
        if self.device is not None:
            self.device.close()
        self.device = None

    def open(self) -> None:
        self.close()
        self.is_loaded, self.at = False, -1
        self.device = Device(self.port, baud_hz=BAUD_HZ)

    def load(self) -> None:
        assert self.device
        self.device.load(self.case.image, verify=self.rng.random() < 0.3)
        self.is_loaded, self.is_unsure, self.sample, self.at = True, False, 0, 0
        self.groups = self.case.image.spec.groups

    def again(self) -> None:
        """Connect anew, as another program would."""
        self.open()
        assert self.device
        self.device.attach(self.case.image)
        self.is_loaded, self.groups = True, self.case.image.spec.groups

    def refused(self) -> None:
        """Without an image nothing runs."""
        assert self.device
        if not self.is_unsure:
            return
        device = self.device
        hello = device.hello()
        if hello.image_id is None:
            try:
                device.session.request(Request(Command.RUN, timestep=0, count=1))
            except SpikewrightError:
                return
            raise WrongError("a RUN without an image")

    def run(self) -> None:
        self.sample = self.rng.randrange(self.samples)
        self.check_run(0, self.rng.randint(1, self.timesteps), record_v=self.rng.random() < 0.2)

    def paced(self) -> None:
        """In a period that some timesteps do not keep."""
        self.sample = self.rng.randrange(self.samples)
        end = self.rng.randint(1, self.timesteps)
        self.check_run(0, end, period_s=self.rng.choice(PERIODS_S))

    def go_on(self) -> None:
        if self.at in (-1, self.timesteps):
            return self.run()
        return self.check_run(self.at, self.rng.randint(self.at + 1, self.timesteps))

    def check_run(
        self, first: int, end: int, *, record_v: bool = False, period_s: float | None = None
    ) -> None:
        assert self.device
        self.record_all()
        assert self.groups is not None
        part = self.case.spikes[self.sample, first:end]
        clear = first == 0 and (self.at != 0 or self.rng.random() < 0.5)
        self.at = -1
        run = self.device.run(part, clear=clear, record_v=record_v, period_s=period_s)
        self.at = end
        wanted, here = self.case.results, (self.sample, slice(first, end))
        assert wanted.v is not None
        spikes = wanted.spikes[here].copy()
        spikes[:, self.groups * self.case.image.spec.lanes :] = False
        expect((run.spikes == spikes).all(), f"spikes of {here}")
        expect(run.v is None or (run.v == wanted.v[here]).all(), f"potentials of {here}")
        self.check_counters(run.counters, here, period_s)

    def record_all(self) -> None:
        """Report all spikes, unless some or all are for certain."""
        assert self.device
        if self.groups is None:
            self.device.record()
            self.groups = self.case.image.spec.groups

    def check_counters(
        self, found: Mapping[str, int], here: tuple[int, slice], period_s: float | None
    ) -> None:
        """What a run has counted: timesteps ``here[1]`` of sample ``here[0]``."""
        assert self.device
        wanted = self.case.results
        counted = {
            "timesteps": len(wanted.cycles[here]),
            "cycles": wanted.cycles[here].sum(),
            "spikes_in": self.case.spikes[here].sum(),
            "spikes_out": wanted.spikes[here].sum(),
            "synaptic_operations": wanted.synaptic_operations[here].sum(),
            "saturations": wanted.saturations[here].sum(),
        }
        ours = {name: found[name] for name in counted}
        expect(ours == counted, f"counters {ours}, not {counted}")
        period = round((period_s or 0) * self.device.clock_hz)
        self.check_overruns(found["overruns"], wanted.cycles[here][:-1], period)

    def check_overruns(self, found: int, cycles: npt.NDArray[np.int64], period: int) -> None:
        """Ticks that timesteps of so many cycles miss; more on a board, where all takes time."""
        least = int((np.maximum(1, -(-cycles // period)) - 1).sum()) if period else 0
        is_right = found == least if self.is_model or not period else found >= least
        expect(is_right, f"{found} overruns in {period} cycles, not {least}")

    def learn(self) -> None:
        """The next lesson: on demand, or in real time."""
        assert self.device
        assert self.case.rewards is not None
        k = self.sample
        if k == self.samples:
            self.is_loaded = False
            return self.load()
        self.at = -1
        self.record_all()
        period_s = self.rng.choice((None, *PERIODS_S))
        spikes, rewards = self.case.spikes[k], self.case.rewards[k]
        run = self.device.run(spikes, learn=True, rewards=rewards, period_s=period_s)
        self.sample, self.at = k + 1, self.timesteps
        expect((run.spikes == self.case.results.spikes[k]).all(), f"spikes of lesson {k}")
        self.check_counters(run.counters, (k, slice(0, self.timesteps)), period_s)
        return None

    def learned(self) -> None:
        assert self.device
        wanted = self.case.learned[max(0, self.sample - 1), self.timesteps if self.sample else 0]
        expect(self.device.learned_image().id == wanted, f"learned after {self.sample} lessons")

    def learned_so_far(self) -> None:
        """After an error in a lesson: all that was learned is that of its first timesteps."""
        assert self.device
        try:
            self.device.attach(self.case.image)
            learned, n = self.device.learned_image().id, self.device.hello().timestep
        except SpikewrightError:
            return
        k = self.sample
        allowed = {self.case.learned.get((min(k, self.samples - 1), n))}
        if k:
            allowed.add(self.case.learned[k - 1, self.timesteps])
        expect(learned in allowed, f"learned in {n} timesteps of lesson {k}")

    def state(self) -> None:
        assert self.device
        state = self.device.read_state()
        if self.at > 0:
            wanted = self.case.results.v
            assert wanted is not None
            sample = self.sample - 1 if self.case.learned else self.sample
            is_right = (state["v"] == wanted[sample, self.at - 1]).all()
            expect(is_right, f"potentials of {sample} after {self.at}")

    def weights(self) -> None:
        assert self.device
        words = self.device.read_weights()
        expect((words["weights"] == self.case.image.weights).all(), "weights")

    def hello(self) -> None:
        assert self.device
        hello = self.device.hello()
        known = self.trusts_board and self.at >= 0
        expect(not known or hello.timestep == self.at, f"timestep {hello.timestep}")

    def counters(self) -> None:
        assert self.device
        self.device.counters()

    def record(self) -> None:
        assert self.device
        count = self.rng.randint(0, self.case.image.spec.groups)
        self.groups = None
        self.device.record(0, count)
        self.groups = count
