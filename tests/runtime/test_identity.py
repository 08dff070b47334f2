import threading

import pytest
from plugged import Deaf

from spikewright.errors import LinkError
from spikewright.runtime import identity
from spikewright.runtime.identity import ask, differences, identify
from spikewright.runtime.protocol import Hello
from spikewright.sim.device_model import DeviceModel
from spikewright.sim.terminal import Terminal
from spikewright.spec import CoreSpec

SPEC = CoreSpec(axons=8, neurons=8, lanes=4)


def test_who_answers() -> None:
    with Terminal(DeviceModel(SPEC)) as board:
        hello = ask(board.path)
        assert hello is not None
        assert identify(board.path).build_id == hello.build_id
        assert hello.spec_hash == SPEC.hash[:16]


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "_SOON_S", 0.01)
    with Terminal(Deaf()) as port:
        assert ask(port.path) is None
        with pytest.raises(LinkError, match=f"No answer on {port.path} at 1000000 baud."):
            identify(port.path)


def test_no_port() -> None:
    for function in (ask, identify):
        with pytest.raises(LinkError, match="There is no port /dev/ttyNothing7"):
            function("/dev/ttyNothing7")
    with pytest.raises(LinkError, match="must be a number of up to 9 digits, not 'fast'"):
        ask("/dev/ttyNothing7@fast")


def test_a_board_that_needs_a_while() -> None:
    class Booting(DeviceModel):
        """Answers nothing at first, as an FPGA that is being configured."""

        ready = threading.Event()

        def exchange(self, data: bytes) -> bytes:
            return super().exchange(data) if self.ready.is_set() else b""

    device = Booting(SPEC)
    with Terminal(device) as board:
        timer = threading.Timer(1.0, device.ready.set)
        timer.start()
        assert identify(board.path, 30.0).spec_hash == SPEC.hash[:16]
        timer.join()


def test_differences() -> None:
    hello = Hello(8, 512, SPEC.hash[:16], "ab" * 8, None, 0, 0, 24_000_000)
    assert differences(hello) == []
    assert differences(hello, spec_hash=SPEC.hash, build_id="ab" * 8) == []
    assert differences(hello, spec_hash=SPEC.hash, build_id="cd" * 8) == [
        f"build is {'ab' * 8}, not {'cd' * 8}"
    ]
    assert differences(hello, spec_hash="0" * 64) == [f"spec is {SPEC.hash[:16]}, not {'0' * 16}"]
