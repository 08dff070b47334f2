"""cocotb bench of the whole device over its two wires, against the golden model.

``SPIKEWRIGHT_BENCH`` names a folder with ``image.core`` and ``spikes.npz``.
"""

import os
from pathlib import Path
from typing import Any, Self

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, Timer
from fastcrc import crc32

from spikewright.files import read_spikes
from spikewright.frames import (
    HELLO_NONE,
    ID_SIZE,
    REQUEST_PAYLOADS,
    SEQUENCES,
    Command,
    LinkSpec,
    Status,
)
from spikewright.image import CoreImage
from spikewright.spec import Region

from .cocotb_core import FOLDER_VARIABLE
from .cocotb_host import (
    Host,
    Reply,
    decode_spikes,
    encode_frame,
    encode_spikes,
    payload,
    request_body,
)
from .golden import GoldenModel

__all__ = ["BUILD_ID", "LINK"]

LINK = LinkSpec(clock_hz=100_000_000, baud_hz=25_000_000, max_payload=64, window=4)
BUILD_ID = bytes(range(1, ID_SIZE + 1))
_CYCLE_NS = 10
_TIMESTEPS = 3
"""In each RUN."""


class Device(Host):
    """The device under test, and the golden model of what it was loaded with."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut.rx, dut.tx, LINK.divisor * _CYCLE_NS)
        folder = Path(os.environ[FOLDER_VARIABLE])
        self.dut = dut
        self.image = CoreImage.load(folder / "image.core")
        self.spec = self.image.spec
        self.stimulus = read_spikes(folder / "spikes.npz")[0]
        self.model = GoldenModel(self.image)
        self.rng = np.random.default_rng(1)

    @classmethod
    async def start(cls, dut: Any) -> Self:
        """Reset the device."""
        device = cls(dut)
        dut.rst.value = 1
        Clock(dut.clk, _CYCLE_NS, unit="ns").start()
        await ClockCycles(dut.clk, 3)
        await FallingEdge(dut.clk)
        dut.rst.value = 0
        cocotb.start_soon(device.listen())
        return device

    def load_requests(self) -> list[bytes]:
        """Bodies of the requests that load the image, without their sequence numbers."""
        payloads = []
        for region, records in self.image.records.items():
            size = self.spec.memories[region].layout.size
            count = (LINK.max_payload - REQUEST_PAYLOADS[Command.WRITE].size) // size
            payloads += [
                payload(Command.WRITE, region, first, rest=records[first : first + count].tobytes())
                for first in range(0, len(records), count)
            ]
        whole = b"".join(payloads)
        commit = payload(Command.COMMIT, self.image_id, len(whole), crc32.iscsi(whole))
        return [
            bytes([Command.BEGIN]),
            *(bytes([Command.WRITE]) + one for one in payloads),
            bytes([Command.COMMIT]) + commit,
        ]

    def run_requests(self) -> list[bytes]:
        """The same of those that run the stimulus and drain its spikes."""
        bodies = []
        for first in range(0, len(self.stimulus), _TIMESTEPS):
            rows = self.stimulus[first : first + _TIMESTEPS]
            coded = encode_spikes(np.flatnonzero(row).tolist() for row in rows)
            head = payload(Command.RUN, first, len(rows), rest=coded)
            bodies.append(bytes([Command.RUN]) + head)
        drain = bytes([Command.RUN]) + payload(Command.RUN, len(self.stimulus), 0)
        return [*bodies, *[drain] * 3]

    async def pipeline(self, bodies: list[bytes], *, damage: float = 0.0) -> list[Reply]:
        """Send requests with a full window in flight, go back to the first without a reply.

        ``damage`` is the probability with which a frame gets a wrong bit, and a reply gets lost.
        """
        replies: list[Reply] = []
        first = self.sequence
        while len(replies) < len(bodies):
            await self.send(b"\0")
            done = len(replies)
            for k in range(done, min(done + LINK.window, len(bodies))):
                body = request_body(first + k, bodies[k][0], bodies[k][1:])
                frame = bytearray(encode_frame(body))
                if self.rng.random() < damage:
                    frame[int(self.rng.integers(len(frame)))] ^= 1 << int(self.rng.integers(8))
                await self.send(bytes(frame))
            while (reply := await self.maybe_reply()) is not None:
                expected = (first + len(replies)) % SEQUENCES
                if self.rng.random() < damage:
                    continue
                if reply.sequence == expected and reply.status != Status.OUT_OF_ORDER:
                    assert reply.status == Status.OK
                    replies.append(reply)
        self.sequence = (first + len(bodies)) % SEQUENCES
        return replies

    async def load(self) -> None:
        """Load the image."""
        await self.pipeline(self.load_requests())
        self.model.clear()

    async def check_run(self, *, damage: float = 0.0) -> None:
        """Run the stimulus and compare all spikes with the golden model's."""
        replies = await self.pipeline(self.run_requests(), damage=damage)
        assert replies[-1].head == {"timestep": len(self.stimulus), "pending": 0}
        coded = b"".join(reply.rest for reply in replies)
        got = decode_spikes(coded, len(self.stimulus), self.spec.neurons)
        want = np.concatenate([self.model.step(row[None]).spikes for row in self.stimulus])
        assert want.any()
        assert (got == want).all()

    async def check_state(self) -> None:
        """Compare the state with the golden model's."""
        layout = self.spec.memories[Region.STATE].layout
        count = LINK.max_payload // layout.size
        for first in range(0, self.spec.neurons, count):
            records = min(count, self.spec.neurons - first)
            reply = await self.ask(Command.READ, Region.STATE, first, records)
            for name, column in layout.unpack(reply.rest).items():
                want = getattr(self.model, name)[0, first : first + records]
                assert (column == want).all(), name

    @property
    def image_id(self) -> int:
        """What travels of the image id."""
        return int.from_bytes(bytes.fromhex(self.image.id)[:ID_SIZE], "little")


