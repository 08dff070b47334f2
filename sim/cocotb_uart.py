"""cocotb bench of the UART at two divisors."""

from typing import Any

import cocotb
import numpy as np
from amaranth.hdl import Module
from amaranth.lib import wiring
from cocotb.triggers import ClockCycles, FallingEdge, Timer
from cocotbext.uart import UartSink, UartSource

from spikewright.hdl.uart import UARTReceiver, UARTTransmitter

from .cocotb_host import Line
from .cocotb_streams import Sink, Source, reset

__all__ = ["DIVISORS", "UARTs"]

DIVISORS = (4, 9)
"""The smallest, and an odd one."""
_CYCLE_NS = 10
_ERROR = 1 << 8


class UARTs(wiring.Component):
    """Receivers ``rx{divisor}`` and transmitters ``tx{divisor}``, for one build."""

    def __init__(self) -> None:
        self._parts: dict[str, wiring.Component] = {}
        for divisor in DIVISORS:
            self._parts[f"rx{divisor}"] = UARTReceiver(divisor)
            self._parts[f"tx{divisor}"] = UARTTransmitter(divisor)
        super().__init__({name: wiring.Out(part.signature) for name, part in self._parts.items()})

    def elaborate(self, platform: object) -> Module:
        """Connect each part to its ports."""
        m = Module()
        for name, part in self._parts.items():
            m.submodules[name] = part
            wiring.connect(m, part, wiring.flipped(getattr(self, name)))
        return m


class Ends:
    """All around one receiver and one transmitter."""

    def __init__(self, dut: Any, divisor: int) -> None:
        self.rng = np.random.default_rng(divisor)
        self.bit_ns = divisor * _CYCLE_NS
        self.line = Line(getattr(dut, f"rx{divisor}__rx"), None, self.bit_ns)
        self.received = Sink(dut, f"rx{divisor}__o", seed=divisor)
        self.active = getattr(dut, f"rx{divisor}__active")
        self.source = Source(dut, f"tx{divisor}__i", seed=divisor)
        self.tx = getattr(dut, f"tx{divisor}__tx")


async def _start(dut: Any) -> list[Ends]:
    ends = [Ends(dut, divisor) for divisor in DIVISORS]
    await reset(dut)
    return ends


@cocotb.test()
async def receive(dut: Any) -> None:
    """Every byte, back to back and with gaps, at line rates up to 2 % off, ready or not."""
    for end in await _start(dut):
        nominal = end.line.bit_ns
        for rate, stalls, gap in ((0.98, 0.0, 0), (1.0, 0.75, 0), (1.02, 0.5, 0), (1.0, 0.75, 3)):
            end.line.bit_ns = round(nominal * rate)
            end.received.stalls = stalls
            data = end.rng.permutation(256)[: 64 if gap else 256].tolist()
            end.line.gap_bits = gap
            await end.line.send(bytes(data))
            assert await end.received.get(len(data)) == data


@cocotb.test()
async def receive_phases(dut: Any) -> None:
    """Start bits at any phase of the clock."""
    for end in await _start(dut):
        for phase in range(_CYCLE_NS):
            await FallingEdge(dut.clk)
            await Timer(3 * end.bit_ns + phase, "ns")
            await end.line.send(b"\x55\xaa\x00\xff")
            assert await end.received.get(4) == [0x55, 0xAA, 0x00, 0xFF]


@cocotb.test()
async def overrun(dut: Any) -> None:
    """A byte that comes while another waits takes its place, and is not to be trusted."""
    for end in await _start(dut):
        end.received.may_change = True
        for count in (1, 2, 3):
            end.received.stalls = 1.0
            await end.line.send(bytes(range(count)))
            await ClockCycles(dut.clk, 8)
            assert end.active.value == 1
            end.received.stalls = 0.0
            assert await end.received.get(1) == [count - 1 | (_ERROR if count > 1 else 0)]
            await ClockCycles(dut.clk, 2)
            assert end.active.value == 0


@cocotb.test()
async def glitches(dut: Any) -> None:
    """Low pulses shorter than half a bit are no start bits."""
    for end in await _start(dut):
        for length in range(1, end.bit_ns // _CYCLE_NS // 2):
            for _ in range(3):
                end.line.rx.value = 0
                await Timer(length * _CYCLE_NS, "ns")
                end.line.rx.value = 1
                await Timer(int(end.rng.integers(1, 3)) * end.bit_ns, "ns")
            await end.line.send(bytes([length, 0x5A]))
            assert await end.received.get(2) == [length, 0x5A]


@cocotb.test()
async def framing_errors(dut: Any) -> None:
    """A low stop bit is an error, a line that stays low is one; the next byte is right."""
    for end in await _start(dut):
        for low_bits in (1, 2, 30):
            await end.line.send_bits(0x5A << 1 | 1 << (9 + low_bits), 10 + low_bits)
            await end.line.send(b"\x33\x44")
            first, *others = await end.received.get(3)
            assert first & _ERROR
            assert others == [0x33, 0x44]
        await ClockCycles(dut.clk, 4)
        assert end.active.value == 0


@cocotb.test()
async def noise(dut: Any) -> None:
    """After a burst of noise and a quiet byte time, bytes are right again."""
    for end in await _start(dut):
        for _ in range(10):
            for _ in range(40):
                end.line.rx.value = int(end.rng.integers(2))
                await Timer(int(end.rng.integers(1, 2 * end.bit_ns)), "ns")
            end.line.rx.value = 1
            await Timer(11 * end.bit_ns, "ns")
            end.received.items.clear()
            await end.line.send(b"\x00\xff\xa5")
            assert await end.received.get(3) == [0x00, 0xFF, 0xA5]


@cocotb.test()
async def transmit(dut: Any) -> None:
    """Every byte back to back and with gaps, as an independent receiver reads them."""
    for end in await _start(dut):
        sink = UartSink(end.tx, baud=1e9 / end.bit_ns)
        sink.log.setLevel("WARNING")
        for stalls in (0.0, 0.98):
            end.source.stalls = stalls
            data = end.rng.permutation(256)[: 256 if stalls == 0 else 50].tolist()
            end.source.items.extend(data)
            await end.source.drain()
            await Timer(12 * end.bit_ns, "ns")
            assert list(sink.read_nowait()) == data


@cocotb.test()
async def both_ways(dut: Any) -> None:
    """An independent transmitter's bytes pass a receiver and a transmitter at once."""
    for end in await _start(dut):
        source = UartSource(end.line.rx, baud=1e9 / end.bit_ns)
        sink = UartSink(end.tx, baud=1e9 / end.bit_ns)
        for log in (source.log, sink.log):
            log.setLevel("WARNING")
        data = end.rng.bytes(200)
        await source.write(data)
        for want in data:
            (got,) = await end.received.get(1)
            assert got == want
            end.source.items.append(got)
        await end.source.drain()
        await Timer(12 * end.bit_ns, "ns")
        assert bytes(sink.read_nowait()) == data
