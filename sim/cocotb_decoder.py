"""cocotb bench of the command processor with a core, against the device model."""

from typing import Any

import cocotb
import numpy as np
from fastcrc import crc32

from spikewright.frames import (
    END,
    REPLY_PAYLOADS,
    REQUEST_PAYLOADS,
    RUNS,
    SEQUENCES,
    SKIP,
    Command,
    Status,
    ring_bytes,
)
from spikewright.spec import Region, index_width

from .cocotb_host import encode_spikes, payload
from .cocotb_requests import BURST, LINK, SPEC, Executor, Requests
from .cocotb_streams import reset

__all__ = ["Executor"]


@cocotb.test()
async def sequence_numbers(dut: Any) -> None:
    """Order, repetition, gaps, sessions and the wrap, as the model has them."""
    requests = Requests(dut, 1)
    await reset(dut, "i_frame__valid", "i__valid", "locked", "spikes_en")
    for sequence in (0, 1, 255, 1 << 24, SEQUENCES - 1):
        await requests.request(sequence, Command.COUNTERS)
    await requests.request(0, Command.HELLO, b"\0")
    # Openings that take the first session's numbers past 0, and others not far from them.
    for opening in (SEQUENCES - 5, 9, 9 + 1, 3 << 30, 1 << 24):
        await requests.hello(opening)
        await requests.hello(opening)
        first = requests.expected
        for offset in range(2 * LINK.window):
            for near in (*range(-LINK.window - 2, 4), 256, 1 << 16, 1 << 24, 1 << 31):
                if near:
                    await requests.request(first + offset + near, Command.COUNTERS)
            await requests.request(first + offset, Command.COUNTERS)
            await requests.request(opening, Command.HELLO)
            await requests.request(opening, Command.COUNTERS)
            await requests.request(first + offset + 2, Command.HELLO, b"\0")
        requests.expected = (first + 2 * LINK.window) % SEQUENCES
        await requests.raw(Command.HELLO, b"\0", Status.BAD_LENGTH)
    for _ in range(LINK.window + 256):
        await requests.raw(0x77, b"", Status.BAD_COMMAND)
    await requests.request(1 << 24, Command.HELLO)


@cocotb.test()
async def malformed(dut: Any) -> None:
    """Every command too short and too long, and values out of range: a status, and no harm."""
    requests = await Requests.start(dut, stalls=0.7)
    await requests.run(2, encode_spikes([[1, 2], [3]]))
    for command, layout in REQUEST_PAYLOADS.items():
        is_open = command is Command.WRITE or command in RUNS
        too_long = () if is_open else (layout.size + 1, 64)
        for size in (*range(layout.size), *too_long):
            await requests.raw(command, requests.rng.bytes(size), Status.BAD_LENGTH)
            await requests.run(0, b"")  # the timestep is the same
    requests.stalls = 0
    for unknown in (0, len(Command) + 1, 0x7F, 0xFF):
        await requests.raw(unknown, b"", Status.BAD_COMMAND)
    await requests.ask(Command.WRITE, Region.WEIGHTS, 0, rest=b"", status=Status.NOT_LOADING)
    await requests.ask(Command.COMMIT, 1, 0, 0, status=Status.NOT_LOADING)
    for first, count in ((SPEC.groups, 1), (0, SPEC.groups + 1), (1 << 15, 1 << 15)):
        await requests.ask(Command.RECORD, first, count, status=Status.BAD_ADDRESS)
    for timestep in (0, 3, 1 << 31):
        reply = payload(Command.RUN, timestep, 1)
        await requests.raw(Command.RUN, reply, Status.BAD_TIMESTEP)
    wrong_spikes = [
        bytes([END] * 3),
        bytes([SKIP, 46, END]),
        bytes([SKIP, SKIP]),
        b"\xff\xff\0\xff",
    ]
    for coded in wrong_spikes:
        await requests.run(0, b"\x05")
        await requests.run(2, coded, Status.BAD_SPIKES)
        assert await requests.run(1, b"\x03\xff") == encode_spikes([[5, 9]])
    await requests.run(0, bytes([END]), Status.BAD_SPIKES)
    await requests.ask(Command.LEARN, 0, 1, -1, rest=bytes([END]), status=Status.NOT_PLASTIC)
    await requests.ask(Command.CLEAR)
    await requests.ask(Command.COUNTERS)


