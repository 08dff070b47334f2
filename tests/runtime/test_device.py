import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from faulty import FaultyLine, Rates

from spikewright.errors import BoardError, LinkError, SpecError, SpikewrightError
from spikewright.frames import Command, LinkSpec
from spikewright.image import CoreImage
from spikewright.runtime import stream
from spikewright.runtime.board import SerialTarget
from spikewright.runtime.device import Device, DeviceRun
from spikewright.runtime.link import decode_frame, encode_frame
from spikewright.runtime.protocol import Reply, Request
from spikewright.sim.cases import Case, draw_case
from spikewright.sim.device_model import Answer, DeviceModel
from spikewright.sim.golden import GoldenModel, GoldenTarget
from spikewright.sim.line import SimulatedPort
from spikewright.sim.terminal import Line, Terminal
from spikewright.spec import CoreSpec, Region

Bools = npt.NDArray[np.bool_]

SPEC = CoreSpec(axons=40, neurons=64, lanes=8, delay_slots=2)
BAUD = 4_000_000
LINKS = [LinkSpec(max_payload=64, window=2), LinkSpec(max_payload=128), LinkSpec()]


@contextmanager
def connect(line: Line, retry_s: float = 0.05) -> Iterator[Device]:
    with Terminal(line) as port, Device(port.path, baud_hz=BAUD, retry_s=retry_s) as device:
        yield device


def assert_golden(run: DeviceRun, image: CoreImage, spikes: Bools) -> None:
    """Spikes, potentials and all counters, of a run from a cleared state."""
    wanted = GoldenModel(image).run(spikes[None], record_v=run.v is not None)
    assert (run.spikes == wanted.spikes[0]).all()
    if run.v is not None and wanted.v is not None:
        assert (run.v == wanted.v[0]).all()
    assert run.counters | {"link_errors": 0} == {
        "timesteps": len(spikes),
        "cycles": wanted.cycles.sum(),
        "spikes_in": spikes.sum(),
        "spikes_out": wanted.spikes.sum(),
        "synaptic_operations": wanted.synaptic_operations.sum(),
        "saturations": wanted.saturations.sum(),
        "link_errors": 0,
        "overruns": 0,
    }


def busy_case(seed: int = 4, **recipe: int) -> Case:
    return draw_case(seed, spec=SPEC, **recipe)


@pytest.mark.parametrize("link", LINKS, ids=str)
@pytest.mark.parametrize("seed", range(8))
def test_results_are_those_of_the_golden_model(seed: int, link: LinkSpec) -> None:
    case = draw_case(seed, spec=SPEC if seed % 2 else None, timesteps=40, samples=2)
    if max(m.layout.size for m in case.image.spec.memories.values()) + 5 > link.max_payload:
        pytest.skip("records of this spec do not fit the frames")
    model = DeviceModel(case.image.spec, link)
    with connect(model, retry_s=10.0) as device:
        device.load(case.image)
        for record_v, spikes in zip((False, True), case.spikes, strict=True):
            assert_golden(device.run(spikes, record_v=record_v), case.image, spikes)
        assert device.counters() == model.counters
        assert device.session.retransmissions == 0


def test_state_is_read_back_and_runs_go_on() -> None:
    case = busy_case(7, timesteps=20)
    golden = GoldenModel(case.image)
    with connect(DeviceModel(SPEC)) as device:
        device.load(case.image)
        for part in np.split(case.spikes[0], [7, 7, 12]):
            run = device.run(part, clear=False)
            assert (run.spikes == golden.run(part[None]).spikes[0]).all()
            state = device.read_state()
            for name, values in state.items():
                assert (values == getattr(golden, name)[0]).all()
            assert (device.read_accumulators() == golden.acc[0]).all()
        assert device.hello().timestep == 20
        device.clear()
        assert device.hello().timestep == 0
        assert not any(values.any() for values in device.read_state().values())


@pytest.mark.parametrize("sparse", [False, True])
def test_words_are_read_back_as_an_image_has_them(sparse: bool) -> None:
    spec = replace(SPEC, sparse=sparse)
    image = draw_case(7, spec=spec, timesteps=2).image
    with connect(DeviceModel(spec)) as device:
        device.load(image)
        words: dict[str, Any] = dict(device.read_weights())
    assert ("word_group" in words) == sparse
    assert replace(image, **words).id == image.id
    assert image.weights.any()
    if sparse:
        assert image.word_group is not None
        assert len(set(image.word_group)) > 1


