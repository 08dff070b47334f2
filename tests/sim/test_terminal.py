import os
import time
from pathlib import Path

import pytest

from spikewright.errors import LinkError
from spikewright.runtime.device import Device
from spikewright.sim.terminal import Terminal


class Echo:
    """Says all that it heard a number of times, once each exchange."""

    def __init__(self, times: int = 1) -> None:
        self.times = times
        self.left = 0
        self.heard = b""

    @property
    def is_active(self) -> bool:
        return self.left > 0

    def exchange(self, data: bytes) -> bytes:
        if data:
            self.heard, self.left = self.heard + data, self.times
        self.left -= 1
        return self.heard


def read(port: int, size: int) -> bytes:
    os.set_blocking(port, False)
    data, deadline = b"", time.monotonic() + 5.0
    while len(data) < size and time.monotonic() < deadline:
        try:
            data += os.read(port, size - len(data))
        except BlockingIOError:
            time.sleep(0.001)
    return data


def test_every_byte_passes_both_ways_and_hosts_may_leave() -> None:
    low, high = bytes(range(128)), bytes(range(128, 256))
    with Terminal(Echo()) as terminal:
        port = os.open(terminal.path, os.O_RDWR | os.O_NOCTTY)
        os.write(port, low)
        assert read(port, 128) == low
        os.close(port)
        port = os.open(terminal.path, os.O_RDWR | os.O_NOCTTY)
        os.write(port, high)
        assert read(port, 256) == low + high
        os.close(port)


def test_an_active_line_goes_on_by_itself() -> None:
    with Terminal(Echo(times=50)) as terminal:
        port = os.open(terminal.path, os.O_RDWR | os.O_NOCTTY)
        os.write(port, b"ab")
        assert read(port, 100) == b"ab" * 50
        os.close(port)


def test_a_host_that_does_not_read_blocks_nothing() -> None:
    line = Echo(times=30)
    with Terminal(line) as terminal:
        port = os.open(terminal.path, os.O_RDWR | os.O_NOCTTY)
        for _ in range(40):
            os.write(port, bytes(128))
        deadline = time.monotonic() + 10
        while len(line.heard) < 40 * 128:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.close(port)


class Breaks:
    """Fails once it hears something."""

    is_active = False

    def exchange(self, data: bytes) -> bytes:
        raise RuntimeError(f"heard {len(data)} bytes")


def test_a_line_that_fails_hangs_up_and_says_why() -> None:
    terminal = Terminal(Breaks())
    port = os.open(terminal.path, os.O_RDWR | os.O_NOCTTY)
    os.write(port, b"abc")
    with pytest.raises(RuntimeError, match="heard 3 bytes"):
        terminal.wait(5.0)
    assert os.read(port, 1) == b""  # hung up
    os.close(port)
    assert not Path(terminal.path).exists()
    with pytest.raises(RuntimeError, match="heard 3 bytes"):
        terminal.close()
    terminal.close()


def test_a_host_sees_the_port_vanish_when_the_line_fails() -> None:
    terminal = Terminal(Breaks())
    with pytest.raises(LinkError, match=f"Port {terminal.path} vanished"):
        Device(terminal.path)
    with pytest.raises(RuntimeError, match="heard"):
        terminal.close()


def test_close_ends_the_wait() -> None:
    terminal = Terminal(Echo())
    assert not terminal.wait(0.01)
    terminal.close()
    terminal.close()
    assert terminal.wait(0.0)
    assert not Path(terminal.path).exists()
