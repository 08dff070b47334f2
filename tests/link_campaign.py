"""Fault campaign of the link: `make link`. Every result is the golden model's or a typed error.

A host of the runtime loads, runs, learns and reads back over a line with faults. The device is the
byte-level model or the Verilated design; time is simulated, so that waiting costs nothing.
"""

import copy
import random
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
from link_faults import SIMPLE, Earlier, Fault, FaultLine, OtherDevice

from spikewright.compiler.plastic import plastic_image
from spikewright.errors import SpikewrightError
from spikewright.frames import Command, LinkSpec
from spikewright.image import CoreImage
from spikewright.learning import LearningRule
from spikewright.runtime.device import Device
from spikewright.runtime.link import Port
from spikewright.runtime.protocol import Request
from spikewright.runtime.stream import worst_timestep_cycles
from spikewright.sim import cases
from spikewright.sim.device_model import DeviceModel
from spikewright.sim.golden import GoldenModel, GoldenTarget
from spikewright.sim.line import SimulatedPort
from spikewright.sim.terminal import Line
from spikewright.spec import CoreSpec

PLAIN = CoreSpec(axons=12, neurons=8, lanes=4, delay_slots=2)
PLASTIC = CoreSpec(
    axons=8,
    neurons=8,
    lanes=4,
    plasticity="trace",
    reward=True,
    stochastic_rounding=True,
    adaptive_threshold=True,
)
OTHER = CoreSpec(axons=4, neurons=4, lanes=2)
LINK = LinkSpec(max_payload=128, window=8)
BAUD_HZ = 1_000_000
TIMESTEPS = 8
SAMPLES = 3


@dataclass(frozen=True)
class Expected:
    """An image, samples for it, and what the golden model makes of them.

    Attributes
    ----------
    learned : tuple
        Learning: image ids after sample k and timestep n of the lesson, by ``(k, n)``.
    """

    image: CoreImage
    spikes: npt.NDArray[np.bool_]
    rewards: npt.NDArray[np.int64] | None
    results: Any
    learned: dict[tuple[int, int], str] = field(default_factory=dict)


@cache
def draw_case(learns: bool, seed: int) -> Expected:
    """A random network, and what comes of it."""
    return plastic(seed) if learns else plain(seed)


def plain(seed: int, spec: CoreSpec = PLAIN) -> Expected:
    """One that does not learn."""
    case = cases.draw_case(seed, spec=spec, timesteps=TIMESTEPS, samples=SAMPLES)
    model = GoldenModel(case.image, samples=SAMPLES)
    return Expected(case.image, case.spikes, None, model.run(case.spikes, record_v=True))


