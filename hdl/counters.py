"""The 32-bit counters of the link's table."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from spikewright.frames import COUNTERS, REPLY_PAYLOADS, Command
from spikewright.spec import CoreSpec, index_width

from .layouts import struct

__all__ = ["CounterPort", "Counters"]

_WIDTH = struct(REPLY_PAYLOADS[Command.COUNTERS])[COUNTERS[0]].width


class CounterPort(wiring.Signature):
    """Reading counters, from the reader's side.

    Members
    -------
    index : Out
        Counter, in the order of the COUNTERS reply; ``len(COUNTERS)`` while none is read.
    value, ready : In
        Its value, once ``ready``: within two rounds after a change of ``index``, read after it, and
        the same until the next change.
    """

    def __init__(self) -> None:
        super().__init__({
            "index": Out(index_width(len(COUNTERS) + 1)),
            "value": In(_WIDTH),
            "ready": In(1),
        })


class Counters(wiring.Component):
    """Count from reset, modulo ``2**32``.

    The counters stand in a memory. A slot comes round for each, in which what happened since its
    last slot is added; one more slot is for reading. That takes half the logic of registers with
    adders of their own and a multiplexer to read them.

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
    port : In
        :class:`CounterPort`; a round is one cycle for each counter and one more, and an event shows
        after two rounds at most.
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
        m.submodules.memory = memory = Memory(shape=_WIDTH, depth=len(COUNTERS), init=[])
        w_port = memory.write_port()
        r_port = memory.read_port(transparent_for=(w_port,))
        last = len(COUNTERS)
        # A slot has three stages: address, the memory's output, sum. The last slot reads.
        slot = Signal(range(last + 1))
        fetched = Signal.like(slot)
        summed = Signal.like(slot)
        asked = Signal.like(self.port.index)
        shown = Signal.like(self.port.index)
        first_round = Signal(init=1)
        old = Signal(_WIDTH)
        grown = Signal(range((last + 1) * len(self.synapses) + 1))
        m.d.comb += [
            r_port.addr.eq(Mux(slot == last, self.port.index, slot)),
            w_port.addr.eq(summed),
            w_port.data.eq(old + grown),
            w_port.en.eq(summed != last),
            self.port.ready.eq(shown == self.port.index),
        ]
        m.d.sync += [
            slot.eq(Mux(slot == last, 0, slot + 1)),
            fetched.eq(slot),
            summed.eq(fetched),
            old.eq(Mux(first_round, 0, r_port.data)),
        ]
        with m.If(slot == last):
            m.d.sync += asked.eq(self.port.index)
        with m.If(fetched == last):
            m.d.sync += first_round.eq(0)
            with m.If(~self.port.ready):
                m.d.sync += [self.port.value.eq(r_port.data), shown.eq(asked)]
        for k, (name, line) in enumerate(zip(COUNTERS, lines, strict=True)):
            seen = Signal(len(line), name=f"{name}_seen")
            count = Signal(range(len(line) + 1), name=f"{name}_count")
            waiting = Signal(range(len(line) * (last + 1) + 1), name=f"{name}_waiting")
            m.d.sync += [seen.eq(line), count.eq(_ones(seen)), waiting.eq(waiting + count)]
            with m.If(fetched == k):
                m.d.sync += [grown.eq(waiting), waiting.eq(count)]
        return m


def _ones(bits: Value) -> Value:
    """Count ones, as a balanced tree of adders."""
    if len(bits) == 1:
        return bits
    half = len(bits) // 2
    return _ones(bits[:half]) + _ones(bits[half:])