@cocotb.test()
async def load_and_run(dut: Any) -> None:
    """Who it is, a load, a run, the state that it leaves, and the counters."""
    device = await Device.start(dut)
    hello = (await device.hello()).head
    assert hello["image_valid"] == dut.image_valid.value == 0
    assert hello["image_id"] == HELLO_NONE
    assert hello["build_id"] == int.from_bytes(BUILD_ID, "little")
    assert hello["spec_hash"].to_bytes(ID_SIZE, "little").hex() == device.spec.hash[: 2 * ID_SIZE]
    assert (hello["max_payload"], hello["window"]) == (LINK.max_payload, LINK.window)
    assert hello["clock_hz"] == LINK.clock_hz
    await device.load()
    hello = (await device.hello()).head
    assert hello["image_valid"] == dut.image_valid.value == 1
    assert hello["image_id"] == device.image_id
    await device.check_run()
    await device.check_state()
    golden = GoldenModel(device.image)
    results = [golden.step(row[None]) for row in device.stimulus]
    counters = (await device.ask(Command.COUNTERS)).head
    assert counters == {
        "timesteps": len(device.stimulus),
        "cycles": sum(int(result.cycles[0]) for result in results),
        "spikes_in": device.stimulus.sum(),
        "spikes_out": sum(int(result.spikes.sum()) for result in results),
        "synaptic_operations": sum(int(result.synaptic_operations[0]) for result in results),
        "saturations": sum(int(result.saturations[0]) for result in results),
        "link_errors": 0,
        "overruns": 0,
    }
    await device.quiet()
    assert dut.active.value == 0


