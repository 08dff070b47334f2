"""Recorded sessions replayed: the same driver gets the same, another is told where it differs."""

from pathlib import Path

import numpy as np
import pytest
from faulty import FaultyLine, Rates

from spikewright.errors import DataError, LinkError, MismatchError, SpikewrightError
from spikewright.frames import Command, LinkSpec
from spikewright.recording import Piece, Recording, read_recording
from spikewright.runtime.board import SerialTarget
from spikewright.runtime.device import Device
from spikewright.runtime.link import Link
from spikewright.runtime.protocol import Request
from spikewright.runtime.session import Session
from spikewright.sim.cases import Case, draw_case
from spikewright.sim.device_model import DeviceModel
from spikewright.sim.line import SimulatedPort
from spikewright.sim.replay import Replay
from spikewright.sim.terminal import Line, Terminal
from spikewright.spec import CoreSpec
from spikewright.target import open_target

SPEC = CoreSpec(axons=40, neurons=64, lanes=8, delay_slots=2)
LINK = LinkSpec(max_payload=128, window=4)


@pytest.fixture(scope="module")
def case() -> Case:
    return draw_case(4, spec=SPEC, timesteps=30, samples=2)


def drive(device: Device, case: Case) -> list[bytes]:
    """All that a driver gets to see."""
    device.load(case.image)
    runs = [device.run(spikes, record_v=True) for spikes in case.spikes]
    seen = [run.spikes.tobytes() for run in runs]
    seen += [b"" if run.v is None else run.v.tobytes() for run in runs]
    return [*seen, repr(device.counters()).encode(), repr(device.hello().image_id).encode()]


def record(line: Line, case: Case, path: Path) -> list[bytes]:
    with Device(SimulatedPort(line), record=path, retry_s=0.02) as device:
        return drive(device, case)


@pytest.fixture(scope="module")
def recorded(case: Case, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes]]:
    path = tmp_path_factory.mktemp("recorded") / "session.txt"
    return path, record(DeviceModel(SPEC, LINK), case, path)


def test_replay_in_process(case: Case, recorded: tuple[Path, list[bytes]]) -> None:
    path, seen = recorded
    replay = Replay(read_recording(path))
    with Device(SimulatedPort(replay)) as device:
        assert drive(device, case) == seen
    assert replay.done == len(replay) > 20


def test_replay_behind_a_pseudo_terminal(case: Case, recorded: tuple[Path, list[bytes]]) -> None:
    path, seen = recorded
    with Terminal(Replay(read_recording(path))) as port, Device(port.path, retry_s=5) as device:
        assert drive(device, case) == seen


def test_recording_of_a_port_is_that_of_its_bytes(case: Case, tmp_path: Path) -> None:
    """Recorded over a serial port, replayed without one."""
    model = DeviceModel(SPEC, LINK)
    with (
        Terminal(model) as port,
        Device(port.path, retry_s=5, record=tmp_path / "session.txt") as device,
    ):
        seen = drive(device, case)
    recording = read_recording(tmp_path / "session.txt")
    assert recording.baud_hz == LinkSpec.baud_hz
    assert {piece.to_device for piece in recording.pieces} == {True, False}
    with Device(SimulatedPort(Replay(recording))) as device:
        assert drive(device, case) == seen


def test_harm_that_the_line_did_is_left_out(case: Case, tmp_path: Path) -> None:
    line = FaultyLine(DeviceModel(SPEC, LINK), Rates.all(0.02), seed=3)
    seen = record(line, case, tmp_path / "session.txt")
    assert line.faults > 10
    replay = Replay(read_recording(tmp_path / "session.txt"))
    with Device(SimulatedPort(replay)) as device:
        assert drive(device, case)[:4] == seen[:4]
        assert device.session.retransmissions == 0


def test_other_input_is_told_where_it_differs(
    case: Case, recorded: tuple[Path, list[bytes]]
) -> None:
    other = case.spikes[0].copy()
    other[3] ^= True
    replay = Replay(read_recording(recorded[0]))
    with Device(SimulatedPort(replay)) as device:
        device.load(case.image)
        done = replay.done
        with pytest.raises(MismatchError, match=r"^Request \d+ of \d+ differs from the") as error:
            device.run(other)
    assert f"Request {replay.done + 1} of {len(replay)} " in error.value.what
    assert replay.done >= done
    assert "recorded was" in error.value.what or "recorded were" in error.value.what


