"""What the bench of the command processor stands on: a core to command, and both ends of requests.

The core holds an echo: neuron n spikes in the timesteps in which axon n does, and the first
``BURST`` neurons in those in which an axon past the last neuron does.
"""

from typing import Any

import numpy as np
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import FallingEdge, ReadOnly
from fastcrc import crc32

from spikewright.frames import (
    ID_SIZE,
    REPLY,
    REQUEST,
    REQUEST_PAYLOADS,
    SEQUENCES,
    Command,
    LinkSpec,
    Status,
    ring_bytes,
)
from spikewright.hdl.core import Core
from spikewright.hdl.counters import Counters
from spikewright.hdl.decoder import CommandDecoder
from spikewright.hdl.top import connect_core
from spikewright.hdl.transmitter import Reply
from spikewright.image import CoreImage
from spikewright.spec import CoreSpec, Region

from .cocotb_host import decode_body, encode_frame, payload, request_body
from .cocotb_streams import reset
from .device_model import DeviceModel

__all__ = ["BURST", "LINK", "SPEC", "Executor", "Requests"]

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
BURST = 64
_PATIENCE = 200_000
_STREAMS = ("i_frame", "i", "end", "mark", "rewind", "slot", "o", "o_send", "locked")


class Executor(wiring.Component):
    """A command processor with core and counters.

    ``spikes_en`` low stalls the axon spikes, ``step`` tells of each timestep that begins.
    """

    def __init__(self) -> None:
        self._decoder = CommandDecoder(SPEC, LINK, build_id=bytes(ID_SIZE))
        members = self._decoder.signature.members
        super().__init__(
            {name: members[name] for name in _STREAMS}
            | {
                "spikes_en": In(1),
                "step": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Wire everything as the whole device does, but for the gate."""
        m = Module()
        m.submodules.decoder = decoder = self._decoder
        m.submodules.core = core = Core(SPEC)
        m.submodules.counters = counters = Counters(SPEC)
        for name in ("i_frame", "i", "o", "o_send"):
            wiring.connect(m, getattr(decoder, name), wiring.flipped(getattr(self, name)))
        connect_core(m, decoder, core, counters)
        m.d.comb += [
            decoder.end.eq(self.end),
            decoder.locked.eq(self.locked),
            self.mark.eq(decoder.mark),
            self.rewind.eq(decoder.rewind),
            self.step.eq(decoder.step),
            self.slot.eq(decoder.slot),
            core.i_spikes.payload.eq(decoder.o_spikes.payload),
            core.i_spikes.valid.eq(decoder.o_spikes.valid & self.spikes_en),
            decoder.o_spikes.ready.eq(core.i_spikes.ready & self.spikes_en),
        ]
        return m


def _echo() -> CoreImage:
    sources = np.arange(SPEC.sources)
    echoes = sources < SPEC.neurons
    bursts = ~echoes & (sources < SPEC.axons)
    words = BURST // SPEC.lanes
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
    """Stands for receiver and transmitter, and compares each reply with the device model's.

    Attributes
    ----------
    cycle : int
        Now, which is the model's time too when a request begins.
    steps : list of int
        Cycles in which timesteps began.
    """

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
        self.cycle = 0
        self.steps: list[int] = []
        self._driven: dict[str, int] = {}

    @classmethod
    async def start(cls, dut: Any, *, seed: int = 1, stalls: float = 0.0) -> "Requests":
        """Reset, open a session and load the echo."""
        requests = cls(dut, seed)
        await reset(
            dut, "i_frame__valid", "i__valid", "o__ready", "o_send__ready", "locked", "spikes_en"
        )
        await requests.hello(1)
        await requests.load()
        requests.stalls = stalls
        return requests

    def _stalled(self) -> bool:
        return bool(self.rng.random() < self.stalls)

    def _drive(self, **values: int) -> None:
        """Set inputs; those that stay cost nothing."""
        for name, value in values.items():
            if self._driven.get(name) != value:
                self._driven[name] = value
                getattr(self.dut, name).value = value

    async def execute(self, body: bytes) -> bytes:
        """Have a request executed; the body of its reply."""
        dut = self.dut
        written = bytearray()
        position, marked = 0, REQUEST.size
        self._drive(i_frame__payload=len(body), i_frame__valid=1)
        locked_cycles = 4 * int(self.rng.integers(20)) if self.stalls else 0
        offered = ended = taken = could_send = False
        for cycle in range(_PATIENCE):
            offered = position < len(body) and (offered or not self._stalled())
            ended = position == len(body) and not taken and (ended or not self._stalled())
            can_write, can_send = not self._stalled(), not self._stalled()
            is_locked = cycle < locked_cycles
            self._drive(i__valid=offered, end=ended, locked=is_locked)
            self._drive(o__ready=can_write, o_send__ready=can_send, spikes_en=not self._stalled())
            if offered:
                self._drive(i__payload=body[position])
            await ReadOnly()
            if dut.o__valid.value:
                if Reply(int(dut.o_send__payload.value)) is Reply.REFUSAL:
                    assert written or could_send, "written over a refusal that is being sent"
                else:
                    assert not is_locked, "written to a slot that is being sent"
                if can_write:
                    written.append(int(dut.o__payload.value))
            just_taken, taken = taken, bool(offered and dut.i__ready.value)
            is_marked, is_rewound = bool(dut.mark.value), bool(dut.rewind.value)
            assert not ((taken or just_taken) and (is_marked or is_rewound))
            marked = position if is_marked else marked
            if dut.step.value:
                self.steps.append(self.cycle)
            done = bool(can_send and dut.o_send__valid.value)
            assert bool(dut.i_frame__ready.value) == done
            if done:
                kind, slot = Reply(int(dut.o_send__payload.value)), int(dut.slot.value)
            could_send = can_send
            await self._clock()
            position = marked if is_rewound else position + taken
            ended &= not is_rewound
            offered &= not taken and not is_rewound
            if done:
                self._drive(i_frame__valid=0, i__valid=0)
                if kind is Reply.NEW:
                    self.kept[slot] = bytes(written)
                assert (kind is Reply.AGAIN) == (not written)
                return bytes(written) if written else self.kept[slot]
        raise AssertionError(f"no reply to {body.hex()}")

    async def _clock(self) -> None:
        await FallingEdge(self.dut.clk)
        self.cycle += 1

    async def idle_until(self, cycle: int) -> None:
        """Let time go by."""
        while self.cycle < cycle:
            await self._clock()

    async def request(self, sequence: int, command: int, content: bytes = b"") -> bytes:
        """Send a request to both; the reply, which must be the same."""
        body = request_body(sequence, command, content)
        self.model.timeline.time = max(self.model.timeline.time, self.cycle)
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
        header = REPLY.unpack(reply[: REPLY.size])
        assert header["sequence"][0] == self.expected
        got = Status(header["status"][0])
        assert status is None or got is status, got
        self.expected = (self.expected + 1) % SEQUENCES
        if got is Status.OK and command in (Command.BEGIN, Command.COMMIT, Command.CLEAR):
            self.timestep = 0
            self.has_image = command == Command.COMMIT or (
                self.has_image and command == Command.CLEAR
            )
        return reply[REPLY.size :]

    async def hello(self, sequence: int) -> None:
        """Open a session."""
        reply = await self.request(sequence, Command.HELLO)
        self.expected = int.from_bytes(reply[REPLY.size :][: REQUEST.size - 1], "little")

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