@cocotb.test()
async def host_killed(dut: Any) -> None:
    """In the middle of a load and of a frame: no image, no run; the next host's load works."""
    device = await Device.start(dut)
    await device.hello()
    requests = device.load_requests()
    await device.pipeline(requests[: len(requests) // 2])
    await device.send(encode_frame(request_body(7, requests[-2][0], requests[-2][1:]))[:9])
    assert dut.active.value == 1
    await device.quiet()
    assert dut.active.value == 0
    await device.send(b"\0")
    hello = (await device.hello()).head
    assert (hello["image_valid"], hello["image_id"]) == (0, HELLO_NONE)
    await device.ask(Command.RUN, 0, 1, status=Status.NO_IMAGE)
    await device.request(Command.COMMIT, requests[-1][1:])
    assert (await device.reply()).status == Status.NOT_LOADING
    await device.load()
    await device.check_run()
    # The same once more, with a valid image that the new load does away with.
    await device.pipeline(requests[:3])
    hello = (await device.hello()).head
    assert hello["image_valid"] == dut.image_valid.value == 0
    await device.ask(Command.RUN, 0, 1, status=Status.NO_IMAGE)
    await device.load()
    await device.check_run()


@cocotb.test()
async def damaged_frames(dut: Any) -> None:
    """Frames are damaged and replies get lost: all is done in the end, and nothing twice."""
    device = await Device.start(dut)
    await device.hello()
    await device.pipeline(device.load_requests(), damage=0.3)
    await device.check_run(damage=0.3)
    await device.check_state()
    counters = (await device.ask(Command.COUNTERS)).head
    assert counters["timesteps"] == len(device.stimulus)
    assert counters["spikes_in"] == device.stimulus.sum()
    assert counters["link_errors"] >= 5


@cocotb.test()
async def back_to_back(dut: Any) -> None:
    """Frames of all lengths without a gap, and all of them again while replies are being sent."""
    device = await Device.start(dut)
    await device.hello()
    await device.load()
    most = LINK.max_payload // device.spec.memories[Region.WEIGHTS].layout.size
    longest = payload(Command.WRITE, 0, 0, rest=bytes(LINK.max_payload - 5))
    requests = [
        (Command.READ, payload(Command.READ, Region.WEIGHTS, 0, most)),
        (Command.COUNTERS, b""),
        (Command.WRITE, longest),
        (Command.HELLO, bytes(1)),
    ]
    for _ in range(3):
        start = device.sequence
        for command, content in requests:
            await device.request(command, content)
        first = [await device.reply() for _ in requests]
        assert [reply.sequence - start for reply in first] == [0, 1, 2, 3]
        for _ in range(2):
            for offset, (command, content) in enumerate(requests):
                await device.request(command, content, sequence=start + offset)
            assert [await device.reply() for _ in requests] == first
        assert [reply.status for reply in first] == [
            Status.OK,
            Status.OK,
            Status.NOT_LOADING,
            Status.BAD_LENGTH,
        ]
        # All of the next window while the oldest kept reply is on its way once more.
        await device.request(Command.READ, requests[0][1], sequence=start)
        for command, content in requests:
            await device.request(command, content)
        assert await device.reply() == first[0]
        for want, got in zip(first, [await device.reply() for _ in requests], strict=True):
            assert (got.command, got.status) == (want.command, want.status)
            assert got.payload == want.payload


@cocotb.test()
async def line_noise(dut: Any) -> None:
    """Noise, breaks and half frames between requests cost the frames they hit and nothing more."""
    device = await Device.start(dut)
    await device.hello()
    await device.load()
    frame = encode_frame(request_body(0, Command.CLEAR))
    for k in range(12):
        for _ in range(20 * (k % 3)):
            dut.rx.value = int(device.rng.integers(2))
            await Timer(int(device.rng.integers(1, 3 * device.bit_ns)), "ns")
        dut.rx.value = int(k % 4 != 3)
        await Timer(15 * device.bit_ns, "ns")
        dut.rx.value = 1
        await Timer(11 * device.bit_ns, "ns")
        await device.send(frame[: k % len(frame)])
        await device.send(b"\0")
        await device.ask(Command.COUNTERS)
    await device.check_run()


@cocotb.test()
async def slow_and_fast_hosts(dut: Any) -> None:
    """Gaps between bytes, and line rates 2 % off."""
    device = await Device.start(dut)
    nominal = device.bit_ns
    for bit_ns in (nominal - 1, nominal + 1):
        device.bit_ns = bit_ns
        await device.hello()
        await device.ask(Command.COUNTERS)
    device.bit_ns = nominal
    for gap_bits in (1, 7, 60):
        device.gap_bits = gap_bits
        await device.hello()
        await device.ask(Command.COUNTERS)