def test_other_request_is_told_where_it_differs(
    case: Case, recorded: tuple[Path, list[bytes]]
) -> None:
    replay = Replay(read_recording(recorded[0]))
    with (
        Device(SimulatedPort(replay)) as device,
        pytest.raises(MismatchError, match=r"it is COUNTERS, recorded was HELLO\."),
    ):
        device.counters()


def test_other_byte_and_one_request_too_many(tmp_path: Path) -> None:
    def requests(line: Line, *groups: int, record: Path | None = None) -> None:
        with Link(SimulatedPort(line), record=record) as link:
            session = Session(link)
            for group in groups:
                session.request(Request(Command.RECORD, first_group=group, group_count=1))

    requests(DeviceModel(SPEC, LINK), 1, 3, record=tmp_path / "session.txt")
    recording = read_recording(tmp_path / "session.txt")
    requests(Replay(recording), 1, 3)
    with pytest.raises(MismatchError, match="byte 0 of RECORD is 0x02, recorded was 0x03"):
        requests(Replay(recording), 1, 2)
    with pytest.raises(MismatchError, match=r"ends after 3 requests; .* another: RECORD\."):
        requests(Replay(recording), 1, 3, 5)


def test_host_at_a_port_sees_it_vanish(case: Case, recorded: tuple[Path, list[bytes]]) -> None:
    terminal = Terminal(Replay(read_recording(recorded[0])))
    with Device(terminal.path, retry_s=5) as device, pytest.raises(LinkError, match="vanished"):
        device.counters()
    with pytest.raises(MismatchError, match="Request 2 of"):
        terminal.close()


def test_recording_that_ends_early(case: Case, recorded: tuple[Path, list[bytes]]) -> None:
    recording = read_recording(recorded[0])
    cut = Recording(recording.baud_hz, recording.pieces[: len(recording.pieces) // 2])
    with (
        Device(SimulatedPort(Replay(cut))) as device,
        pytest.raises(MismatchError, match=r"has no reply to request|ends after"),
    ):
        drive(device, case)


def test_target_by_name(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "a@b.txt"
    target = SerialTarget(SimulatedPort(DeviceModel(SPEC, LINK)), record=path)
    target.load(case.image)
    wanted = target.run(case.spikes)
    target.close()
    replayed = open_target(f"replay:{path}")
    replayed.load(case.image)
    result = replayed.run(case.spikes)
    replayed.close()
    assert (result.spikes == wanted.spikes).all()
    assert (result.total_cycles == wanted.total_cycles).all()
    with pytest.raises(SpikewrightError, match=r"^Target 'golden' has no serial line to record"):
        open_target("golden", record=path)


def test_recording_that_cannot_be_written(tmp_path: Path) -> None:
    line = SimulatedPort(DeviceModel(SPEC, LINK))
    with pytest.raises(DataError, match=r"^Cannot write "):
        Device(line, record=tmp_path / "no" / "session.txt")


def test_hostile_sessions(recorded: tuple[Path, list[bytes]]) -> None:
    """Damaged bytes never give anything but a replay or a typed error."""
    recording = read_recording(recorded[0])
    rng = np.random.default_rng(1)
    for _ in range(200):
        pieces = list(recording.pieces)
        for place in rng.integers(len(pieces), size=rng.integers(1, 20)):
            data = bytearray(pieces[place].data)
            data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
            flipped = bool(rng.integers(2)) == pieces[place].to_device
            pieces[place] = Piece(pieces[place].time_s, flipped, bytes(data), 0)
        try:
            replay = Replay(Recording(1, tuple(pieces)))
        except DataError:
            continue
        assert replay.exchange(bytes(rng.integers(256, size=1000, dtype=np.uint8))) == b""


def test_noise_without_end_is_no_session() -> None:
    noise = tuple(Piece(0.0, n % 2 == 0, b"\x01" * 100, n) for n in range(20_000))
    with pytest.raises(DataError, match=r"^No session is in the recording"):
        Replay(Recording(1, noise))