@pytest.mark.parametrize("other", ["nothing", "a run", "another image", "a reset"])
@pytest.mark.parametrize("clear", [False, True])
def test_another_host_in_between_is_an_error_until_the_next_load(other: str, clear: bool) -> None:
    case, model = busy_case(7, timesteps=20), DeviceModel(SPEC)
    with Device(SimulatedPort(model)) as device, Device(SimulatedPort(model)) as second:
        device.load(case.image)
        device.run(case.spikes[0])
        if other == "a reset":
            vars(model).update(vars(DeviceModel(SPEC)))
        elif other == "another image":
            second.load(storm(SPEC))
        else:
            second.attach(case.image)
            second.record(0, 1)
            second.run(case.spikes[0][: 20 if other == "a run" else 0])
        if clear:
            with pytest.raises(LinkError) as left:
                device.run(case.spikes[0])
            assert left.value.what == (
                "The device on simulated left this session: another host opened one, or it was "
                "reset."
            )
        for _ in range(2):
            with pytest.raises(BoardError) as caught:
                device.run(case.spikes[0], clear=clear)
            assert caught.value.what == (
                "The board on simulated was used by another host, or reset."
            )
        with pytest.raises(BoardError, match="used by another host"):
            device.read_state()
        device.load(case.image)
        assert_golden(device.run(case.spikes[0]), case.image, case.spikes[0])


def test_who_says_hello_goes_on_with_its_run() -> None:
    case, golden = busy_case(7, timesteps=20), GoldenModel(busy_case(7, timesteps=20).image)
    with Device(SimulatedPort(DeviceModel(SPEC))) as device:
        device.load(case.image)
        for part in np.split(case.spikes[0], [7, 12]):
            device.hello()
            run = device.run(part, clear=False)
            assert (run.spikes == golden.run(part[None]).spikes[0]).all()


class StopError(Exception):
    """A host that is interrupted."""


def interrupt(device: Device, spikes: Bools, after: int) -> None:
    """Run until so many replies were taken in, then leave."""
    taken = 0
    exchange = device.session.exchange

    def cut(requests: Iterable[Request]) -> Iterator[tuple[Request, Reply]]:
        nonlocal taken
        for answered in exchange(requests):
            taken += 1
            if taken > after:
                raise StopError
            yield answered

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device.session, "exchange", cut)
        with pytest.raises(StopError):
            device.run(spikes)


@pytest.mark.parametrize("restart", ["run", "clear", "load"])
@pytest.mark.parametrize("after", [0, 1, 2, 3, 7])
def test_a_run_that_was_interrupted_is_not_gone_on_from(after: int, restart: str) -> None:
    image = storm(CoreSpec(axons=200, neurons=512, lanes=8))
    spikes = np.ones((10, 200), np.bool_)
    message = (
        "The last run on {} was interrupted: parts of it may still be in the board.\n"
        "Run with clear=True, or call clear() first."
    )
    with connect(DeviceModel(image.spec, LinkSpec(max_payload=64))) as device:
        device.load(image)
        interrupt(device, spikes, after)
        for _ in range(2):
            with pytest.raises(BoardError) as caught:
                device.run(spikes, clear=False)
            assert str(caught.value) == message.format(device.link.port)
        if restart == "clear":
            device.clear()
        elif restart == "load":
            device.load(image)
        run = device.run(spikes, clear=restart == "run")
        assert_golden(run, image, spikes)
        assert device.run(spikes, clear=False).spikes.shape == (10, 512)


def test_timesteps_count_modulo_two_to_the_32() -> None:
    case = busy_case(7, timesteps=20)
    golden, model = GoldenModel(case.image), DeviceModel(SPEC)
    with connect(model) as device:
        device.load(case.image)
        assert model.core is not None
        model.core.timestep = golden.timestep = 2**32 - 6
        for part in np.split(case.spikes[0], [4, 11]):
            run = device.run(part, clear=False)
            assert (run.spikes == golden.run(part[None]).spikes[0]).all()
        assert device.hello().timestep == 14


@pytest.mark.parametrize("max_payload", [64, 256])
def test_a_timestep_larger_than_a_frame(max_payload: int) -> None:
    spec = CoreSpec(axons=900, neurons=600, lanes=2, weight_words=2000)
    case = draw_case(11, spec=spec, timesteps=6)
    spikes = np.ones((6, 900), np.bool_)
    spikes[2] = False
    spikes[4, 5:890] = False
    with connect(DeviceModel(spec, LinkSpec(max_payload=max_payload))) as device:
        device.load(case.image, verify=False)
        assert_golden(device.run(spikes), case.image, spikes)


