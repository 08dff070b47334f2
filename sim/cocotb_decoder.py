"""cocotb bench of the command processor with a core, against the device model, request by request.

The core holds an echo: neuron n spikes in the timesteps in which axon n does, and the first
``_BURST`` neurons in those in which an axon past the last neuron does.
"""

from typing import Any

import cocotb
import numpy as np
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from cocotb.triggers import FallingEdge, ReadOnly
from fastcrc import crc32

from spikewright.frames import (
    END,
    ID_SIZE,
    REPLY,
    REQUEST,
    REQUEST_PAYLOADS,
    SKIP,
    Command,
    LinkSpec,
    Status,
)
from spikewright.hdl.core import Core
from spikewright.hdl.counters import Counters
from spikewright.hdl.decoder import CommandDecoder
from spikewright.hdl.spikes import ring_bytes
from spikewright.hdl.transmitter import Reply
from spikewright.image import CoreImage
from spikewright.spec import CoreSpec, Region, index_width

from .cocotb_host import decode_body, encode_frame, encode_spikes, payload
from .cocotb_streams import reset
from .device_model import DeviceModel

__all__ = ["LINK", "SPEC", "Executor"]

LINK = LinkSpec(max_payload=64, window=4)
SPEC = CoreSpec(
    axons=300,
    neurons=264,
    lanes=8,
    state_bits=12,
    fraction_bits=0,
    refractory_bits=0,
    synapse_current=False,
    decay="shift",
    weight_words=16,
)
_BURST = 64
_PATIENCE = 200_000
_STREAMS = ("i_frame", "i", "end", "mark", "rewind", "sequence", "o", "o_send", "locked")


class Executor(wiring.Component):
    """A command processor with core and counters; ``spikes_en`` low stalls the axon spikes."""

    def __init__(self) -> None:
        self._decoder = CommandDecoder(SPEC, LINK, build_id=bytes(ID_SIZE))
        members = self._decoder.signature.members
        super().__init__({name: members[name] for name in _STREAMS} | {"spikes_en": In(1)})

    def elaborate(self, platform: object) -> Module:
        """Wire everything as the whole device does, but for the gate."""
        m = Module()
        m.submodules.decoder = decoder = self._decoder
        m.submodules.core = core = Core(SPEC)
        m.submodules.counters = counters = Counters(SPEC)
        for name in ("i_frame", "i", "o", "o_send"):
            wiring.connect(m, getattr(decoder, name), wiring.flipped(getattr(self, name)))
        wiring.connect(m, decoder.host, core.host)
        wiring.connect(m, decoder.counters, counters.port)
        m.d.comb += [
            decoder.end.eq(self.end),
            decoder.locked.eq(self.locked),
            self.mark.eq(decoder.mark),
            self.rewind.eq(decoder.rewind),
            self.sequence.eq(decoder.sequence),
            core.i_spikes.payload.eq(decoder.o_spikes.payload),
            core.i_spikes.valid.eq(decoder.o_spikes.valid & self.spikes_en),
            decoder.o_spikes.ready.eq(core.i_spikes.ready & self.spikes_en),
            core.step.eq(decoder.step),
            core.clear.eq(decoder.clear),
            decoder.busy.eq(core.busy),
            decoder.spikes.eq(core.spikes),
            counters.step.eq(decoder.step),
            counters.axon.eq(core.i_spikes.valid & core.i_spikes.ready),
            counters.cycle.eq(core.events.cycle),
            counters.synapses.eq(core.events.synapses),
            counters.saturated.eq(core.events.saturated),
            counters.spikes.eq(core.spikes.mask & core.spikes.en.replicate(SPEC.lanes)),
        ]
        return m


def _echo() -> CoreImage:
    sources = np.arange(SPEC.sources)
    echoes = sources < SPEC.neurons
    bursts = ~echoes & (sources < SPEC.axons)
    words = _BURST // SPEC.lanes
    return CoreImage(
        spec=SPEC,
        weights=np.vstack([np.eye(SPEC.lanes, dtype=np.int16), np.ones((words, SPEC.lanes), int)]),
        delays=np.zeros((SPEC.lanes + words, SPEC.lanes), np.uint8),
        first_word=np.where(echoes, sources % SPEC.lanes, SPEC.lanes),
        word_count=echoes + words * bursts,
        first_group=sources // SPEC.lanes * echoes,
        level_groups=np.array([SPEC.groups]),
        a_mem=np.zeros(SPEC.neurons, np.uint16),
        a_syn=np.zeros(SPEC.neurons, np.uint16),
        bias=np.zeros(SPEC.neurons, np.int32),
        v_threshold=np.zeros(SPEC.neurons, np.int32),
        reset=np.zeros(SPEC.neurons, np.int32),
        reset_to=np.ones(SPEC.neurons, np.uint8),
        refractory=np.zeros(SPEC.neurons, np.uint8),
    )