def plastic(seed: int) -> Expected:
    """One in which every synapse learns."""
    rng = np.random.default_rng(seed)
    image = plastic_image(
        PLASTIC,
        rng.integers(0, 60, (8, 8)),
        rng.integers(-20, 20, (8, 8)),
        neuron_plastic=True,
        rule=LearningRule(
            pre_step=200, post_step=300, w_min=-60, w_max=90, a_pre=3600, a_post=3500,
            a_eligibility=3900, stochastic=True, seed=77, a_h=4000,
        ),
        a_mem=3700,
        v_threshold=40 << PLASTIC.fraction_bits,
        reset_to=1,
        h_step=9,
    )  # fmt: skip
    spikes = rng.random((SAMPLES, TIMESTEPS, 8)) < 0.3
    rewards = np.repeat(rng.integers(-128, 128, (SAMPLES, TIMESTEPS // 4)), 4, axis=1)
    learned = {}
    target = GoldenTarget()
    target.load(image)
    for k in range(SAMPLES):
        before = target.learned_image()
        for n in range(TIMESTEPS + 1):
            target.load(before)
            target.run(spikes[k : k + 1, :n], learn=True, rewards=rewards[k : k + 1, :n])
            learned[k, n] = target.learned_image().id
    target.load(image)
    results = target.run(spikes, learn=True, rewards=rewards)
    assert len(set(learned.values())) > 2 * TIMESTEPS
    return Expected(image, spikes, rewards, results, learned)


class WrongError(Exception):
    """A result that is not the golden model's."""


def expect(condition: object, what: str) -> None:
    if not condition:
        raise WrongError(what)


@dataclass
class Tally:
    """What came of the operations under a class of faults.

    Attributes
    ----------
    slowest_s, limit_s : float
        The longest wait for a reply, in vain or not, and what the runtime states [s on the line].
    seconds : float
        Of wall-clock time.
    """

    frames: int = 0
    faults: int = 0
    right: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    slowest_s: float = 0.0
    limit_s: float = 0.0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)


class Host:
    """Uses a device as programs do, and knows what must come of it.

    Parameters
    ----------
    port : str or Port
    case : Expected
    rng : Random
    retry_s : float
        As for :class:`Device`.
    trusts_board : bool
        Nobody else changes what the board learned.
    """

    def __init__(
        self,
        port: str | Port,
        case: Expected,
        rng: random.Random,
        *,
        retry_s: float = 0.25,
        trusts_board: bool = True,
    ) -> None:
        self.port = port
        self.retry_s = retry_s
        self.case = case
        self.rng = rng
        self.trusts_board = trusts_board
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
            *(self.hello, self.counters, self.record, self.again),
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
        self.device = Device(self.port, baud_hz=BAUD_HZ, retry_s=self.retry_s)

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
        self.sample = self.rng.randrange(SAMPLES)
        self.check_run(0, self.rng.randint(1, TIMESTEPS), record_v=self.rng.random() < 0.2)

    def go_on(self) -> None:
        if self.at in (-1, TIMESTEPS):
            return self.run()
        return self.check_run(self.at, self.rng.randint(self.at + 1, TIMESTEPS))

    def check_run(self, first: int, end: int, *, record_v: bool = False) -> None:
        assert self.device
        if self.groups is None:
            self.device.record()
            self.groups = self.case.image.spec.groups
        part = self.case.spikes[self.sample, first:end]
        clear = first == 0 and (self.at != 0 or self.rng.random() < 0.5)
        self.at = -1
        run = self.device.run(part, clear=clear, record_v=record_v)
        self.at = end
        wanted, here = self.case.results, (self.sample, slice(first, end))
        spikes = wanted.spikes[here].copy()
        spikes[:, self.groups * self.case.image.spec.lanes :] = False
        expect((run.spikes == spikes).all(), f"spikes of {here}")
        expect(run.v is None or (run.v == wanted.v[here]).all(), f"potentials of {here}")
        counted = {
            "timesteps": end - first,
            "cycles": wanted.cycles[here].sum(),
            "spikes_in": part.sum(),
            "spikes_out": wanted.spikes[here].sum(),
            "synaptic_operations": wanted.synaptic_operations[here].sum(),
            "saturations": wanted.saturations[here].sum(),
        }
        found = {name: run.counters[name] for name in counted}
        expect(found == counted, f"counters {found}, not {counted}")

    def learn(self) -> None:
        assert self.device
        assert self.case.rewards is not None
        k = self.sample
        if k == SAMPLES:
            self.is_loaded = False
            return self.load()
        self.at = -1
        if self.groups is None:
            self.device.record()
            self.groups = self.case.image.spec.groups
        run = self.device.run(self.case.spikes[k], learn=True, rewards=self.case.rewards[k])
        self.sample, self.at = k + 1, TIMESTEPS
        expect((run.spikes == self.case.results.spikes[k]).all(), f"spikes of lesson {k}")
        return None

    def learned(self) -> None:
        assert self.device
        wanted = self.case.learned[max(0, self.sample - 1), TIMESTEPS if self.sample else 0]
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
        allowed = {self.case.learned.get((min(k, SAMPLES - 1), n))}
        if k:
            allowed.add(self.case.learned[k - 1, TIMESTEPS])
        expect(learned in allowed, f"learned in {n} timesteps of lesson {k}")

    def state(self) -> None:
        assert self.device
        state = self.device.read_state()
        if self.at > 0 and not self.case.learned:
            wanted = self.case.results.v[self.sample, self.at - 1]
            expect((state["v"] == wanted).all(), f"potentials after {self.at}")

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


def attempt(host: Host, tally: Tally) -> None:
    """One operation, and what came of it."""
    operation = host.step()
    try:
        operation()
        tally.right += 1
    except SpikewrightError as error:
        tally.errors[type(error).__name__] += 1
        try:
            host.failed(error)
        except WrongError as wrong:
            found_wrong(tally, operation.__name__, wrong)
    except Exception as error:
        found_wrong(tally, operation.__name__, error)
        host.is_loaded = False
        host.close()
    if host.device is not None:
        session = host.device.session
        cycles = TIMESTEPS * worst_timestep_cycles(host.case.image)
        tally.limit_s = session.limit_s(Request(Command.COUNTERS, cycles=cycles))
        tally.slowest_s = max(tally.slowest_s, session.slowest_s)
        if session.slowest_s > tally.limit_s:
            found_wrong(tally, operation.__name__, f"took {session.slowest_s} s")
            host.close()


def found_wrong(tally: Tally, operation: str, why: object) -> None:
    tally.wrong += 1
    if len(tally.failures) < 5:
        tally.failures.append(f"{operation}: {type(why).__name__} {why}")


CLASSES = (*SIMPLE, "replies of an earlier session", "another device")
EPISODE_FRAMES = 3000
FOREIGN = ("two hosts", "another device")
"""Classes in which somebody else may change what a board learned."""


@cache
def loaded(learns: bool, seed: int) -> DeviceModel:
    """A device that holds an image."""
    image = draw_case(learns, seed).image
    model = DeviceModel(image.spec, LINK)
    with Device(SimulatedPort(model, BAUD_HZ)) as device:
        device.load(image)
    return model


def draw_fault(
    name: str, rng: random.Random, past: deque[tuple[str, bytes]], learns: bool = False
) -> Fault:
    """A fault of a class; ``past`` is what earlier sessions left."""

    def other() -> Line:
        which = rng.randrange(4)
        if which < 2:
            return copy.deepcopy(loaded(learns, which))
        return DeviceModel(OTHER if which == 3 else draw_case(learns, 0).image.spec, LINK)

    if name == "another device":
        return OtherDevice(rng, 0.01, other)
    if name == "replies of an earlier session":
        return Earlier(rng, 0.05, past)
    return SIMPLE[name](rng)


def batch(name: str, seed: int, frames: int) -> Tally:
    """Operations under a class of faults, until so many frames went over lines to a model."""
    rng = random.Random(f"{name} {seed}")
    past: deque[tuple[str, bytes]] = deque(maxlen=3000)
    tally, learns = Tally(), False
    started = time.monotonic()
    with patch("spikewright.runtime.session.secrets.randbelow", rng.randrange):
        while tally.frames < frames:
            learns = not learns
            case = draw_case(learns, 0)
            fault = draw_fault(name, rng, past, learns)
            line = FaultLine(DeviceModel(case.image.spec, LINK), fault)
            host = Host(SimulatedPort(line, BAUD_HZ), case, rng, trusts_board=name not in FOREIGN)
            enough = min(EPISODE_FRAMES, frames - tally.frames)
            while line.frames < enough:
                attempt(host, tally)
            tally.frames += line.frames
            tally.faults += fault.count
    tally.seconds = round(time.monotonic() - started, 1)
    return tally
