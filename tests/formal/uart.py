# amaranth: UnusedElaboratable=no

"""The UART: bits that are right and in time, and a receiver that believes no glitch."""

from amaranth.asserts import AnyConst
from amaranth.hdl import Assert, Assume, C, Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring

from .blocks import Block, Checker, Inside, free, free_inputs

__all__ = ["GlitchChecker", "ReceiverChecker", "TransmitterChecker"]

_BITS = 10
"""Start bit, data, stop bit."""


def _frame(byte: Value) -> Value:
    return Cat(C(0, 1), byte, C(1, 1))


class TransmitterChecker(Checker):
    """Compare the line with start bit, data and stop bit in every cycle, and when it is ready.

    Parameters
    ----------
    block : Block
        Of :class:`UARTTransmitter`.
    divisor : int
    """

    def __init__(self, block: Block, *, divisor: int) -> None:
        self._divisor = divisor
        self._uart = block.load()(divisor)
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = self.begin()
        uart, divisor = self._uart, self._divisor
        free_inputs(m, uart)
        inside = Inside(uart)
        m.submodules.uart = inside.fragment
        sending = Signal()
        byte = Signal(8)
        bit = Signal(range(_BITS + 1))
        cycle = Signal(range(divisor))
        m.d.comb += [
            Assert(uart.tx == (~sending | _frame(byte).bit_select(bit, 1))),
            Assert(uart.i.ready == ~sending),
            Assert(uart.active == sending),
        ]
        with m.If(~sending):
            m.d.sync += [sending.eq(uart.i.valid), byte.eq(uart.i.payload), bit.eq(0), cycle.eq(0)]
        with m.Elif(cycle != divisor - 1):
            m.d.sync += cycle.eq(cycle + 1)
        with m.Else():
            m.d.sync += [cycle.eq(0), bit.eq(bit + 1), sending.eq(bit != _BITS - 1)]
        if self.invariants:
            with m.If(sending):
                m.d.comb += [
                    Assert(bit < _BITS),
                    Assert(inside["left"] == _BITS - bit),
                    Assert(inside["timer"] == divisor - 1 - cycle),
                    Assert(inside["line"] == (Cat(_frame(byte), C(-1, 8)) >> bit)[:9]),
                ]
            with m.Else():
                m.d.comb += Assert(inside["line"].all())
        return m


class _Receiver:
    """A receiver in a checker: its line as it sees it, and how far it is with a byte.

    Attributes
    ----------
    seen : Signal
        The line two cycles ago, which is what the state machine goes by.
    """

    def __init__(self, m: Module, uart: wiring.Component, divisor: int) -> None:
        self.inside = inside = Inside(uart)
        m.submodules.uart = inside.fragment
        entered = Signal(init=1)
        self.seen = Signal(init=1)
        m.d.sync += [entered.eq(uart.rx), self.seen.eq(entered)]
        self.is_idle = inside.ongoing("idle")
        self.at_start = inside.ongoing("start")
        self.at_data = inside.ongoing("data")
        self.at_stop = inside.ongoing("stop")
        self._half = divisor // 2
        self._divisor = divisor

    @property
    def age(self) -> Value:
        """Cycles since the start edge was seen, while it is not idle."""
        timer, bit = self.inside["timer"], self.inside["bit"]
        bits = Mux(self.at_start, 0, Mux(self.at_data, bit + 1, _BITS - 1))
        return self._half + self._divisor * bits - timer


class GlitchChecker(Checker):
    """Let the line be low for at most half a bit at a time: no byte ever comes.

    Between two such glitches the line is high for more than half a bit: two that are closer may
    look like one start bit to a receiver that samples.

    Parameters
    ----------
    block : Block
        Of :class:`UARTReceiver`.
    divisor : int
    """

    def __init__(self, block: Block, *, divisor: int) -> None:
        self._divisor = divisor
        self._uart = block.load()(divisor)
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = self.begin()
        uart, half = self._uart, self._divisor // 2
        receiver = _Receiver(m, uart, self._divisor)
        low = Signal(range(half + 1))
        high = Signal(range(half + 2), init=half + 1)
        free_inputs(m, uart)
        m.d.comb += Assert(~uart.o.valid)
        with m.If(receiver.seen):
            m.d.sync += [low.eq(0), high.eq(Mux(high == half + 1, high, high + 1))]
        with m.Else():
            m.d.comb += Assume((low < half) & ((low != 0) | (high == half + 1)))
            m.d.sync += [low.eq(low + 1), high.eq(0)]
        if self.invariants:
            m.d.comb += Assert(receiver.is_idle | receiver.at_start)
            with m.If(receiver.is_idle):
                m.d.comb += Assert(low == 0)
            with m.Else():
                age = receiver.age
                m.d.comb += [
                    Assert((age >= 1) & (age <= half)),
                    Assert((low == age) | ((low == 0) & (high < age))),
                ]
        return m