class Requests:
    """Stands for receiver and transmitter, and compares each reply with the device model's."""

    def __init__(self, dut: Any, seed: int) -> None:
        self.dut = dut
        self.rng = np.random.default_rng(seed)
        self.model = DeviceModel(SPEC, LINK, room=ring_bytes(SPEC))
        self.image = _echo()
        self.kept: dict[int, bytes] = {}
        self.expected = 0
        self.timestep = 0
        self.has_image = False
        self.stalls = 0.0

    @classmethod
    async def start(cls, dut: Any, *, seed: int = 1, stalls: float = 0.0) -> "Requests":
        """Reset, open a session and load the echo."""
        requests = cls(dut, seed)
        await reset(
            dut, "i_frame__valid", "i__valid", "o__ready", "o_send__ready", "locked", "spikes_en"
        )
        await requests.ask(Command.HELLO, 1)
        await requests.load()
        requests.stalls = stalls
        return requests

    def _stalled(self) -> bool:
        return bool(self.rng.random() < self.stalls)

    async def execute(self, body: bytes) -> bytes:
        """Have a request executed; the body of its reply."""
        dut = self.dut
        content, written = body[REQUEST.size :], bytearray()
        position = marked = 0
        length = len(content) << 8 * REQUEST.size
        dut.i_frame__payload.value = int.from_bytes(body[: REQUEST.size], "little") | length
        dut.i_frame__valid.value = 1
        locked = int(self.rng.integers(9)) if self.stalls else 0
        offered = False
        for cycle in range(_PATIENCE):
            offered = position < len(content) and (offered or not self._stalled())
            dut.i__valid.value = int(offered)
            if offered:
                dut.i__payload.value = content[position]
            dut.end.value = int(position == len(content))
            dut.o__ready.value = int(not self._stalled())
            dut.o_send__ready.value = int(not self._stalled())
            dut.spikes_en.value = int(not self._stalled())
            dut.locked.value = int(cycle < 4 * locked)
            await ReadOnly()
            if dut.o__valid.value and dut.o__ready.value:
                written.append(int(dut.o__payload.value))
            taken = bool(offered and dut.i__ready.value)
            marked = position if dut.mark.value else marked
            rewound = bool(dut.rewind.value)
            assert not (taken and (rewound or dut.mark.value))
            done = bool(dut.o_send__valid.value and dut.o_send__ready.value)
            send, sequence = int(dut.o_send__payload.value), int(dut.sequence.value)
            assert bool(dut.i_frame__ready.value) == done
            await FallingEdge(dut.clk)
            position = marked if rewound else position + taken
            offered &= not taken and not rewound
            if done:
                dut.i_frame__valid.value = 0
                dut.i__valid.value = 0
                return self._reply(send, sequence, bytes(written))
        raise AssertionError(f"no reply to {body.hex()}")

    def _reply(self, send: int, sequence: int, written: bytes) -> bytes:
        kind = Reply(send & 3)
        command, status, refusal = (send >> 2).to_bytes(3, "little")
        if kind is Reply.NEW:
            body = bytes([sequence, command, status]) + written
            self.kept[sequence % LINK.window] = body
            return body
        assert not written
        if kind is Reply.AGAIN:
            return self.kept[sequence % LINK.window]
        return bytes([sequence, command, status, refusal])

    async def request(self, sequence: int, command: int, content: bytes = b"") -> bytes:
        """Send a request to both; the reply, which must be the same."""
        body = bytes([sequence % 256, command]) + content
        want = decode_body(self.model.exchange(encode_frame(body))[:-1])
        got = await self.execute(body)
        readable = command != Command.READ or content[:1] == bytes([Region.WEIGHTS])
        if readable or self.has_image:
            assert got == want, f"{Command(command)!r} {content.hex()}: {got.hex()}, {want.hex()}"
        else:
            # What the memories hold without an image is nobody's business.
            assert got[: REPLY.size] == want[: REPLY.size]
            assert len(got) == len(want)
        return got

    async def ask(
        self, command: int, *values: int, rest: bytes = b"", status: Status = Status.OK
    ) -> bytes:
        """Send the next well-formed request; what its reply carries."""
        return await self.raw(command, payload(Command(command), *values, rest=rest), status)

    async def raw(self, command: int, content: bytes, status: Status | None) -> bytes:
        """Send the next request, maybe malformed; what its reply carries."""
        reply = await self.request(self.expected, command, content)
        assert reply[0] == self.expected
        assert status is None or reply[2] == status, Status(reply[2])
        self.expected = (self.expected + 1) % 256
        if reply[2] == Status.OK and command in (Command.BEGIN, Command.COMMIT, Command.CLEAR):
            self.timestep = 0
            self.has_image = command == Command.COMMIT or (
                self.has_image and command == Command.CLEAR
            )
        return reply[REPLY.size :]

    async def load(self) -> None:
        """Load the echo."""
        room = LINK.max_payload - REQUEST_PAYLOADS[Command.WRITE].size
        await self.ask(Command.BEGIN)
        sent = bytearray()
        for region, records in self.image.records.items():
            count = room // records.shape[1]
            for first in range(0, len(records), count):
                data = records[first : first + count].tobytes()
                await self.ask(Command.WRITE, region, first, rest=data)
                sent += payload(Command.WRITE, region, first, rest=data)
        await self.ask(Command.COMMIT, 0x1234, len(sent), crc32.iscsi(bytes(sent)))

    async def run(self, count: int, rest: bytes, status: Status | None = Status.OK) -> bytes:
        """Run timesteps; the coded spikes that came."""
        reply = await self.raw(
            Command.RUN, payload(Command.RUN, self.timestep, count, rest=rest), status
        )
        self.timestep = int.from_bytes(reply[:4], "little")
        return reply[6:]


