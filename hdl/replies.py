"""The payloads of replies: fixed heads, and coded spikes."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import enum, stream, wiring
from amaranth.lib.wiring import In, Out

from spikewright.frames import (
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

__all__ = ["RUN_PLACE", "Payload", "ReplyWriter"]

_SIZES = {command: layout.size for command, layout in REPLY_PAYLOADS.items()}


def _places() -> dict[str, range]:
    """Where in HELLO's head its fields are, and RUN's ``pending`` behind them."""
    places = {}
    end = 0
    for field in (*REPLY_PAYLOADS[Command.HELLO].fields, REPLY_PAYLOADS[Command.RUN].fields[-1]):
        places[field.name] = range(end, end + field.width // 8)
        end += field.width // 8
    return places


_PLACES = _places()
RUN_PLACE = _PLACES["timestep"].start
"""RUN's head is the timestep, with which HELLO's ends, and ``pending``."""


class Payload(enum.Enum, shape=2):
    """What follows the header of a reply."""

    NONE = 0
    HEAD = 1
    """What :class:`ReplyWriter` writes."""
    RECORDS = 2
    EXPECTED = 3
    """The expected number."""


class ReplyWriter(wiring.Component):
    """Write the payload of a reply to HELLO, COUNTERS, RUN or LEARN, two cycles a byte.

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
    first, image_id, timestep : In(8)
        Bytes of what the heads say, besides constants and ``image_valid``, lowest first.
    turn_first, turn_image_id, turn_timestep : Out(1)
        Go on to the next byte of it, as often as it has bytes.
    image_valid : In(1)
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
            "protocol": bytes([PROTOCOL_VERSION]),
            "window": bytes([link.window]),
            "max_payload": link.max_payload.to_bytes(2, "little"),
            "spec_hash": bytes.fromhex(spec.hash)[:ID_SIZE],
            "build_id": build_id,
            "clock_hz": link.clock_hz.to_bytes(4, "little"),
        }
        super().__init__({
            "start": In(1),
            "command": In(8),
            "done": Out(1),
            "first": In(8),
            "turn_first": Out(1),
            "image_valid": In(1),
            "image_id": In(8),
            "turn_image_id": Out(1),
            "timestep": In(8),
            "turn_timestep": Out(1),
            "counters": Out(CounterPort()),
            "i_spikes": In(stream.Signature(8)),
            "level": In(range(ring_bytes(spec) + 1)),
            "o": Out(stream.Signature(8)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        runs = Signal()
        is_counters = Signal()
        place = Signal(range(_PLACES["pending"].stop))
        rest = Signal(range(self._most + 1))
        over = Signal(range(-self._most, 1 << len(self.level)))
        byte = Signal(8)
        turn = Signal()
        m.d.comb += self.counters.position.eq(place)
        m.d.sync += [
            runs.eq(self.command.matches(*RUNS)),
            is_counters.eq(self.command == Command.COUNTERS),
            over.eq(self.level - self._most),
        ]
        is_last = place == Mux(
            runs,
            _PLACES["pending"].stop - 1,
            Mux(is_counters, _SIZES[Command.COUNTERS] - 1, _SIZES[Command.HELLO] - 1),
        )
        with m.FSM() as fsm:
            with m.State("done"):
                m.d.comb += self.done.eq(1)
                m.d.sync += [
                    place.eq(Mux(runs, RUN_PLACE, 0)),
                    rest.eq(Mux(over < 0, self.level, self._most)),
                ]
                with m.If(self.start):
                    m.next = "fetch"
            with m.State("fetch"), m.If(~is_counters | self.counters.ready):
                m.next = "head"
            with m.State("head"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(byte)]
                with m.If(self.o.ready):
                    m.d.comb += turn.eq(~is_counters)
                    m.d.sync += place.eq(place + 1)
                    m.next = "fetch"
                    with m.If(is_last):
                        m.next = "done"
                        with m.If(runs):
                            m.next = "spikes"
            with m.State("spikes"):
                m.d.comb += self.o.payload.eq(self.i_spikes.payload)
                with m.If(rest == 0):
                    m.next = "done"
                with m.Else():
                    m.d.comb += [
                        self.o.valid.eq(self.i_spikes.valid),
                        self.i_spikes.ready.eq(self.o.ready),
                    ]
                    with m.If(self.i_spikes.valid & self.o.ready):
                        m.d.sync += rest.eq(rest - 1)
        m.d.comb += self.counters.read.eq(is_counters & ~fsm.ongoing("done"))
        self._head(m, place, is_counters, over, byte, turn)
        return m

    def _head(
        self,
        m: Module,
        place: Signal,
        is_counters: Signal,
        over: Signal,
        byte: Signal,
        turn: Signal,
    ) -> None:
        """The head's byte at a place; what it is of goes on with `turn`."""
        pending = Mux(over < 0, 0, over)
        with m.If(is_counters):
            m.d.comb += byte.eq(self.counters.value)
        with m.Else(), m.Switch(place):
            for name, value in self._constants.items():
                for where, constant in zip(_PLACES[name], value, strict=True):
                    with m.Case(where):
                        m.d.comb += byte.eq(constant)
            for name in ("first", "image_id", "timestep"):
                with m.Case(*_PLACES[name]):
                    m.d.comb += [
                        byte.eq(getattr(self, name)),
                        getattr(self, f"turn_{name}").eq(turn),
                    ]
            with m.Case(*_PLACES["image_valid"]):
                m.d.comb += byte.eq(self.image_valid)
            for k, where in enumerate(_PLACES["pending"]):
                with m.Case(where):
                    m.d.comb += byte.eq(pending[8 * k :][:8])
