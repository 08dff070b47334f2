import pytest

from spikewright.sim.line import BridgedPort, SimulatedPort
from spikewright.sim.timeline import Timeline, TimelineClock

BAUD_HZ = 1_000_000
BYTE_S = 1e-5
MICROFRAME_S = 125e-6
CLOCK_HZ = 1_000_000


class Line:
    """Answers each frame with so many bytes; or says what it has, unasked."""

    def __init__(self, answer: bytes = b"", unasked: bytes = b"") -> None:
        self.answer = answer
        self.unasked = unasked

    @property
    def is_active(self) -> bool:
        return bool(self.unasked)

    def exchange(self, data: bytes) -> bytes:
        unasked, self.unasked = self.unasked, b""
        return unasked or self.answer


def test_time_goes_by_with_bytes_and_with_waiting() -> None:
    port = SimulatedPort(Line(b"x" * 20), BAUD_HZ)
    assert port.read(0.5) == b""
    assert port.now() == 0.5
    port.write(b"0123456789\0abc\0")
    assert port.now() == 0.5
    assert port.read(1.0) == b"x" * 20
    assert port.now() == pytest.approx(0.5 + (11 + 20) * BYTE_S)
    assert port.read(5 * BYTE_S) == b""
    assert port.read(1.0) == b"x" * 20
    assert port.now() == pytest.approx(0.5 + (11 + 40) * BYTE_S)
    port.close()


def test_a_device_that_is_active_is_asked_before_time_goes_by() -> None:
    port = SimulatedPort(Line(unasked=b"news"), BAUD_HZ)
    assert port.read(1.0) == b"news"
    assert port.now() == pytest.approx(4 * BYTE_S)


def idle() -> TimelineClock:
    """Of a device that never works."""
    return TimelineClock(Timeline(), CLOCK_HZ)


@pytest.mark.parametrize("latency_s", [0.001, 0.016])
def test_a_bridge_keeps_bytes_until_its_timer_is_over(latency_s: float) -> None:
    port = BridgedPort(Line(b"x" * 20), BAUD_HZ, latency_s=latency_s, clock=idle())
    port.write(b"ab\0")
    assert port.read(latency_s / 2) == b""
    assert port.read(1.0) == b"x" * 20
    assert port.now() == pytest.approx(latency_s + MICROFRAME_S)
    assert port.read(10.3 * latency_s) == b""
    port.write(b"ab\0")
    assert port.read(1.0) == b"x" * 20  # the timer ran on meanwhile
    assert port.now() == pytest.approx(12 * latency_s + MICROFRAME_S)


def test_a_bridge_gives_full_packets_at_once() -> None:
    port = BridgedPort(Line(b"x" * 150), BAUD_HZ, latency_s=0.016, clock=idle())
    port.write(b"\0")
    sizes: list[int] = []
    times: list[float] = []
    while sum(sizes) < 150:
        sizes.append(len(port.read(1.0)))
        times.append(port.now())
    assert sizes == [62, 62, 26]
    began = MICROFRAME_S + BYTE_S
    full = [began + n * BYTE_S + MICROFRAME_S for n in (62, 124)]
    assert times == pytest.approx([*full, full[1] + 0.016])


def test_a_device_at_work_answers_later() -> None:
    timeline = Timeline()

    class Worker(Line):
        def exchange(self, data: bytes) -> bytes:
            timeline.time += CLOCK_HZ // 10 if timeline.time < CLOCK_HZ // 10 else 0
            return super().exchange(data)

    clock = TimelineClock(timeline, CLOCK_HZ)
    port = BridgedPort(Worker(b"x" * 62), BAUD_HZ, latency_s=0.001, clock=clock)
    port.write(b"\0\0")
    assert len(port.read(1.0)) == 62
    began = MICROFRAME_S + BYTE_S + 0.1
    assert port.now() == pytest.approx(began + 62 * BYTE_S + MICROFRAME_S, abs=0.001)
    assert timeline.time == round(began * CLOCK_HZ)
    port.write(b"\0")
    assert timeline.time == pytest.approx((port.now() + MICROFRAME_S + BYTE_S) * CLOCK_HZ, abs=1)
