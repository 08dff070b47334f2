"""UART, 8N1: a receiver that distrusts its line, and a transmitter."""

from amaranth.hdl import C, Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

__all__ = ["RECEIVED_BYTE", "UARTReceiver", "UARTTransmitter"]

RECEIVED_BYTE = data.StructLayout({"data": 8, "error": 1})
"""A byte from the line; ``error`` says that it is not to be trusted."""

_DATA_BITS = 8


class UARTReceiver(wiring.Component):
    """Receive bytes.

    The line passes two flip-flops. A start bit must still be low at its middle, or it was a
    glitch; every bit is sampled at its middle. A byte whose stop bit is low comes with ``error``,
    and the line must go high before the next start bit counts.

    Parameters
    ----------
    divisor : int
        Clock cycles a bit, at least 4; see :class:`LinkSpec`.

    Members
    -------
    rx : In(1)
        The line, idle high, asynchronous.
    o : Out(stream), ``data`` and ``error``
        A byte waits for one byte time; one that comes while another waits takes its place, with
        ``error``.
    active : Out(1)
        A byte is being received or waits; combinational from ``rx``.
    """

    def __init__(self, divisor: int) -> None:
        self._divisor = divisor
        super().__init__({
            "rx": In(1, init=1),
            "o": Out(stream.Signature(RECEIVED_BYTE)),
            "active": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rx = Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.rx, rx, init=1)
        timer = Signal(range(self._divisor))
        bit = Signal(range(_DATA_BITS))
        shift = Signal(_DATA_BITS)
        sample = Signal()
        m.d.comb += sample.eq(timer == 0)
        m.d.sync += timer.eq(timer - 1)
        with m.If(sample):
            m.d.sync += timer.eq(self._divisor - 1)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)

        with m.FSM() as fsm:
            with m.State("idle"):
                m.d.sync += timer.eq(self._divisor // 2 - 1)
                with m.If(~rx):
                    m.next = "start"
            with m.State("start"), m.If(sample):
                m.d.sync += bit.eq(0)
                with m.If(rx):
                    m.next = "idle"
                with m.Else():
                    m.next = "data"
            with m.State("data"), m.If(sample):
                m.d.sync += [shift.eq(Cat(shift[1:], rx)), bit.eq(bit + 1)]
                with m.If(bit == _DATA_BITS - 1):
                    m.next = "stop"
            with m.State("stop"), m.If(sample):
                m.d.sync += [
                    self.o.valid.eq(1),
                    self.o.payload.data.eq(shift),
                    self.o.payload.error.eq(~rx | (self.o.valid & ~self.o.ready)),
                ]
                m.next = "idle"
                with m.If(~rx):
                    m.next = "recover"
            with m.State("recover"), m.If(rx):
                m.next = "idle"
        m.d.comb += self.active.eq(~self.rx | ~rx | ~fsm.ongoing("idle") | self.o.valid)
        return m


class UARTTransmitter(wiring.Component):
    """Send bytes, one each ``10 * divisor + 1`` cycles.

    Parameters
    ----------
    divisor : int
        Clock cycles a bit.

    Members
    -------
    i : In(stream), 8 bits
        Ready when the line is idle.
    tx : Out(1)
        The line, idle high, from a flip-flop.
    active : Out(1)
        A byte is being sent.
    """

    def __init__(self, divisor: int) -> None:
        self._divisor = divisor
        super().__init__({
            "i": In(stream.Signature(8)),
            "tx": Out(1, init=1),
            "active": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        timer = Signal(range(self._divisor))
        left = Signal(range(_DATA_BITS + 3))
        line = Signal(_DATA_BITS + 1, init=-1)
        m.d.comb += [
            self.tx.eq(line[0]),
            self.active.eq(left != 0),
            self.i.ready.eq(~self.active),
        ]
        with m.If(~self.active), m.If(self.i.valid):
            m.d.sync += [
                line.eq(Cat(C(0, 1), self.i.payload)),
                left.eq(_DATA_BITS + 2),
                timer.eq(self._divisor - 1),
            ]
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            m.d.sync += [
                timer.eq(self._divisor - 1),
                line.eq(Cat(line[1:], C(1, 1))),
                left.eq(left - 1),
            ]
        return m
