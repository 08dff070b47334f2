"""Fixed heads of replies, byte by byte."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from spikewright.frames import (
    COUNTERS,
    HELLO_NONE,
    ID_SIZE,
    PROTOCOL_VERSION,
    REPLY_PAYLOADS,
    Command,
    LinkSpec,
)
from spikewright.spec import CoreSpec

from .layouts import struct

__all__ = ["ReplyHead"]

_HELLO = struct(REPLY_PAYLOADS[Command.HELLO])
_RUN = struct(REPLY_PAYLOADS[Command.RUN])
_COUNTER = struct(REPLY_PAYLOADS[Command.COUNTERS])[COUNTERS[0]].shape


class ReplyHead(wiring.Component):
    """Select a byte of a reply's fixed head, combinationally.

    Parameters
    ----------
    spec : CoreSpec
    link : LinkSpec
    build_id : bytes
        ``ID_SIZE`` bytes.

    Members
    -------
    command : In
        HELLO, COUNTERS or RUN; the others' replies have no head.
    position : In
        Of the byte.
    nonce, image_valid, image_id, timestep, pending, counter : In
        What the heads say, besides constants; ``counter`` is the one that ``position`` is in.
    byte : Out(8)
    last : Out(1)
        It is the last of the head.
    """

    def __init__(self, spec: CoreSpec, link: LinkSpec, *, build_id: bytes) -> None:
        self._constants = {
            "protocol": PROTOCOL_VERSION,
            "window": link.window,
            "max_payload": link.max_payload,
            "spec_hash": int.from_bytes(bytes.fromhex(spec.hash)[:ID_SIZE], "little"),
            "build_id": int.from_bytes(build_id, "little"),
        }
        longest = max(layout.size for layout in REPLY_PAYLOADS.values())
        super().__init__({
            "command": In(8),
            "position": In(range(longest)),
            "nonce": In(_HELLO["nonce"].shape),
            "image_valid": In(1),
            "image_id": In(_HELLO["image_id"].shape),
            "timestep": In(_RUN["timestep"].shape),
            "pending": In(_RUN["pending"].shape),
            "counter": In(_COUNTER),
            "byte": Out(8),
            "last": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        hello = Signal(_HELLO)
        run = Signal(_RUN)
        m.d.comb += [
            *(hello[name].eq(value) for name, value in self._constants.items()),
            hello.nonce.eq(self.nonce),
            hello.image_valid.eq(self.image_valid),
            hello.image_id.eq(Mux(self.image_valid, self.image_id, HELLO_NONE)),
            hello.timestep.eq(self.timestep),
            run.timestep.eq(self.timestep),
            run.pending.eq(self.pending),
        ]
        heads = {
            Command.HELLO: hello.as_value(),
            Command.COUNTERS: self.counter.replicate(len(COUNTERS)),
            Command.RUN: run.as_value(),
        }
        with m.Switch(self.command):
            for command, head in heads.items():
                with m.Case(command):
                    m.d.comb += [
                        self.byte.eq(head.word_select(self.position, 8)),
                        self.last.eq(self.position == REPLY_PAYLOADS[command].size - 1),
                    ]
        return m