@cocotb.test()
async def sequence_numbers(dut: Any) -> None:
    """Order, repetition, gaps, sessions and the wrap, as the model has them."""
    requests = Requests(dut, 1)
    await reset(dut, "i_frame__valid", "i__valid", "locked", "spikes_en")
    hello = REQUEST_PAYLOADS[Command.HELLO].size
    for sequence in (0, 1, 255):
        await requests.request(sequence, Command.COUNTERS)
    await requests.request(0, Command.HELLO, bytes(hello - 1))
    for first in (254, 254, 7, 0):
        nonce = requests.rng.bytes(hello)
        await requests.request(first, Command.HELLO, nonce)
        await requests.request(first, Command.HELLO, nonce)
        for offset in range(1, 2 * LINK.window):
            await requests.request(first + offset, Command.COUNTERS)
            for near in range(-LINK.window - 2, 4):
                if near != 1:
                    await requests.request(first + offset + near, Command.COUNTERS)
            await requests.request(first, Command.HELLO, nonce)
            await requests.request(first + offset + 1 - 128, Command.HELLO, bytes(hello + 1))
    await requests.request(99, Command.HELLO, bytes(range(hello)))
    for sequence in range(100, 100 + 256 + LINK.window):
        await requests.request(sequence, 0x77)
    await requests.request(99, Command.HELLO, bytes(range(hello)))


@cocotb.test()
async def malformed(dut: Any) -> None:
    """Every command too short and too long, and values out of range: a status, and no harm."""
    requests = await Requests.start(dut)
    await requests.run(2, encode_spikes([[1, 2], [3]]))
    for command, layout in REQUEST_PAYLOADS.items():
        is_open = command in (Command.WRITE, Command.RUN)
        for size in {0, 1, layout.size - 1, *(() if is_open else (layout.size + 1, 64))}:
            if 0 <= size != layout.size:
                content = requests.rng.bytes(size)
                await requests.raw(command, content, Status.BAD_LENGTH)
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
    await requests.ask(Command.CLEAR)
    await requests.ask(Command.COUNTERS)


@cocotb.test()
async def records(dut: Any) -> None:
    """Every region, written and read up to its last record and past it, and no byte too many."""
    requests = await Requests.start(dut)
    await requests.ask(Command.BEGIN)
    for code in (*Region, len(Region), 0xFF):
        memory = SPEC.memories[Region(code)] if code in list(Region) else None
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
    await requests.ask(Command.HELLO, 2)
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
    await requests.ask(Command.HELLO, 3)


@cocotb.test()
async def spikes(dut: Any) -> None:
    """Coded spikes cut anywhere, long gaps, recorded ranges, and pauses for want of room."""
    requests = await Requests.start(dut, stalls=0.2)
    for lines in ([0], [263], [1, 299], [253], [254], [0, 254], [0, 255], [7, 8, 262]):
        coded = encode_spikes([lines])
        for cut in range(len(coded)):
            await requests.run(0, coded[:cut])
            want = {line for line in lines if line < SPEC.neurons}
            want |= set(range(_BURST if max(lines) >= SPEC.neurons else 0))
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
    await requests.run(1, b"")
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
            if sequence % 256 != requests.expected:
                await requests.request(sequence, Command.COUNTERS)
