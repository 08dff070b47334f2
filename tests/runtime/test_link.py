import errno
import re
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from spikewright.errors import LinkError
from spikewright.runtime.link import Link, decode_frame, encode_frame
from spikewright.runtime.ports import available_ports
from spikewright.runtime.session import Session
from spikewright.sim.terminal import Line, Terminal


class Echo:
    """Sends back what comes, with something in front."""

    is_active = False

    def __init__(self, before: bytes = b"") -> None:
        self.before = before

    def exchange(self, data: bytes) -> bytes:
        return self.before + data


class Deaf:
    is_active = False

    def exchange(self, data: bytes) -> bytes:
        return b""


@pytest.mark.parametrize("size", [1, 2, 253, 254, 255, 1027])
def test_frame_round_trip_and_every_flipped_bit(size: int) -> None:
    body = np.random.default_rng(size).integers(3, size=size, dtype=np.uint8).tobytes()
    frame = encode_frame(body)
    assert frame.index(0) == len(frame) - 1
    assert decode_frame(frame[:-1]) == body
    for bit in range(8 * (len(frame) - 1)):
        harmed = bytearray(frame[:-1])
        harmed[bit // 8] ^= 1 << bit % 8
        assert decode_frame(bytes(harmed)) is None
    for end in range(len(frame) - 1):
        assert decode_frame(frame[:end]) is None


def test_no_port() -> None:
    with pytest.raises(LinkError) as caught:
        Link("/dev/ttyNothing7")
    assert caught.value.what == "There is no port /dev/ttyNothing7."
    for port in available_ports():
        assert port in caught.value.hint


def test_no_serial_port(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(LinkError, match=f"Port {file} cannot be opened: .*\nIs it a serial port"):
        Link(str(file))


@pytest.mark.parametrize("baud_hz", [-1, 0, 1, 1 << 31, 10**30])
def test_bad_baud_rate(baud_hz: int) -> None:
    with Terminal(Echo()) as port, pytest.raises(LinkError) as caught:
        Link(port.path, baud_hz=baud_hz)
    assert caught.value.what == (
        f"The baud rate of {port.path} must be in [9600, 50000000], not {baud_hz}."
    )


def test_port_in_use() -> None:
    with Terminal(Echo()) as port, Link(port.path), pytest.raises(LinkError) as caught:
        Link(port.path)
    assert caught.value.what == f"Port {port.path} is in use."


def test_not_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("serial.Serial", refuse)  # as root nothing is forbidden
    with pytest.raises(LinkError, match="Port /dev/ttyS0 may not be opened by this user"):
        Link("/dev/ttyS0")


def test_frames_arrive_whatever_is_between() -> None:
    noise = bytes([1, 0, 0, 2, 3, 0]) + bytes([7]) * 5000 + bytes([0])
    with Terminal(Echo(noise)) as port, Link(port.path) as link:
        link.send(encode_frame(b"hello"))
        assert link.receive(5.0) == b"hello"
        assert link.damaged >= 3
        assert link.receive(0.0) is None


def test_noise_without_end_is_not_kept() -> None:
    with Terminal(Echo(bytes([7]) * 5000)) as port, Link(port.path) as link:
        link.send(b"\x07")
        assert link.receive(0.3) is None
        assert link.damaged >= 1


def test_receive_gives_up_in_time_even_in_endless_noise() -> None:
    class Babble(Echo):
        is_active = True

        def exchange(self, data: bytes) -> bytes:
            time.sleep(0.001)
            return b"\x03\x00"

    for line in (Deaf(), Babble()):
        with Terminal(line) as port, Link(port.path) as link:
            start = time.monotonic()
            assert link.receive(0.2) is None
            assert 0.2 <= time.monotonic() - start < 2


class Slow:
    """Takes about 64,000 bytes a second."""

    is_active = False

    def __init__(self) -> None:
        self.heard = 0

    def exchange(self, data: bytes) -> bytes:
        time.sleep(len(data) / 64_000)
        self.heard += len(data)
        return b""


def test_a_slow_line_may_take_longer_than_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spikewright.runtime.link._WRITE_TIMEOUT_S", 1.5)
    line = Slow()
    with Terminal(line) as port, Link(port.path, baud_hz=38_400) as link:
        start = time.monotonic()
        link.send(bytes(300_000))
        assert time.monotonic() - start > 1.5
        while line.heard < 300_000:
            assert time.monotonic() - start < 30
            time.sleep(0.01)


def test_a_line_that_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stuck(Deaf):
        go_on = threading.Event()

        def exchange(self, data: bytes) -> bytes:
            self.go_on.wait(10)
            return b""

    monkeypatch.setattr("spikewright.runtime.link._WRITE_TIMEOUT_S", 0.3)
    with Terminal(Stuck()) as port, Link(port.path) as link:
        with pytest.raises(LinkError) as caught:
            link.send(bytes(1 << 20))
        Stuck.go_on.set()
    assert caught.value.what == f"Port {port.path} took no bytes for 0.3 s."


def test_port_that_vanishes() -> None:
    port = Terminal(Deaf())
    with Link(port.path) as link:
        port.close()
        with pytest.raises(LinkError, match=f"Port {port.path} vanished"):
            link.receive(5.0)
    port = Terminal(Deaf())
    with Link(port.path) as link:
        port.close()
        with pytest.raises(LinkError, match=f"Port {port.path} vanished"):
            link.send(b"\0")


def what_open_raises(line: Line) -> str:
    with Terminal(line) as port, Link(port.path, baud_hz=4_000_000) as link:
        session = Session(link, retry_s=0.01)
        with pytest.raises(LinkError) as caught:
            session.open()
    return str(caught.value).replace(port.path, "PORT")


def test_nobody_answers() -> None:
    assert what_open_raises(Deaf()) == (
        "No answer on PORT at 4000000 baud.\n"
        "Is it the board's port, and does the board hold a Spikewright bitstream?"
    )


def test_only_noise_answers() -> None:
    assert re.fullmatch(
        r"No answer on PORT at 4000000 baud, only noise \(\d+ bytes, [1-9]\d* damaged frames\)\.\n"
        r"Give the baud rate that the board was built for, as in /dev/ttyUSB1@115200\.",
        what_open_raises(Echo(b"\x05\x06\x00")),
    )
