"""The 32-bit counters of the link's table."""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from spikewright.frames import COUNTERS, REPLY_PAYLOADS, Command
from spikewright.spec import CoreSpec

from .layouts import struct

__all__ = ["Counters"]


class Counters(wiring.Component):
    """Count from power-up, modulo ``2**32``. An event shows after three cycles.

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
    hold : In(1)
        Let an ``error`` wait: the counters are being read, while no timestep runs.
    values : Out
        The counters, in the order and layout of the COUNTERS reply.
    """

    def __init__(self, spec: CoreSpec) -> None:
        super().__init__({
            "step": In(1),
            "cycle": In(1),
            "axon": In(1),
            "spikes": In(spec.lanes),
            "synapses": In(spec.lanes),
            "saturated": In(spec.lanes),
            "error": In(1),
            "hold": In(1),
            "values": Out(struct(REPLY_PAYLOADS[Command.COUNTERS])),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        error = Signal()
        m.d.sync += error.eq(self.error | (error & self.hold))
        lines = (
            self.step,
            self.cycle,
            self.axon,
            self.spikes,
            self.synapses,
            self.saturated,
            error & ~self.hold,
        )
        for name, line in zip(COUNTERS, lines, strict=True):
            seen = Signal(len(line), name=f"{name}_seen")
            count = Signal(range(len(line) + 1), name=f"{name}_count")
            value = self.values[name]
            m.d.sync += [seen.eq(line), count.eq(_ones(seen)), value.eq(value + count)]
        return m


def _ones(bits: Value) -> Value:
    """Count ones, as a balanced tree of adders."""
    if len(bits) == 1:
        return bits
    half = len(bits) // 2
    return _ones(bits[:half]) + _ones(bits[half:])
