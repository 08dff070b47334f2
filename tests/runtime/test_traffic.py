from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from spikewright.frames import LinkSpec, payload_needed, ring_bytes
from spikewright.image import CoreImage
from spikewright.runtime.device import Device
from spikewright.runtime.link import encode_frame
from spikewright.runtime.traffic import Traffic, load_traffic, run_traffic, wire_sizes
from spikewright.sim.cases import Case, draw_case
from spikewright.sim.device_model import DeviceModel
from spikewright.sim.golden import GoldenModel
from spikewright.sim.terminal import Terminal
from spikewright.spec import CoreSpec

LINKS = [
    LinkSpec(max_payload=64, window=2),
    LinkSpec(max_payload=256, window=4),
    LinkSpec(max_payload=1024),
    LinkSpec(),
]


class CountedLine:
    """A device whose line counts its bytes."""

    def __init__(self, device: DeviceModel) -> None:
        self._device = device
        self.sent = self.received = 0

    @property
    def is_active(self) -> bool:
        return self._device.is_active

    def exchange(self, data: bytes) -> bytes:
        answer = self._device.exchange(data)
        self.sent += len(data)
        self.received += len(answer)
        return answer

    def take(self) -> tuple[int, int]:
        """Bytes since the last time."""
        taken = self.sent, self.received
        self.sent = self.received = 0
        return taken


@contextmanager
def connected(image: CoreImage, link: LinkSpec) -> Iterator[tuple[CountedLine, Device]]:
    line = CountedLine(DeviceModel(image.spec, link, room=ring_bytes(image.spec)))
    with Terminal(line) as port, Device(port.path, baud_hz=4_000_000, retry_s=30.0) as device:
        yield line, device
        assert device.session.retransmissions == 0


def assert_is(traffic: Traffic, taken: tuple[int, int]) -> None:
    sent, received = taken
    more = sent - traffic.sent, received - traffic.received
    assert min(more) >= 0
    assert sum(more) <= traffic.slack
    assert traffic.is_exact


def assert_bytes(case: Case, link: LinkSpec) -> list[Traffic]:
    """A whole session takes what was foretold; each run's traffic."""
    image = case.image
    fired = GoldenModel(image, len(case.spikes)).run(case.spikes).spikes
    runs = run_traffic(image, case.spikes, fired, link)
    with connected(image, link) as (line, device):
        device.load(image)
        assert_is(load_traffic(image, link), line.take())
        for traffic, spikes in zip(runs, case.spikes, strict=True):
            device.run(spikes)
            assert_is(traffic, line.take())
    return list(runs)


@pytest.mark.parametrize("link", LINKS, ids=str)
@pytest.mark.parametrize("seed", range(6))
def test_a_real_session_takes_these_bytes(seed: int, link: LinkSpec) -> None:
    case = draw_case(seed, timesteps=60, samples=3)
    if payload_needed(case.image.spec) > link.max_payload:
        pytest.skip("records of this spec do not fit the frames")
    assert_bytes(case, link)


def test_long_frames_without_zeros_have_some_slack() -> None:
    spec = CoreSpec(axons=1100, neurons=64, lanes=8, weight_words=2000)
    case = draw_case(11, spec=spec, timesteps=40, samples=2)
    spikes = np.zeros_like(case.spikes)
    spikes[..., ::2] = True  # more bytes than a frame carries, hardly a zero
    runs = assert_bytes(Case(case.recipe, case.image, spikes), LinkSpec())
    assert max(run.slack for run in runs) > 0


def test_a_load_without_verification_reads_nothing_back() -> None:
    image, link = draw_case(3).image, LinkSpec()
    with connected(image, link) as (line, device):
        device.load(image, verify=False)
        assert_is(load_traffic(image, link, verify=False), line.take())


@pytest.mark.parametrize("size", [1, 200, 253, 254, 255, 300, 510])
@pytest.mark.parametrize("zeros", [0.0, 0.01, 0.5])
def test_no_sequence_number_takes_bytes_out_of_range(size: int, zeros: float) -> None:
    rng = np.random.default_rng(size)
    payload = np.where(rng.random(size) < zeros, 0, rng.integers(1, 256, size)).astype(np.uint8)
    least, most = wire_sizes(bytes(4) + payload.tobytes())
    numbers = rng.integers(1 << 32, size=256) & rng.choice([0xFF, 0xFF00FF, 0xFFFFFFFF], 256)
    sizes = {len(encode_frame(int(n).to_bytes(4, "little") + payload.tobytes())) for n in numbers}
    assert least <= min(sizes)
    assert max(sizes) <= most <= least + 2
