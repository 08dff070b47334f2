"""The 32-bit counters of the link's table."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from spikewright.frames import COUNTERS, MOST_MISSED, REPLY_PAYLOADS, Command
from spikewright.spec import CoreSpec

from .timer import MISSED

__all__ = ["CounterPort", "Counters"]

_SIZE = REPLY_PAYLOADS[Command.COUNTERS].size
_HALVES = 2
"""Words of the memory that a counter takes; they are added to one after the other."""
_WORD = 8 * _SIZE // (_HALVES * len(COUNTERS))


class CounterPort(wiring.Signature):
    """Reading counters, from the reader's side.

    Members
    -------
    read : Out(1)
        Nothing more is counted, to read bytes that belong together. What happens meanwhile waits;
        that may be an ``error`` now and then, but nothing else.
    position : Out
        Byte, in the order of the COUNTERS reply.
    ready : In(1)
        All that happened before ``read`` is counted: within two rounds.
    value : In(8)
        The byte, a cycle after ``position``, while ``ready``.
    """

    def __init__(self) -> None:
        super().__init__({
            "read": Out(1),
            "position": Out(range(_SIZE)),
            "ready": In(1),
            "value": In(8),
        })


class Counters(wiring.Component):
    """Count from reset, modulo ``2**32``.

    The counters stand in a memory, by halves, and a slot comes round for each half, in which what
    happened since its last slot is added: a quarter of the logic of registers with adders of their
    own and a multiplexer to read them.

    Parameters
    ----------
    spec : CoreSpec

    Members
    -------
    step : In(1)
        A timestep starts.
    cycle : In(1)
        This cycle belongs to a timestep.
    axon : In(1)
        An axon spike was taken.
    spikes, synapses, saturated : In
        Lanes that spiked, got a nonzero weight, or were clamped.
    error : In(1)
        A frame was dropped.
    i_missed : In(stream)
        Missed ticks, for ``overruns``; taken once a round.
    port : In
        :class:`CounterPort`; a round is two cycles for each counter and two more.
    """

    def __init__(self, spec: CoreSpec) -> None:
        super().__init__({
            "step": In(1),
            "cycle": In(1),
            "axon": In(1),
            "spikes": In(spec.lanes),
            "synapses": In(spec.lanes),
            "saturated": In(spec.update_lanes),
            "error": In(1),
            "i_missed": In(stream.Signature(MISSED)),
            "port": In(CounterPort()),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lines = (
            self.step,
            self.cycle,
            self.axon,
            self.spikes,
            self.synapses,
            self.saturated,
            self.error,
        )
        words = _HALVES * len(COUNTERS)
        m.submodules.memory = memory = Memory(shape=_WORD, depth=words, init=[])
        w_port, r_port = memory.write_port(), memory.read_port()
        # A slot has three stages: address, the memory's output, sum. The last ones are of no word.
        last = words + _HALVES - 1
        slot = Signal(range(last + 1))
        fetched = Signal.like(slot)
        summed = Signal.like(slot)
        first_round = Signal(init=1)
        was_read = Signal()
        is_odd = Signal()
        most = max(max(map(len, lines)) * (last + 2), MOST_MISSED)
        grown = Signal(range(most + 1))
        old = Signal(_WORD)
        total = Signal(_WORD + 1)
        m.d.comb += [
            r_port.addr.eq(Mux(self.port.ready, self.port.position[1:], slot)),
            total.eq(old + grown),
            w_port.addr.eq(summed),
            w_port.data.eq(total),
            w_port.en.eq((summed < words) & ~self.port.ready),
            self.port.value.eq(r_port.data.word_select(is_odd, 8)),
        ]
        m.d.sync += [
            slot.eq(Mux(slot == last, 0, slot + 1)),
            fetched.eq(slot),
            summed.eq(fetched),
            old.eq(Mux(first_round, 0, r_port.data)),
            is_odd.eq(self.port.position[0]),
            grown.eq(total[_WORD:]),  # the high half is given the low one's carry
        ]
        with m.If(fetched == last):
            # Counting stops and goes on between rounds, a whole one after `read` at the earliest.
            m.d.sync += [
                first_round.eq(0),
                was_read.eq(self.port.read),
                self.port.ready.eq(self.port.read & was_read),
            ]
        *names, _ = COUNTERS
        for k, (name, line) in enumerate(zip(names, lines, strict=True)):
            seen = Signal(len(line), name=f"{name}_seen")
            count = Signal(range(len(line) + 1), name=f"{name}_count")
            waiting = Signal(range(len(line) * (last + 2) + 1), name=f"{name}_waiting")
            m.d.sync += [seen.eq(line), count.eq(_ones(seen)), waiting.eq(waiting + count)]
            with m.If((fetched == _HALVES * k) & ~self.port.ready):
                m.d.sync += [grown.eq(waiting), waiting.eq(count)]
        is_last = fetched == _HALVES * COUNTERS.index("overruns")
        m.d.comb += self.i_missed.ready.eq(is_last & ~self.port.ready)
        with m.If(self.i_missed.ready):
            m.d.sync += grown.eq(Mux(self.i_missed.valid, self.i_missed.payload, 0))
        return m


def _ones(bits: Value) -> Value:
    """Count ones, as a balanced tree of adders."""
    if len(bits) == 1:
        return bits
    half = len(bits) // 2
    return _ones(bits[:half]) + _ones(bits[half:])
