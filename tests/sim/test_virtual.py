import dataclasses
import itertools
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from faulty import FaultyLine, Rates

from spikewright.errors import BoardError, LinkError, SpecError, SpikewrightError
from spikewright.frames import (
    REPLY,
    REQUEST_PAYLOADS,
    RUNS,
    SEQUENCES,
    Command,
    LinkSpec,
    Status,
)
from spikewright.image import CoreImage
from spikewright.runtime.device import Device
from spikewright.runtime.link import Link, SerialPort, decode_frame, encode_frame
from spikewright.runtime.loading import load_requests
from spikewright.runtime.protocol import Request, parse_reply
from spikewright.runtime.session import Session
from spikewright.sim.cases import Case, draw_case
from spikewright.sim.device_model import DeviceModel
from spikewright.sim.golden import GoldenModel, GoldenTarget
from spikewright.sim.terminal import Terminal
from spikewright.sim.virtual import VirtualBoard
from spikewright.spec import CoreSpec, Region
from spikewright.target import open_target

RTL_ROOM = 256
"""Bytes of spikes out that the RTL of this spec buffers: two worst timesteps, rounded up."""
CODES = (0, 1, 5, 30, 39, 254, 255, 255, 255)
SPEC = CoreSpec(axons=40, neurons=64, lanes=8, delay_slots=2, weight_words=120)
LINK = LinkSpec(clock_hz=100_000_000, baud_hz=25_000_000, max_payload=128, window=4)


class PatientPort(SerialPort):
    """Its clock is slow: to a host, no pause of a busy machine is a reply that is late."""

    def now(self) -> float:
        return super().now() / 40


@pytest.fixture(scope="module")
def board() -> Iterator[VirtualBoard]:
    with VirtualBoard(SPEC, LINK) as board:
        yield board


def a_case(seed: int = 4, timesteps: int = 16) -> Case:
    return draw_case(seed, spec=SPEC, timesteps=timesteps, samples=2)


def assert_golden(device: Device, case: Case) -> None:
    for record_v, spikes in zip((False, True), case.spikes, strict=True):
        golden = GoldenModel(case.image)
        wanted = golden.run(spikes[None], record_v=True)
        assert wanted.v is not None
        run = device.run(spikes, record_v=record_v)
        assert (run.spikes == wanted.spikes[0]).all()
        assert run.v is None or (run.v == wanted.v[0]).all()
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
        for name, values in device.read_state().items():
            assert (values == getattr(golden, name)[0]).all()
        assert (device.read_accumulators() == golden.acc[0]).all()


@pytest.mark.parametrize("seed", range(4))
def test_results_are_those_of_the_golden_model(board: VirtualBoard, seed: int) -> None:
    case = a_case(seed)
    with Device(PatientPort(board.path, LINK.baud_hz)) as device:
        before = device.counters()["link_errors"]
        device.load(case.image)
        assert_golden(device, case)
        assert device.session.retransmissions == 0
        assert device.counters()["link_errors"] == before


def test_sparse_image_arrives_whole() -> None:
    """Loading reads every word back, its neuron group too."""
    spec = dataclasses.replace(SPEC, sparse=True)
    case = draw_case(4, spec=spec, timesteps=16, samples=2)
    assert case.image.word_group is not None
    assert len(set(case.image.word_group)) == spec.groups
    with VirtualBoard(spec, LINK) as board, Device(board.path) as device:
        device.load(case.image)
        assert_golden(device, case)


def test_dense_timesteps_and_pauses(board: VirtualBoard) -> None:
    case = a_case(3, timesteps=40)
    n = SPEC.neurons
    image = dataclasses.replace(
        case.image,
        v_threshold=np.full(n, -(1 << 19)),
        reset_to=np.ones(n, int),
        refractory=np.zeros(n, int),
    )
    storm = Case(case.recipe, image, np.ones_like(case.spikes))
    with Device(board.path) as device:
        device.load(image)
        assert_golden(device, storm)


def test_board_sleeps_while_nothing_is_going_on(board: VirtualBoard) -> None:
    with Device(board.path) as device:
        device.counters()
    deadline = time.monotonic() + 10
    before = -1
    while board.cycles != before and time.monotonic() < deadline:
        before = board.cycles
        time.sleep(0.2)
    start = time.process_time()
    time.sleep(0.3)
    assert board.cycles == before
    assert time.process_time() - start < 0.1