def storm(spec: CoreSpec) -> CoreImage:
    """Every neuron spikes in every timestep."""
    n, sources = spec.neurons, spec.sources
    zeros, nothing = np.zeros(n, int), np.zeros(sources, int)
    return CoreImage(
        spec=spec,
        weights=np.zeros((0, spec.lanes), int),
        delays=np.zeros((0, spec.lanes), int),
        first_word=nothing,
        word_count=nothing,
        first_group=nothing,
        level_groups=np.array([spec.groups]),
        a_mem=zeros,
        a_syn=zeros,
        bias=zeros + 1,
        v_threshold=zeros,
        reset=zeros,
        reset_to=zeros + 1,
        refractory=zeros,
    )


@pytest.mark.parametrize("room", [0, 5000])
def test_a_device_without_room_pauses_and_loses_nothing(room: int) -> None:
    class Counted(DeviceModel):
        statuses: list[int] = []

        def _do(self, code: int, payload: bytes) -> Answer:
            answer = super()._do(code, payload)
            self.statuses.append(answer[0])
            return answer

    image = storm(CoreSpec(axons=1, neurons=1024, lanes=8))
    spikes = np.zeros((50, 1), np.bool_)
    model = Counted(image.spec, room=room)
    with Device(SimulatedPort(model, BAUD), baud_hz=BAUD) as device:
        device.load(image)
        run = device.run(spikes)
        assert run.spikes.all()
        assert_golden(run, image, spikes)
        assert_golden(device.run(spikes[:3], record_v=True), image, spikes[:3])
    assert {7, 8} <= set(model.statuses)  # BAD_TIMESTEP follows PAUSED in the window


def test_a_pause_in_the_middle_of_a_timestep_larger_than_a_frame() -> None:
    image = storm(CoreSpec(axons=200, neurons=512, lanes=8))
    spikes = np.ones((10, 200), np.bool_)
    with connect(DeviceModel(image.spec, LinkSpec(max_payload=64))) as device:
        device.load(image)
        assert_golden(device.run(spikes), image, spikes)


