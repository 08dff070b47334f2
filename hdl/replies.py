"""The payloads of replies: fixed heads, and coded spikes."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from spikewright.frames import (
    HELLO_NONE,
    ID_SIZE,
    PROTOCOL_VERSION,
    REPLY_PAYLOADS,
    RUNS,
    Command,
    LinkSpec,
    ring_bytes,
)
from spikewright.spec import CoreSpec

from .counters import CounterPort
from .layouts import struct

__all__ = ["ReplyWriter"]

_HELLO = struct(REPLY_PAYLOADS[Command.HELLO])
_RUN = struct(REPLY_PAYLOADS[Command.RUN])


class ReplyWriter(wiring.Component):
    """Write the payload of a reply to HELLO, COUNTERS, RUN or LEARN, three cycles a byte.

    Parameters
    ----------
    spec : CoreSpec
    link : LinkSpec
    build_id : bytes
        ``ID_SIZE`` bytes.

    Members
    -------
    start : In(1)
        Write. Only when done.
    command : In
        Of the reply, from a cycle before ``start``. All inputs must hold until done.
    done : Out(1)
        Nothing is being written.
    first, image_valid, image_id, timestep : In
        What the heads say, besides constants.
    counters : Out
        :class:`CounterPort`.
    i_spikes, level : In(stream), In
        Coded spikes, and how many bytes of them wait; a RUN's reply takes as many as fit.
    o : Out(stream), 8 bits
        The payload.
    """

    def __init__(self, spec: CoreSpec, link: LinkSpec, *, build_id: bytes) -> None:
        if len(build_id) != ID_SIZE:
            raise ValueError(f"build_id must be {ID_SIZE} bytes, not {len(build_id)}")
        self._most = link.max_payload - REPLY_PAYLOADS[Command.RUN].size
        self._constants = {
            "protocol": PROTOCOL_VERSION,
            "window": link.window,
            "max_payload": link.max_payload,
            "spec_hash": int.from_bytes(bytes.fromhex(spec.hash)[:ID_SIZE], "little"),
            "build_id": int.from_bytes(build_id, "little"),
            "clock_hz": link.clock_hz,
        }
        super().__init__({
            "start": In(1),
            "command": In(8),
            "done": Out(1),
            "first": In(_HELLO["first"].shape),
            "image_valid": In(1),
            "image_id": In(_HELLO["image_id"].shape),
            "timestep": In(_RUN["timestep"].shape),
            "counters": Out(CounterPort()),
            "i_spikes": In(stream.Signature(8)),
            "level": In(range(ring_bytes(spec) + 1)),
            "o": Out(stream.Signature(8)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        position = Signal(range(max(layout.size for layout in REPLY_PAYLOADS.values())))
        rest = Signal(range(self._most + 1))
        byte, is_last = self._head(m, position)
        is_counters = self.command == Command.COUNTERS
        m.d.comb += self.counters.position.eq(position)
        with m.FSM() as fsm:
            with m.State("done"):
                m.d.comb += self.done.eq(1)
                m.d.sync += [
                    position.eq(0),
                    rest.eq(Mux(self.level > self._most, self._most, self.level)),
                ]
                with m.If(self.start):
                    m.next = "fetch"
            with m.State("fetch"):
                with m.If(~is_counters | self.counters.ready):
                    m.next = "head"
            with m.State("head"):
                m.d.sync += self.o.payload.eq(byte)
                m.next = "head byte"
            with m.State("head byte"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.sync += position.eq(position + 1)
                    m.next = "fetch"
                    with m.If(is_last):
                        m.next = "done"
                        with m.If(self.command.matches(*RUNS)):
                            m.next = "spikes"
            with m.State("spikes"):
                m.d.sync += self.o.payload.eq(self.i_spikes.payload)
                with m.If(rest == 0):
                    m.next = "done"
                with m.Elif(self.i_spikes.valid):
                    m.d.comb += self.i_spikes.ready.eq(1)
                    m.d.sync += rest.eq(rest - 1)
                    m.next = "spike byte"
            with m.State("spike byte"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.next = "spikes"
        m.d.comb += self.counters.read.eq(is_counters & ~fsm.ongoing("done"))
        return m

    def _head(self, m: Module, position: Signal) -> tuple[Signal, Signal]:
        """The head's byte at a position, and whether it is the last."""
        byte = Signal(8)
        is_last = Signal()
        hello = Signal(_HELLO)
        run = Signal(_RUN)
        m.d.sync += run.pending.eq(Mux(self.level > self._most, self.level - self._most, 0))
        m.d.comb += [
            *(hello[name].eq(value) for name, value in self._constants.items()),
            hello.first.eq(self.first),
            hello.image_valid.eq(self.image_valid),
            hello.image_id.eq(Mux(self.image_valid, self.image_id, HELLO_NONE)),
            hello.timestep.eq(self.timestep),
            run.timestep.eq(self.timestep),
        ]
        heads = {
            (Command.HELLO,): hello.as_value().word_select(position, 8),
            (Command.COUNTERS,): self.counters.value,
            RUNS: run.as_value().word_select(position, 8),
        }
        for commands, head_byte in heads.items():
            chosen = Signal(name=f"is_{commands[0].name.lower()}")
            m.d.sync += chosen.eq(self.command.matches(*commands))
            with m.If(chosen):
                m.d.comb += [
                    byte.eq(head_byte),
                    is_last.eq(position == REPLY_PAYLOADS[commands[0]].size - 1),
                ]
        return byte, is_last