def test_hosts_come_and_go(board: VirtualBoard) -> None:
    case = a_case()
    many = [Request(Command.COUNTERS) for _ in range(8)]
    with Device(board.path) as device:
        device.load(case.image)
        next(device.session.exchange(many))  # leaves with replies on their way
    for _ in range(5):
        with Device(board.path) as device:
            assert device.hello().image_id == case.image.id[:16]
        with Link(board.path) as link:
            link.send(b"\x05\x06")


def test_virtual_target() -> None:
    case = draw_case(2, spec=CoreSpec(axons=16, neurons=16, lanes=4), timesteps=10, samples=3)
    golden, target = GoldenTarget(), open_target("virtual")
    assert target.name == "virtual"
    with pytest.raises(SpikewrightError, match="No image is loaded"):
        target.run(case.spikes)
    golden.load(case.image)
    wanted = golden.run(case.spikes, record_v=True)
    finished: list[int] = []
    for _ in range(2):
        target.load(case.image)
        result = target.run(case.spikes, record_v=True, progress=finished.append)
        assert (result.spikes == wanted.spikes).all()
        assert result.v is not None
        assert wanted.v is not None
        assert (result.v == wanted.v).all()
        assert (result.total_cycles == wanted.total_cycles).all()
    assert finished == [1] * 6
    target.close()
    target.close()


def test_closed_board_is_no_port_any_more() -> None:
    board = VirtualBoard(CoreSpec(axons=16, neurons=16, lanes=4))
    with Device(board.path) as device:
        assert not board.wait(0.01)
        board.close()
        board.close()
        assert board.wait(1.0)
        with pytest.raises(LinkError, match="vanished"):
            device.counters()
    with pytest.raises(LinkError, match=f"There is no port {board.path}"):
        Device(board.path)


# Killed hosts


def assert_refuses(board: VirtualBoard) -> None:
    with Link(board.path) as link:
        session = Session(link)
        assert session.open().image_id is None
        with pytest.raises(BoardError, match="refused RUN: it holds no valid image"):
            session.request(Request(Command.RUN, timestep=0, count=1))
        with pytest.raises(BoardError, match="refused COMMIT: no load was begun"):
            session.request(Request(Command.COMMIT, image_id=1, byte_count=0, crc=0))


def test_a_load_cut_after_any_frame_leaves_no_valid_image(board: VirtualBoard) -> None:
    case = a_case()
    frames = list(load_requests(case.image, LINK.max_payload))
    assert len(frames) > 20
    with Device(board.path) as device:
        device.load(case.image)
    for sent in range(1, len(frames)):
        with Device(board.path) as device:
            assert (device.hello().image_id is None) == (sent > 1)
            last = device.session.exchange(itertools.islice(frames, sent))
            assert all(reply.status is Status.OK for _, reply in last)
            if sent % 3 == 0:  # and part of a frame
                device.link.send(encode_frame(frames[sent].body(0))[: 3 * sent % 100])
        assert_refuses(board)
    with Device(board.path) as device:
        device.load(case.image)
        assert_golden(device, case)