@pytest.mark.parametrize(("grows", "are_two"), [(1 << 31, True), (1, False)])
def test_counters_are_read_before_they_wrap(
    grows: int, are_two: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once before and once after a run, unless it is so long that they could wrap."""
    monkeypatch.setattr(stream, "_COUNTED", grows)
    case = busy_case(7, timesteps=300)
    model = DeviceModel(SPEC, LinkSpec(max_payload=64), room=1 << 16)
    line = FaultyLine(model, Rates(), seed=0)
    with Device(SimulatedPort(line)) as device:
        device.load(case.image)
        for name in model.counters:
            model.counters[name] = (1 << 32) - 5
        before = len(line.requests)
        assert_golden(device.run(case.spikes[0]), case.image, case.spikes[0])
    bodies = [decode_frame(frame) for frame in line.requests[before:]]
    commands = [body[4] for body in bodies if body]
    assert commands.count(Command.RUN) > 20
    assert (commands.count(Command.COUNTERS) == 2) == are_two
    assert commands.count(Command.COUNTERS) <= commands.count(Command.RUN) + 2


def test_recorded_groups() -> None:
    image = storm(SPEC)
    spikes = np.zeros((3, SPEC.axons), np.bool_)
    with connect(DeviceModel(SPEC)) as device:
        device.load(image)
        device.record(2, 3)
        run = device.run(spikes)
        assert run.spikes[:, 16:40].all()
        assert run.spikes.sum() == 3 * 24
        assert run.counters["spikes_out"] == 3 * 64
        device.record()
        assert device.run(spikes).spikes.all()
        with pytest.raises(BoardError, match="refused RECORD: the records are out of its range"):
            device.session.request(Request(Command.RECORD, first_group=7, group_count=2))


def test_who_attaches_gets_the_spikes_of_all_groups() -> None:
    image, spikes = storm(SPEC), np.zeros((3, SPEC.axons), np.bool_)
    with Terminal(DeviceModel(SPEC)) as port:
        with Device(port.path, baud_hz=BAUD) as device:
            device.load(image)
            device.record(2, 3)
        with Device(port.path, baud_hz=BAUD) as device:
            device.attach(image)
            assert device.run(spikes).spikes.all()


@pytest.mark.parametrize(
    ("first", "count", "said"),
    [(7, 2, "2 from 7"), (-1, 2, "2 from -1"), (2, -1, "-1 from 2"), (9, None, "-1 from 9")],
)
def test_recorded_groups_that_are_none(first: int, count: int | None, said: str) -> None:
    spikes = np.zeros((1, SPEC.axons), np.bool_)
    with connect(DeviceModel(SPEC)) as device:
        device.load(storm(SPEC))
        with pytest.raises(SpikewrightError) as error:
            device.record(first, count)
        assert error.value.what == f"Recorded groups must be among the spec's 8, not {said} on."
        assert "groups of 8 neurons" in error.value.hint
        device.record(8)
        assert not device.run(spikes).spikes.any()


def test_only_some_axons_and_no_timesteps() -> None:
    case = busy_case(timesteps=10)
    few = case.spikes[0][:, :10]
    with connect(DeviceModel(SPEC)) as device:
        device.load(case.image)
        assert_golden(device.run(few), case.image, few)
        assert device.run(few[:0], clear=False).spikes.shape == (0, SPEC.neurons)
        assert device.hello().timestep == 10
        assert any(values.any() for values in device.read_state().values())
        assert device.run(few[:0]).spikes.shape == (0, SPEC.neurons)
        assert device.hello().timestep == 0
        assert not any(values.any() for values in device.read_state().values())


@pytest.mark.parametrize("seed", range(3))
def test_faults_on_the_line_change_nothing(seed: int) -> None:
    case = busy_case(seed, timesteps=30, samples=2)
    line = FaultyLine(DeviceModel(SPEC, LinkSpec(max_payload=128)), Rates.all(0.02), seed)
    with connect(line) as device:
        device.load(case.image)
        for record_v, spikes in zip((False, True), case.spikes, strict=True):
            assert_golden(device.run(spikes, record_v=record_v), case.image, spikes)
    assert line.faults > 30


def test_another_spec_is_refused_and_nothing_sent() -> None:
    line = FaultyLine(DeviceModel(SPEC), Rates(), seed=0)
    other = storm(CoreSpec(axons=8, neurons=8))
    with connect(line) as device:
        with pytest.raises(SpecError) as caught:
            device.load(other)
        assert caught.value.what == (
            f"The image is for spec {other.spec.hash[:16]}, the board on {device.link.port} has "
            f"spec {SPEC.hash[:16]}; nothing was sent."
        )
    bodies = [decode_frame(frame) for frame in line.requests]
    assert {body[4] for body in bodies if body} == {Command.HELLO}


def test_a_spec_that_the_frames_cannot_carry() -> None:
    image = storm(CoreSpec(axons=1, neurons=32, lanes=32, weight_bits=16))
    with connect(DeviceModel(image.spec, LinkSpec(max_payload=64))) as device:
        message = "The board's frames carry 64 bytes, a record of this spec needs 69."
        with pytest.raises(BoardError, match=re.escape(message)):
            device.load(image)


@pytest.mark.parametrize("cut", [1, 2, 5, 9, 40])
def test_a_load_cut_short_leaves_no_valid_image(cut: int) -> None:
    def stop(done: int, total: int) -> None:
        writes.append(done)
        if len(writes) == cut:
            raise StopError

    writes: list[int] = []
    case = busy_case(timesteps=5)
    with connect(DeviceModel(SPEC, LinkSpec(max_payload=64, window=4))) as device:
        device.load(storm(SPEC))
        assert device.hello().image_id == storm(SPEC).id[:16]
        with pytest.raises(StopError):
            device.load(case.image, progress=stop)
        assert device.hello().image_id is None
        with pytest.raises(BoardError, match="No image was loaded to the board"):
            device.run(case.spikes[0])
        with pytest.raises(BoardError, match="refused RUN: it holds no valid image"):
            device.session.request(Request(Command.RUN, timestep=0, count=1))
        device.load(case.image)
        assert_golden(device.run(case.spikes[0]), case.image, case.spikes[0])


def test_weights_that_read_back_wrong() -> None:
    class Forgetful(DeviceModel):
        def _read(self, region: int, index: int, count: int) -> Answer:
            status, data = super()._read(region, index, count)
            return status, data[:-1] + bytes([data[-1] ^ 1])

    case = busy_case()
    words = len(case.image.weights)
    with connect(Forgetful(SPEC)) as device:
        device.load(case.image, verify=False)
        assert device.hello().image_id == case.image.id[:16]
        with pytest.raises(
            BoardError, match=f"of {words} weight words read back wrong, first word"
        ):
            device.load(case.image)
        assert device.hello().image_id is None
        with pytest.raises(BoardError, match="No image was loaded to the board"):
            device.run(case.spikes[0])


def test_a_verification_that_is_interrupted_leaves_nothing_to_run() -> None:
    case = busy_case()
    written = sum(records.size for records in case.image.records.values())

    def stop(done: int, total: int) -> None:
        if done > written:
            raise StopError

    with connect(DeviceModel(SPEC)) as device:
        with pytest.raises(StopError):
            device.load(case.image, progress=stop)
        with pytest.raises(BoardError, match="No image was loaded to the board"):
            device.run(case.spikes[0])


def test_progress_of_a_load() -> None:
    case = busy_case()
    seen: list[tuple[int, int]] = []
    with connect(DeviceModel(SPEC)) as device:
        device.load(case.image, progress=lambda *state: seen.append(state))
    total = sum(records.size for records in case.image.records.values())
    total += case.image.records[Region.WEIGHTS].size
    assert seen[-1] == (total, total)
    assert seen == sorted(set(seen))


class Liar:
    """Answers truthfully until told, then with whole frames of random content."""

    is_active = False

    def __init__(self, seed: int) -> None:
        self.device = DeviceModel(SPEC)
        self.rng = np.random.default_rng(seed)
        self.lies = False

    def exchange(self, data: bytes) -> bytes:
        replies = self.device.exchange(data)
        if not self.lies:
            return replies
        return b"".join(
            encode_frame(self.lie(decode_frame(frame) or b"")) for frame in replies.split(b"\0")
        )

    def lie(self, body: bytes) -> bytes:
        header, payload = body[:5], bytearray(body[5:])
        for _ in range(int(self.rng.integers(3))):
            if payload:
                payload[int(self.rng.integers(len(payload)))] = int(self.rng.integers(256))
        return header + bytes(payload) + self.rng.bytes(int(self.rng.choice([0, 0, 0, 1, 7])))


def test_a_device_that_lies_gives_typed_errors_only() -> None:
    case = busy_case(timesteps=20)
    seen = set()
    for seed in range(25):
        line = Liar(seed)
        with Terminal(line) as port, Device(port.path, baud_hz=BAUD, retry_s=0.002) as device:
            device.load(case.image)
            line.lies = True
            try:
                device.run(case.spikes[0], record_v=seed % 2 == 0)
                device.read_state()
            except (LinkError, BoardError) as error:
                seen.add(type(error))
    assert seen == {LinkError, BoardError}


# The target


def test_target_is_the_golden_target() -> None:
    case = busy_case(5, timesteps=12, samples=3)
    golden = GoldenTarget()
    golden.load(case.image)
    wanted = golden.run(case.spikes, record_v=True)
    finished: list[int] = []
    with Terminal(DeviceModel(SPEC)) as port:
        target = SerialTarget(f"{port.path}@{BAUD}")
        assert target.device.link.baud_hz == BAUD
        target.load(case.image)
        result = target.run(case.spikes, record_v=True, progress=finished.append)
        target.close()
        target.close()
    assert (result.spikes == wanted.spikes).all()
    assert result.v is not None
    assert wanted.v is not None
    assert (result.v == wanted.v).all()
    assert (result.total_cycles == wanted.total_cycles).all()
    assert result.cycles is None
    assert finished == [1, 1, 1]


def test_target_names() -> None:
    with pytest.raises(LinkError, match="There is no port /dev/ttyNothing7"):
        SerialTarget("/dev/ttyNothing7@115200")
    with pytest.raises(
        LinkError, match=r"baud rate of /dev/ttyUSB1 must be a number .* not 'fast'"
    ):
        SerialTarget("/dev/ttyUSB1@fast")
    with pytest.raises(LinkError, match="must be a number of up to 9 digits, not '999"):
        SerialTarget("/dev/ttyUSB1@" + "9" * 5000)


@pytest.mark.parametrize(
    ("spikes", "message"),
    [
        (np.zeros((1, 2, 3)), "Input spikes must be a NumPy array of bool, not float64."),
        ([[[True]]], "Input spikes must be a NumPy array of bool, not list."),
        (np.zeros((2, 3), bool), "must have shape [samples, timesteps, axons], not (2, 3)."),
        (np.zeros((1, 2, 41), bool), "Input spikes must have at most 40 axons, not 41."),
    ],
)
def test_input_spikes_are_checked(spikes: Any, message: str) -> None:
    with Terminal(DeviceModel(SPEC)) as port:
        target = SerialTarget(f"{port.path}@{BAUD}")
        with pytest.raises(BoardError, match="No image was loaded"):
            target.run(spikes)
        target.load(storm(SPEC))
        with pytest.raises(SpikewrightError, match=re.escape(message)):
            target.run(spikes)
        target.close()