class ReceiverChecker(Checker):
    """Send bytes with a bit time that is off by up to 2 %: each comes, once, as it was sent.

    Time runs in hundredths of a cycle. Edges fall anywhere between two cycles, and bytes follow
    each other at once or after any pause. The consumer takes a byte as it comes.

    Parameters
    ----------
    block : Block
        Of :class:`UARTReceiver`.
    divisor : int
    """

    def __init__(self, block: Block, *, divisor: int) -> None:
        self._divisor = divisor
        self._uart = block.load()(divisor)
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = self.begin()
        uart = self._uart
        receiver = _Receiver(m, uart, self._divisor)
        sender = _Sender(m, self._divisor, receiver.seen)
        due = Signal()
        due_byte = Signal(8)
        wait = Signal(range(self._divisor + 2))
        m.d.comb += [uart.rx.eq(free(m, 1, "rx")), uart.o.ready.eq(1)]
        with m.If(sender.stop_begins):
            m.d.comb += Assert(~due | uart.o.valid)
            m.d.sync += [due.eq(1), due_byte.eq(sender.byte), wait.eq(0)]
        with m.Else():
            m.d.sync += [due.eq(due & ~uart.o.valid), wait.eq(wait + 1)]
        with m.If(uart.o.valid):
            m.d.comb += [
                Assert(due),
                Assert(uart.o.payload.data == due_byte),
                Assert(~uart.o.payload.error),
            ]
        with m.If(due):
            m.d.comb += Assert(wait <= self._divisor)
        if self.invariants:
            self._keep_step(m, receiver, sender, due, due_byte, wait)
        return m

    def _keep_step(
        self,
        m: Module,
        receiver: _Receiver,
        sender: "_Sender",
        due: Signal,
        due_byte: Signal,
        wait: Signal,
    ) -> None:
        """While the receiver is at a byte, the sender is at that byte, and just as far."""
        valid = self._uart.o.valid
        half = self._divisor // 2
        last = half + self._divisor * (_BITS - 1)
        age, sent = receiver.age, sender.total
        shift, bit = receiver.inside["shift"], receiver.inside["bit"]
        m.d.comb += [
            Assert(sent == sender.bit * sender.bit_time + sender.elapsed),
            Assert(sender.elapsed < sender.bit_time),
            Assert(sender.bit < _BITS),
            Assert(receiver.is_idle | receiver.at_start | receiver.at_data | receiver.at_stop),
        ]
        with m.If(receiver.is_idle):
            done = (sender.bit == _BITS - 1) & (sent >= 100 * (last + 1))
            m.d.comb += Assert(~sender.sending | (sent < 100) | done)
            m.d.comb += Assert(~due | valid)
        with m.Else():
            m.d.comb += [
                Assert(sender.sending & (sent >= 100 * age) & (sent < 100 * age + 100)),
                Assert(receiver.inside["timer"] < Mux(receiver.at_start, half, self._divisor)),
                Assert(due == (sender.bit == _BITS - 1)),
            ]
            with m.If(due):
                m.d.comb += [
                    Assert(due_byte == sender.byte),
                    Assert((sender.elapsed >= 100 * wait) & (sender.elapsed < 100 * wait + 100)),
                ]
        with m.If(receiver.at_stop):
            m.d.comb += Assert(shift == sender.byte)
        for count in range(1, 8):
            with m.If(receiver.at_data & (bit == count)):
                m.d.comb += Assert(shift[8 - count :] == sender.byte[:count])


class _Sender:
    """A transmitter with a clock of its own, on the line that the receiver sees.

    Attributes
    ----------
    bit_time : Value
        Any constant within 2 % of the receiver's [hundredths of a cycle].
    sending, byte, bit : Signal
        What is on the line.
    elapsed, total : Signal
        Time since the bit, and since the start bit, began [hundredths of a cycle].
    stop_begins : Value
        In the next cycle the stop bit is on the line.
    """

    def __init__(self, m: Module, divisor: int, seen: Signal) -> None:
        phase = free(m, range(100), "phase")
        self.bit_time = period = AnyConst(range(102 * divisor + 1))
        self.sending = Signal()
        self.byte = Signal(8)
        self.bit = Signal(range(_BITS))
        self.elapsed = Signal(range(102 * divisor + 1))
        self.total = Signal(range(_BITS * 102 * divisor + 100))
        rest = Signal(range(102 * divisor + 100))
        bit_over = rest >= period
        is_last = self.bit == _BITS - 1
        m.d.comb += [
            Assume((period >= 98 * divisor) & (period <= 102 * divisor)),
            Assume(phase < 100),
            Assume(seen == (~self.sending | _frame(self.byte).bit_select(self.bit, 1))),
            rest.eq(self.elapsed + 100),
        ]
        self.stop_begins = self.sending & bit_over & (self.bit == _BITS - 2)
        m.d.sync += [self.total.eq(self.total + 100), self.elapsed.eq(rest)]
        with m.If(~self.sending | (bit_over & is_last)):
            # The next start bit cannot begin before the stop bit is over.
            m.d.comb += Assume(~self.sending | (phase <= rest - period))
            m.d.sync += [
                self.sending.eq(free(m, 1, "send")),
                self.byte.eq(free(m, 8, "payload")),
                self.bit.eq(0),
                self.elapsed.eq(phase),
                self.total.eq(phase),
            ]
        with m.Elif(bit_over):
            m.d.sync += [self.bit.eq(self.bit + 1), self.elapsed.eq(rest - period)]