def test_a_host_killed_in_the_middle_of_a_load(board: VirtualBoard, tmp_path: Path) -> None:
    case = a_case()
    file = tmp_path / "image"
    case.image.save(file)
    script = (
        "import sys, os\n"
        "from spikewright.image import CoreImage\n"
        "from spikewright.runtime.device import Device\n"
        "device, image = Device(sys.argv[1]), CoreImage.load(sys.argv[2])\n"
        "device.load(image, progress=lambda done, total: print(done, flush=True))\n"
    )
    with Device(board.path) as device:
        device.load(case.image)
    command = [sys.executable, "-c", script, board.path, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as host:
        assert host.stdout is not None
        for _ in range(3):
            assert host.stdout.readline()
        os.kill(host.pid, signal.SIGKILL)
        assert host.wait() == -signal.SIGKILL
    assert_refuses(board)
    with Device(board.path) as device:
        device.load(case.image)
        assert_golden(device, case)


def test_an_image_that_does_not_arrive_whole(board: VirtualBoard) -> None:
    frames = list(load_requests(a_case().image, LINK.max_payload))
    for missing in (1, len(frames) // 2, len(frames) - 2):
        with Device(board.path) as device:
            requests = frames[:missing] + frames[missing + 1 :]
            *_, (request, reply) = device.session.exchange(requests)
            assert (request.command, reply.status) == (Command.COMMIT, Status.BAD_DIGEST)
        assert_refuses(board)


def test_another_spec_is_refused(board: VirtualBoard) -> None:
    case = draw_case(1, spec=CoreSpec(axons=8, neurons=8))
    message = r"; nothing was sent\.\nCompile the network"
    with Device(board.path) as device, pytest.raises(SpecError, match=message):
        device.load(case.image)


# The line


class Wire:
    """A board's port as a line of another terminal."""

    is_active = True

    def __init__(self, path: str) -> None:
        self.port = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

    def exchange(self, data: bytes) -> bytes:
        while data:
            try:
                data = data[os.write(self.port, data) :]
            except BlockingIOError:
                time.sleep(0.001)
        try:
            return os.read(self.port, 4096)
        except BlockingIOError:
            time.sleep(0.001)
            return b""


@pytest.mark.parametrize("seed", range(2))
def test_faults_on_the_line_change_nothing(board: VirtualBoard, seed: int) -> None:
    case = a_case(seed)
    line = FaultyLine(Wire(board.path), Rates.all(0.02), seed)
    with Terminal(line) as port, Device(port.path, baud_hz=4_000_000, retry_s=0.05) as device:
        before = device.counters()["link_errors"]
        device.load(case.image)
        assert_golden(device, case)
        assert device.counters()["link_errors"] > before
    assert line.faults > 20


# The RTL and the device model, byte for byte


class Draw:
    """Frames of all kinds, right and wrong ones, that leave nothing undefined in the device."""

    def __init__(self, image: CoreImage, seed: int, *, first: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.image = image
        self.next = first
        self.timestep = 0

    def below(self, limit: int) -> int:
        return int(self.rng.integers(limit))

    def hello(self) -> bytes:
        opening = self.below(SEQUENCES)
        self.next = (self.next + opening) % SEQUENCES
        return encode_frame(Request(Command.HELLO).body(opening))

    def load(self) -> list[bytes]:
        return [self.frame(request) for request in load_requests(self.image, LINK.max_payload)]

    def frames(self) -> list[bytes]:
        kind = self.below(20)
        if kind == 0:
            return [self.hello()]
        if kind == 1:
            return self.load()
        if kind == 2:  # damaged, or far from what is expected
            body = bytearray(encode_frame(self.request().body(self.next)))
            body[self.below(len(body))] ^= 1 << self.below(8)
            return [bytes(body) + b"\0", self.frame(self.request(), ahead=self.below(SEQUENCES))]
        if kind == 3:  # too long, too short, of wrong length or an unknown command
            return [
                encode_frame(self.request().body(self.next) + bytes(2 * LINK.max_payload)),
                encode_frame(self.next.to_bytes(4, "little")),
                self.frame(self.request(), b"\1"),
                encode_frame(self.next.to_bytes(4, "little") + bytes([200])),
            ]
        return [self.frame(self.request())]

    def frame(self, request: Request, more: bytes = b"", *, ahead: int = 0) -> bytes:
        """Numbered in order, or ``ahead`` of it."""
        frame = encode_frame(request.body((self.next + ahead) % SEQUENCES) + more)
        self.next = (self.next + (ahead == 0)) % SEQUENCES
        return frame

    def request(self) -> Request:
        kinds = [Command.RUN, Command.RUN, Command.RUN, Command.READ, *Command]
        command = kinds[self.below(len(kinds))]
        layout = REQUEST_PAYLOADS[command]
        limits = {"region": 7, "index": 70, "count": 6, "first_group": 9, "group_count": 9}
        limits["reward"] = 128
        head = {f.name: self.below(limits.get(f.name, 1 << 16)) for f in layout.fields}
        data = b""
        if command is Command.HELLO:
            command = Command.COUNTERS
            head = {}
        elif command in RUNS:
            head["timestep"] = self.timestep if self.below(8) else 1
            data = bytes([*self.rng.choice(CODES, self.below(12))])
        elif command is Command.WRITE:
            region = Region(head["region"]) if head["region"] in list(Region) else Region.STATE
            records = self.image.records.get(region, np.zeros((70, 4), np.uint8))
            data = records[head["index"] : head["index"] + self.below(3)].tobytes()
        elif command is Command.READ and head["region"] == Region.WEIGHTS:
            head["index"] = self.below(len(self.image.weights) - 8)
        return Request(command, data, **head)


@pytest.mark.parametrize("seed", range(3))
def test_board_and_device_model_answer_the_same(board: VirtualBoard, seed: int) -> None:
    model = DeviceModel(SPEC, LINK, room=RTL_ROOM)
    answered: Counter[tuple[int, int]] = Counter()
    base: dict[str, int] = {}
    with Link(board.path) as link:
        first = Session(link).open().first  # whatever an earlier host left on the line is over now
        model.exchange(encode_frame(Request(Command.HELLO).body(first)))
        draw = Draw(a_case(seed).image, seed, first=first)
        start = [draw.hello(), *draw.load()]
        more = itertools.chain.from_iterable(draw.frames() for _ in range(300))
        for count, frame in enumerate(itertools.chain(start, more)):
            link.send(frame)
            wanted = decode_frame(model.exchange(frame)[:-1])
            got = link.receive(5.0 if wanted else 0.01)
            if count < len(start):  # until now the board may hold an image
                continue
            assert (got is None) == (wanted is None)
            if got is None or wanted is None:
                continue
            reply, expected = parse_reply(got), parse_reply(wanted)
            if reply is None or expected is None:
                assert got == wanted
                continue
            answered[reply.command, reply.status] += 1
            if reply.command is Command.COUNTERS and reply.head:
                grown = {name: reply.head[name] - expected.head[name] for name in reply.head}
                assert grown.pop("overruns") >= 0  # on the board, time goes by without requests
                base = base or grown
                assert grown == base
            elif reply.command is Command.READ and model.core is None:
                # What the memories hold without an image is nobody's business.
                assert (got[: REPLY.size], len(got)) == (wanted[: REPLY.size], len(wanted))
            else:
                assert got == wanted
            if reply.command in (Command.CLEAR, Command.COMMIT):
                draw.timestep = 0
            draw.timestep = reply.head.get("timestep", draw.timestep)
    assert len(answered) > 20


def test_real_time(board: VirtualBoard) -> None:
    """Results of a run on demand; a period a timestep; a late host's ticks; and no time after."""
    case, period = a_case(), 10_000
    spikes = case.spikes[0]
    with Device(PatientPort(board.path, LINK.baud_hz)) as device:
        device.load(case.image)
        plain = device.run(spikes)
        before = board.cycles
        paced = device.run(spikes, period_s=period / device.clock_hz)
        overruns = paced.counters["overruns"]
        assert board.cycles - before > (len(spikes) - 1 + overruns) * period
        assert (paced.spikes == plain.spikes).all()
        assert paced.counters | {"overruns": 0} == plain.counters
        request = device.session.request
        request(Request(Command.CLEAR, cycles=SPEC.clear_cycles))
        request(Request(Command.PACE, period=period))
        before = device.counters()["overruns"]
        earliest = board.cycles
        request(Request(Command.RUN, timestep=0, count=1))
        latest = board.cycles
        deadline = time.monotonic() + 60
        while board.cycles < latest + 20 * period:  # time goes by, without a byte
            assert time.monotonic() < deadline
            time.sleep(0.001)
        late = board.cycles
        request(Request(Command.RUN, timestep=1, count=1))
        missed = device.counters()["overruns"] - before
        assert (late - latest) // period - 1 <= missed <= (board.cycles - earliest) // period
        request(Request(Command.PACE, period=0))
        request(Request(Command.RUN, timestep=2, count=1))
        assert device.counters()["overruns"] - before == missed
    end = board.cycles
    while end != (end := board.cycles):
        time.sleep(0.1)
