"""cocotb bench of the whole device over its two wires, against the golden model.

``SPIKEWRIGHT_BENCH`` names a folder with ``image.core`` and ``spikes.npz``.
"""

import os
from pathlib import Path
from typing import Any, Self

import cocotb
import numpy as np
import numpy.typing as npt
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge
from fastcrc import crc32

from spikewright.files import read_spikes
from spikewright.frames import HELLO_NONE, ID_SIZE, Command, LinkSpec, Status
from spikewright.image import CoreImage
from spikewright.spec import Region

from .cocotb_core import FOLDER_VARIABLE
from .cocotb_host import Host, decode_spikes, encode_spikes, payload
from .golden import GoldenModel

__all__ = ["BUILD_ID", "LINK"]

LINK = LinkSpec(clock_hz=100_000_000, baud_hz=25_000_000, max_payload=64, window=4)
BUILD_ID = bytes(range(1, ID_SIZE + 1))
_CYCLE_NS = 10


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

    def writes(self) -> list[bytes]:
        """Payloads of the WRITEs that load the image."""
        payloads = []
        for region, records in self.image.records.items():
            size = self.spec.memories[region].layout.size
            count = (LINK.max_payload - len(payload(Command.WRITE, 0, 0))) // size
            payloads += [
                payload(Command.WRITE, region, first, rest=records[first : first + count].tobytes())
                for first in range(0, len(records), count)
            ]
        return payloads

    async def load(self) -> None:
        """Load the image with a full window of requests in flight."""
        payloads = self.writes()
        whole = b"".join(payloads)
        commit = payload(Command.COMMIT, self.image_id, len(whole), crc32.iscsi(whole))
        requests = [
            (Command.BEGIN, b""),
            *((Command.WRITE, one) for one in payloads),
            (Command.COMMIT, commit),
        ]
        answered = 0
        for sent, (command, content) in enumerate(requests):
            while sent - answered >= LINK.window:
                assert (await self.reply()).status == Status.OK
                answered += 1
            await self.request(command, content)
        for _ in range(len(requests) - answered):
            assert (await self.reply()).status == Status.OK
        self.model.clear()

    @property
    def image_id(self) -> int:
        """What travels of the image id."""
        return int.from_bytes(bytes.fromhex(self.image.id)[:ID_SIZE], "little")

    def golden(self, rows: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Spikes of the golden model's next timesteps."""
        return np.concatenate([self.model.step(row[None]).spikes for row in rows])


def _lines(rows: npt.NDArray[np.bool_]) -> list[list[int]]:
    return [np.flatnonzero(row).tolist() for row in rows]


@cocotb.test()
async def load_and_run(dut: Any) -> None:
    """A load, a run with all spikes read back, the state, and the counters."""
    device = await Device.start(dut)
    hello = (await device.hello()).head
    assert hello["image_valid"] == 0
    assert hello["image_id"] == HELLO_NONE
    assert hello["build_id"] == int.from_bytes(BUILD_ID, "little")
    assert hello["max_payload"] == LINK.max_payload
    assert hello["window"] == LINK.window
    await device.load()
    hello = (await device.hello()).head
    assert hello["image_valid"] == 1
    assert hello["image_id"] == device.image_id
    assert hello["spec_hash"].to_bytes(ID_SIZE, "little").hex() == device.spec.hash[: 2 * ID_SIZE]
    steps = len(device.stimulus)
    coded = bytearray()
    done = 0
    while done < steps:
        rows = device.stimulus[done : done + 3]
        reply = await device.ask(Command.RUN, done, len(rows), rest=encode_spikes(_lines(rows)))
        done += len(rows)
        assert reply.head["timestep"] == done
        coded += reply.rest
    while reply.head["pending"]:
        reply = await device.ask(Command.RUN, steps, 0)
        coded += reply.rest
    want = device.golden(device.stimulus)
    got = decode_spikes(bytes(coded), steps, device.spec.neurons)
    assert want.any()
    assert (got == want).all()
    layout = device.spec.memories[Region.STATE].layout
    count = LINK.max_payload // layout.size
    for first in range(0, device.spec.neurons, count):
        records = min(count, device.spec.neurons - first)
        reply = await device.ask(Command.READ, Region.STATE, first, records)
        values = layout.unpack(reply.rest)
        for name, column in values.items():
            assert (column == getattr(device.model, name)[0, first : first + records]).all(), name
    counters = (await device.ask(Command.COUNTERS)).head
    assert counters["timesteps"] == steps
    assert counters["spikes_in"] == device.stimulus.sum()
    assert counters["spikes_out"] == want.sum()
    assert counters["link_errors"] == 0