@cocotb.test()
async def records(dut: Any) -> None:
    """Every region, written and read up to its last record and past it, and no byte too many."""
    requests = await Requests.start(dut)
    await requests.ask(Command.BEGIN)
    for code in (*Region, len(Region), 0xFF):
        memory = SPEC.memories.get(Region(code)) if code in list(Region) else None
        size, depth = (memory.layout.size, memory.depth) if memory else (1, 1)
        places = ((0, 1), (depth - 1, 1), (depth - 1, 2), (depth, 1), (1 << 31, 1), (depth, 0))
        for index, count in places:
            data = requests.rng.bytes(count * size)
            await requests.raw(Command.WRITE, payload(Command.WRITE, code, index, rest=data), None)
            await requests.raw(Command.READ, payload(Command.READ, code, index, count), None)
        for count in (LINK.max_payload // size, LINK.max_payload // size + 1, 0xFFFF):
            await requests.raw(Command.READ, payload(Command.READ, code, 0, count), None)
        most = LINK.max_payload - REQUEST_PAYLOADS[Command.WRITE].size
        for length in {1, size - 1, size + 1, most}:
            data = requests.rng.bytes(length)
            await requests.raw(Command.WRITE, payload(Command.WRITE, code, 0, rest=data), None)
    whole = SPEC.memories[Region.WEIGHTS]
    for index in range(whole.depth):
        await requests.ask(Command.READ, Region.WEIGHTS, index, 1)


@cocotb.test()
async def loads(dut: Any) -> None:
    """A load abandoned or wrong leaves no image; the next one works, with stalls everywhere."""
    requests = await Requests.start(dut)
    await requests.ask(Command.BEGIN)
    one = payload(Command.WRITE, Region.WEIGHTS, 3, rest=bytes(8))
    await requests.raw(Command.WRITE, one, Status.OK)
    # The host dies, and another comes.
    requests.expected = 77
    await requests.hello(2)
    await requests.ask(Command.RUN, 0, 1, status=Status.NO_IMAGE)
    await requests.raw(Command.WRITE, one, Status.NOT_LOADING)
    digest = crc32.iscsi(one)
    for count, crc in ((len(one) + 1, digest), (len(one), digest ^ 1 << 31), (len(one), 0)):
        await requests.ask(Command.BEGIN)
        await requests.raw(Command.WRITE, one, Status.OK)
        await requests.request(requests.expected - 1, Command.WRITE, one)
        await requests.raw(Command.WRITE, one[:-1], Status.BAD_LENGTH)
        await requests.ask(Command.COMMIT, 5, count, crc, status=Status.BAD_DIGEST)
        await requests.ask(Command.COMMIT, 5, len(one), digest, status=Status.NOT_LOADING)
        await requests.ask(Command.RUN, 0, 1, status=Status.NO_IMAGE)
    requests.stalls = 0.3
    await requests.load()
    assert await requests.run(1, encode_spikes([[4]])) == encode_spikes([[4]])
    await requests.hello(3)


@cocotb.test()
async def spikes(dut: Any) -> None:
    """Coded spikes cut anywhere, long gaps, recorded ranges, and pauses for want of room."""
    requests = await Requests.start(dut, stalls=0.2)
    for lines in ([0], [263], [1, 299], [253], [254], [0, 254], [0, 255], [7, 8, 262]):
        coded = encode_spikes([lines])
        for cut in range(len(coded)):
            await requests.run(0, coded[:cut])
            want = {line for line in lines if line < SPEC.neurons}
            want |= set(range(BURST if max(lines) >= SPEC.neurons else 0))
            assert await requests.run(1, coded[cut:]) == encode_spikes([sorted(want)])[:58]
            while await requests.run(0, b""):
                pass
    # More timesteps than bytes; a part for the timestep after; CLEAR forgets it.
    await requests.run(5, encode_spikes([[1], [2]]) + b"\x03")
    await requests.run(2, encode_spikes([[1], [2]]) + b"\x03")
    await requests.run(0, b"\x04")
    await requests.run(1, b"")
    await requests.run(0, b"\x05")
    await requests.ask(Command.CLEAR)
    assert await requests.run(1, b"\x02\xff") == b"\x02\xff"
    for first, count in ((1, 1), (32, 1), (0, 0), (33, 0), (5, 20), (0, 33)):
        await requests.ask(Command.RECORD, first, count)
        await requests.run(1, encode_spikes([[8, 15, 16, 39, 40, 199, 200, 256, 263]]))


@cocotb.test()
async def pauses(dut: Any) -> None:
    """Dense spikes fill the ring; a paused run has taken nothing of what it did not run."""
    requests = await Requests.start(dut)
    left = [[SPEC.neurons + k] for k in range(18)]
    pauses = 0
    while left:
        before = requests.timestep
        await requests.run(len(left), encode_spikes(left), Status.OK if pauses else Status.PAUSED)
        left = left[requests.timestep - before :]
        pauses += 1
        while await requests.run(0, b""):
            pass
    assert pauses == 2
    # Timesteps without a spike take room too.
    await requests.run(2 * ring_bytes(SPEC), b"", Status.PAUSED)
    while await requests.run(0, b""):
        pass
    await requests.run(1, encode_spikes([[9]]))


async def _pace(requests: Requests, period: int) -> None:
    await requests.ask(Command.PACE, period)
    requests.steps.clear()


def _ticks(requests: Requests, period: int) -> list[int]:
    """Ticks from each timestep of a timeline to the next, which must begin on one."""
    distances = np.diff(requests.steps)
    assert not (distances % period).any(), distances
    return [int(ticks) for ticks in distances // period]


@cocotb.test()
async def paced(dut: Any) -> None:
    """Timesteps begin on ticks, to the cycle, and overruns of every kind are as the model has."""
    requests = await Requests.start(dut)
    one, period = encode_spikes([[5]]), 2000

    async def counter(name: str) -> int:
        content = await requests.ask(Command.COUNTERS)
        return int(REPLY_PAYLOADS[Command.COUNTERS].unpack(content)[name][0])

    # In time: in one RUN and in several.
    await _pace(requests, period)
    await requests.run(3, one)
    await requests.run(2, one)
    assert _ticks(requests, period) == [1] * 4
    assert await counter("overruns") == 0
    # The host is late; it is never late for the first timestep, nor after the last.
    await requests.idle_until(requests.steps[-1] + 3 * period + period // 2)
    await requests.run(2, one)
    assert _ticks(requests, period)[4:] == [4, 1]
    await requests.idle_until(requests.cycle + 5 * period)
    assert await counter("overruns") == 3
    await requests.ask(Command.CLEAR)
    requests.timestep = 0
    requests.steps.clear()
    await requests.run(2, one)
    assert _ticks(requests, period) == [1]
    assert await counter("overruns") == 3
    # A period shorter than the timestep; a longer one again; a session without any.
    before = await counter("cycles")
    await requests.run(1, b"")
    short = await counter("cycles") - before - 5
    await _pace(requests, short)
    await requests.run(6, b"")
    assert _ticks(requests, short) == [2] * 5
    assert await counter("overruns") == 8
    await requests.hello(9)
    requests.steps.clear()
    await requests.run(6, b"")
    assert max(np.diff(requests.steps)) < 2 * short
    assert await counter("overruns") == 8
    # Spikes out have no room.
    await _pace(requests, 3 * period)
    left = [[SPEC.neurons + k] for k in range(18)]
    await requests.run(18, encode_spikes(left), Status.PAUSED)
    ran = len(requests.steps)
    await requests.idle_until(requests.steps[-1] + 15 * period)
    while await requests.run(0, b""):
        pass
    await requests.run(18 - ran, encode_spikes(left[ran:]))
    assert _ticks(requests, 3 * period) == [1] * (ran - 1) + [5 + 1] + [1] * (17 - ran)
    assert await counter("overruns") == 13
    for wrong in (1, 31, 1 << LINK.period_bits, (1 << 32) - 1):
        await requests.ask(Command.PACE, wrong, status=Status.BAD_PERIOD)


@cocotb.test()
async def anything(dut: Any) -> None:
    """Random requests, repeated, out of order and malformed, with stalls everywhere."""
    requests = await Requests.start(dut, seed=3, stalls=0.1)
    rng = requests.rng
    slots = index_width(SPEC.neurons)
    for _ in range(200):
        kind = int(rng.integers(8))
        if kind < 4:
            lines = [
                np.flatnonzero(rng.random(SPEC.axons) < rng.choice([0.0, 0.01, 0.05])).tolist()
                for _ in range(int(rng.integers(4)))
            ]
            coded = encode_spikes(lines)[: LINK.max_payload - 6]
            await requests.run(int(rng.integers(5)), coded, None)
        elif kind == 4:
            region = int(rng.choice([Region.WEIGHTS, Region.STATE, Region.ACCUMULATORS, 2]))
            index, count = int(rng.integers(1 << slots)), int(rng.integers(20))
            await requests.raw(Command.READ, payload(Command.READ, region, index, count), None)
        elif kind == 5:
            first, count = int(rng.integers(SPEC.groups)), int(rng.integers(SPEC.groups))
            await requests.raw(Command.RECORD, payload(Command.RECORD, first, count), None)
        elif kind == 6:
            command = Command(int(rng.choice([Command.COUNTERS, Command.CLEAR, Command.WRITE])))
            await requests.raw(command, rng.bytes(int(rng.integers(2))), None)
        else:
            sequence = requests.expected + int(rng.integers(-LINK.window - 1, 3))
            if sequence % SEQUENCES != requests.expected:
                await requests.request(sequence, Command.COUNTERS)
