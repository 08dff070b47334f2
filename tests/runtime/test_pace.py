"""Paced runs: the results of runs on demand, and every tick that was missed is told."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
from link_cases import plastic

from spikewright.errors import BoardError, SpikewrightError
from spikewright.frames import Command, LinkSpec, Status, worst_timestep_bytes
from spikewright.image import CoreImage
from spikewright.runtime.board import SerialTarget
from spikewright.runtime.device import Device
from spikewright.runtime.link import decode_frame
from spikewright.runtime.pace import Pace, check_period
from spikewright.runtime.protocol import Hello, Request
from spikewright.sim.cases import draw_case
from spikewright.sim.device_model import DeviceModel
from spikewright.sim.golden import GoldenModel
from spikewright.sim.line import BridgedPort, SimulatedPort
from spikewright.sim.timeline import TimelineClock
from spikewright.spec import CoreSpec, Region
from spikewright.target import RealTimeTarget, able_to_pace, open_target

SPEC = CoreSpec(axons=40, neurons=64, lanes=8, delay_slots=2, weight_words=120)
CLOCK_HZ = 4_000_000
LINK = LinkSpec(clock_hz=CLOCK_HZ, max_payload=128)
SLOW = LinkSpec(clock_hz=1_000_000, baud_hz=250_000, max_payload=128)
PERIOD = 100  # cycles of its shortest period

Bools = npt.NDArray[np.bool_]


class Logged(DeviceModel):
    """Keeps which commands it executed, with the sizes of RUNs; may work or wait on its own."""

    def __init__(self, link: LinkSpec = LINK, *, room: int = 1 << 16) -> None:
        super().__init__(SPEC, link, room=room)
        self.log: list[tuple[Command, int]] = []
        self.before: Callable[[], None] = lambda: None

    def _do(self, code: int, payload: bytes) -> tuple[Status, bytes]:
        self.before()
        count = int.from_bytes(payload[4:6], "little") if code == Command.RUN else 0
        self.log.append((Command(code), count))
        return super()._do(code, payload)


def a_case(seed: int = 4, timesteps: int = 60) -> tuple[CoreImage, Bools]:
    case = draw_case(seed, spec=SPEC, timesteps=timesteps)
    return case.image, case.spikes[0]


def bridged(model: DeviceModel, latency_s: float = 1e-3, baud_hz: int = 1_000_000) -> BridgedPort:
    clock = TimelineClock(model.timeline, CLOCK_HZ)
    return BridgedPort(model, baud_hz, latency_s=latency_s, clock=clock)


def hello(window: int = 8, clock_hz: int = CLOCK_HZ) -> Hello:
    return Hello(window, 512, "", "", None, 0, 0, clock_hz)


def test_a_period_in_cycles() -> None:
    assert Pace.of(1e-3, hello()) == Pace(4000, 6)
    assert Pace.of(1e-4, hello(window=2, clock_hz=96_000_000)) == Pace(9600, 250)
    assert Pace.of(1e-2, hello()) == Pace(40_000, 1)
    assert Pace.of(1.234e-3, hello(clock_hz=24_000_000)).period == 29_616
    with pytest.raises(SpikewrightError, match=r"Hz, not 100\.01 us, which are 2400\.24\."):
        Pace.of(1.0001e-4, hello(clock_hz=24_000_000))
    with pytest.raises(SpikewrightError, match=r"which are 2400\.00024\."):
        Pace.of(1.0000001e-4, hello(clock_hz=24_000_000))
    with pytest.raises(SpikewrightError, match=r"The nearest is 333\.291666667 us\."):
        Pace.of(3.333e-4, hello(clock_hz=24_000_000))
    assert Pace.of(333.291666667e-6, hello(clock_hz=24_000_000)).period == 7999


@pytest.mark.parametrize(
    "wrong",
    [9.9e-5, 0.010000000000000002, 0, -1.0, float("nan"), float("inf"), "1ms", None, [1e-3]],
)
def test_what_is_no_period(wrong: Any) -> None:
    with pytest.raises(SpikewrightError) as caught:
        check_period(wrong)
    assert caught.value.what.startswith("The period must be in [100 us, 10000 us], not ")
    assert repr(wrong) in caught.value.what


def test_results_are_those_on_demand_and_the_pace_ends_with_the_run() -> None:
    image, spikes = a_case()
    model = Logged()
    with Device(SimulatedPort(model)) as device:
        device.load(image)
        plain = device.run(spikes)
        model.log.clear()
        paced = device.run(spikes, period_s=1e-3)
        commands = [command for command, _ in model.log]
        sizes = [count for command, count in model.log if command is Command.RUN]
        again = device.run(spikes)
        device.record(0, 0)
        device.run(spikes)
        model.log.clear()
        device.run(spikes, period_s=1e-3)
        of_few = [count for command, count in model.log if command is Command.RUN]
    assert commands[:3] == [Command.CLEAR, Command.PACE, Command.COUNTERS]
    assert commands[-1] is Command.PACE
    assert commands.count(Command.PACE) == 2
    assert 1 < max(sizes) <= 6
    assert max(of_few) == 6  # of 1 ms each: 50 ms are under way in 8 requests
    assert sum(sizes) == len(spikes)
    assert model.timeline.period == 0
    assert (paced.spikes == plain.spikes).all()
    assert paced.counters == plain.counters == again.counters
    assert paced.counters["overruns"] == 0


def test_a_period_shorter_than_timesteps() -> None:
    """The count is what the golden model's cycles give, exactly."""
    image, spikes = a_case(timesteps=200)
    cycles = GoldenModel(image).run(spikes[None]).cycles[0]
    missed = int((np.maximum(1, -(-cycles // PERIOD)) - 1)[:-1].sum())
    assert 10 < missed < 1000
    model = Logged(SLOW)
    target = SerialTarget(SimulatedPort(model))
    target.load(image)
    result = target.run(np.stack([spikes, spikes]), period_s=1e-4)
    plain = target.run(spikes[None])
    target.close()
    assert (result.spikes == plain.spikes).all()
    assert result.overruns is not None
    assert result.overruns.tolist() == [missed, missed]
    assert plain.overruns is None
    wanted = 2 * (len(spikes) - 1 + missed) * PERIOD + 2 * cycles[-1] + cycles.sum()
    assert model.timeline.time == wanted


def test_a_host_that_is_late() -> None:
    """It thinks for 2.5 ms before each third request: so many ticks, and the same results."""
    image, spikes = a_case()
    late = iter(range(10_000))

    def think() -> None:
        if next(late) % 3 == 2:
            model.timeline.time += CLOCK_HZ // 400

    model = Logged()
    with Device(SimulatedPort(model)) as device:
        device.load(image)
        plain = device.run(spikes)
        model.log.clear()
        model.before = think
        paced = device.run(spikes, period_s=1e-3)
    assert (paced.spikes == plain.spikes).all()
    runs = [n for n, (_, count) in enumerate(model.log) if count]
    pauses = sum(n % 3 == 2 for n in runs[1:])
    assert pauses > 2
    assert paced.counters["overruns"] == 2 * pauses


def test_spikes_out_without_room() -> None:
    image, spikes = a_case(timesteps=120)
    spikes = np.ones_like(spikes)
    model = Logged(room=worst_timestep_bytes(SPEC) + 8)
    with Device(bridged(model, latency_s=0.016)) as device:
        device.load(image)
        paced = device.run(spikes, period_s=1e-3)
    golden = GoldenModel(image).run(spikes[None])
    assert (paced.spikes == golden.spikes[0]).all()
    counts = [count for command, count in model.log if command is Command.RUN]
    assert sum(counts) > len(spikes)  # some were asked for again
    assert paced.counters["overruns"] > 0


@pytest.mark.parametrize("latency_s", [0.001, 0.016])
def test_live_spikes_come_soon(latency_s: float) -> None:
    """In time on a line with a bridge, no tick is missed and no spike waits long."""
    image, spikes = a_case(timesteps=300)
    model = Logged()
    port = bridged(model, latency_s)
    came: list[tuple[int, float]] = []
    found: list[Bools] = []
    with Device(port) as device:
        device.load(image)
        plain = device.run(spikes)
        for part in device.live(spikes, period_s=1e-3):
            assert part.timestep == sum(map(len, found))
            found.append(part.spikes)
            came.append((part.timestep + len(part.spikes), port.now()))
            with pytest.raises(BoardError, match="is running: nothing can be"):
                device.counters()
        assert device.counters()["overruns"] == 0
        assert (device.run(spikes).spikes == plain.spikes).all()
    assert (np.concatenate(found) == plain.spikes).all()
    assert len(found) >= 300 / 6 - 8
    # All but the slack of the line is that of a request, six timesteps, and of the bridge.
    delays = [at - 1e-3 * timesteps for timesteps, at in came]
    assert max(delays) - min(delays) < 6e-3 + latency_s + 3e-3


def test_a_run_that_is_left_early_must_be_cleared() -> None:
    image, spikes = a_case()
    model = Logged()
    with Device(SimulatedPort(model)) as device:
        device.load(image)
        for part in device.live(spikes, period_s=1e-3):
            assert len(part.spikes)
            break
        with pytest.raises(BoardError, match="was interrupted"):
            device.run(spikes, clear=False)
        plain = device.run(spikes)
        assert model.timeline.period == 0
    assert (plain.spikes == GoldenModel(image).run(spikes[None]).spikes[0]).all()


def test_live_runs_do_not_mix() -> None:
    """Of two that were prepared the second has to wait, and goes by what the board then holds."""
    (first, spikes), (second, _) = a_case(), a_case(seed=5)
    with Device(SimulatedPort(Logged())) as device:
        device.load(first)
        one, other = device.live(spikes), device.live(spikes)
        parts = [next(one)]
        with pytest.raises(BoardError, match="is running: nothing can be"):
            next(other)
        parts += one
        late = device.live(spikes)
        device.load(second)
        after = list(late)
    for image, found in ((first, parts), (second, after)):
        golden = GoldenModel(image).run(spikes[None]).spikes[0]
        assert (np.concatenate([part.spikes for part in found]) == golden).all()


def test_learning_in_real_time() -> None:
    """Weights and spikes are those learned on demand; each reward has requests of its own."""
    lesson = plastic(1)
    images, results = [], []
    for period_s in (None, 1e-4):
        model = DeviceModel(lesson.image.spec, LinkSpec(clock_hz=320_000, baud_hz=80_000))
        target = SerialTarget(SimulatedPort(model))
        target.load(lesson.image)
        results.append(
            target.run(lesson.spikes, learn=True, rewards=lesson.rewards, period_s=period_s)
        )
        images.append(target.learned_image().id)
        target.close()
    assert images[0] == images[1] == lesson.learned[len(lesson.spikes) - 1, lesson.spikes.shape[1]]
    assert (results[1].spikes == lesson.results.spikes).all()
    cycles = lesson.results.cycles[:, :-1]
    missed = (np.maximum(1, -(-cycles // 32)) - 1).sum(axis=1)
    assert missed.any()
    assert results[1].overruns is not None
    assert results[1].overruns.tolist() == missed.tolist()


def test_going_on_begins_a_timeline() -> None:
    image, spikes = a_case()
    model = Logged()
    with Device(bridged(model)) as device:
        device.load(image)
        first = device.run(spikes[:25], period_s=1e-3)
        model.timeline.time += CLOCK_HZ
        second = device.run(spikes[25:], clear=False, period_s=1e-3)
    golden = GoldenModel(image).run(spikes[None]).spikes[0]
    assert (np.concatenate([first.spikes, second.spikes]) == golden).all()
    assert first.counters["overruns"] == second.counters["overruns"] == 0


def test_who_opens_a_session_inherits_no_pace() -> None:
    model = DeviceModel(SPEC, LINK)
    for _ in range(2):
        with Device(SimulatedPort(model)) as device:
            assert model.timeline.period == 0
            device.session.request(Request(Command.PACE, period=PERIOD))
            assert model.timeline.period == PERIOD
    with Device(SimulatedPort(model)) as device:
        for period in (1, 31, 1 << LINK.period_bits):
            with pytest.raises(BoardError, match="its timer cannot count that period"):
                device.session.request(Request(Command.PACE, period=period))


@pytest.mark.parametrize("neurons", [[3], [63, 0], [5, 6, 9], [0, 31, 32, 60], list(range(64))])
def test_membranes_of_chosen_neurons(neurons: list[int]) -> None:
    """Only they are read, and neighbours with them."""
    image, spikes = a_case(timesteps=12)
    golden = GoldenModel(image).run(spikes[None], record_v=True)
    assert golden.v is not None
    model = DeviceModel(SPEC, LINK)
    sent = bytearray()

    class Tapped(SimulatedPort):
        def read(self, wait_s: float) -> bytes:
            data = super().read(wait_s)
            sent.extend(data)
            return data

    with Device(Tapped(model)) as device:
        device.load(image)
        every = device.run(spikes, record_v=True)
        for period_s in (None, 1e-3):
            sent.clear()
            run = device.run(spikes, record_v=neurons, period_s=period_s)
            assert run.v is not None
            assert (run.v == golden.v[0][:, neurons]).all()
            bodies = [decode_frame(frame) or b"" for frame in bytes(sent).split(b"\0")]
            read = sum(len(body) - 6 for body in bodies if body[4:5] == bytes([Command.READ]))
            size = SPEC.memories[Region.STATE].layout.size
            assert read <= len(spikes) * size * (max(neurons) - min(neurons) + 1)
            assert len(neurons) > 1 or read == len(spikes) * size
            came = device.live(spikes, record_v=neurons, period_s=period_s)
            v = [part.v.copy() for part in came if part.v is not None]  # as they are by then
            assert (np.concatenate(v) == run.v).all()
        for wrong in ([], [-1], [64], [1.5], [True], [1 << 70], [[0]], "ab", 5):
            with pytest.raises(SpikewrightError, match="must be of neurons 0 to 63, not"):
                device.run(spikes, record_v=cast(Any, wrong))
    assert every.v is not None
    assert (every.v == golden.v[0]).all()


def test_targets_without_a_timer_say_so() -> None:
    for name in ("golden", "verilator"):
        with pytest.raises(SpikewrightError, match=f"Target '{name}' runs timesteps as fast as"):
            able_to_pace(open_target(name))
    target = SerialTarget(SimulatedPort(DeviceModel(SPEC, LINK)))
    assert isinstance(target, RealTimeTarget)
    assert able_to_pace(target).clock_hz == CLOCK_HZ
