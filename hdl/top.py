"""The whole device: a core behind a UART."""

from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from spikewright.errors import SpecError
from spikewright.frames import ID_SIZE, LinkSpec, payload_needed
from spikewright.spec import CoreSpec

from .core import Core
from .counters import Counters
from .decoder import CommandDecoder
from .receiver import FrameReceiver
from .transmitter import ReplyTransmitter
from .uart import UARTReceiver, UARTTransmitter

__all__ = ["Top", "connect_core"]

_NEAR_HZ = 30_000_000
"""Up to this clock a signal reaches all of a part that is not large."""


def connect_core(m: Module, decoder: CommandDecoder, core: Core, counters: Counters) -> None:
    """Wire a command processor to its core, all but the axon spikes, and the counters to both."""
    wiring.connect(m, decoder.host, core.host)
    wiring.connect(m, decoder.counters, counters.port)
    wiring.connect(m, decoder.o_missed, counters.i_missed)
    spikes = core.spikes
    m.d.comb += [
        core.step.eq(decoder.step),
        core.clear.eq(decoder.clear),
        decoder.busy.eq(core.busy),
        decoder.spikes.eq(spikes),
        counters.step.eq(decoder.step),
        counters.axon.eq(core.i_spikes.valid & core.i_spikes.ready),
        counters.cycle.eq(core.events.cycle),
        counters.synapses.eq(core.events.synapses),
        counters.saturated.eq(core.events.saturated),
        counters.spikes.eq(spikes.mask & spikes.en.replicate(len(spikes.mask))),
    ]
    if "learn" in core.signature.members:
        m.d.comb += [core.learn.eq(decoder.learn), core.reward.eq(decoder.reward)]


class Top(wiring.Component):
    """A core that a host loads and runs over two wires.

    Parameters
    ----------
    spec : CoreSpec
    link : LinkSpec
    build_id : bytes
        What the device answers as its build, ``ID_SIZE`` bytes.

    Raises
    ------
    SpecError
        The link's frames cannot carry a record of the spec.

    Members
    -------
    rx : In(1)
        From the host, idle high, asynchronous.
    tx : Out(1)
        To the host, idle high.
    image_valid : Out(1)
        The core holds a whole image.
    active : Out(1)
        Something is going on. While it is low, nothing changes until ``rx`` falls.
    """

    rx: In(1, init=1)
    tx: Out(1, init=1)
    image_valid: Out(1)
    active: Out(1)

    def __init__(self, spec: CoreSpec, link: LinkSpec, *, build_id: bytes = bytes(ID_SIZE)) -> None:
        needed = payload_needed(spec)
        if needed > link.max_payload:
            raise SpecError(
                f"max_payload must be at least {needed} for a record of this spec, "
                f"not {link.max_payload}.",
                hint="Give the link a longer max_payload.",
            )
        self._spec = spec
        self._link = link
        self._build_id = build_id
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, link = self._spec, self._link
        m.submodules.uart_rx = uart_rx = UARTReceiver(link.divisor)
        m.submodules.uart_tx = uart_tx = UARTTransmitter(link.divisor)
        m.submodules.receiver = receiver = FrameReceiver(link)
        m.submodules.transmitter = transmitter = ReplyTransmitter(link)
        m.submodules.decoder = decoder = CommandDecoder(spec, link, build_id=self._build_id)
        m.submodules.counters = counters = Counters(spec)
        m.submodules.core = core = Core(spec, near=link.clock_hz <= _NEAR_HZ)

        wiring.connect(m, uart_rx.o, receiver.i)
        wiring.connect(m, receiver.o_frame, decoder.i_frame)
        wiring.connect(m, receiver.o, decoder.i)
        wiring.connect(m, decoder.o, transmitter.i)
        wiring.connect(m, decoder.o_send, transmitter.i_send)
        wiring.connect(m, transmitter.o, uart_tx.i)
        wiring.connect(m, decoder.o_spikes, core.i_spikes)
        connect_core(m, decoder, core, counters)
        parts = (uart_rx, uart_tx, receiver, transmitter, decoder)
        m.d.comb += [
            uart_rx.rx.eq(self.rx),
            self.tx.eq(uart_tx.tx),
            decoder.end.eq(receiver.end),
            receiver.mark.eq(decoder.mark),
            receiver.rewind.eq(decoder.rewind),
            transmitter.slot.eq(decoder.slot),
            decoder.locked.eq(transmitter.locked),
            counters.error.eq(receiver.error),
            self.image_valid.eq(decoder.image_valid),
            self.active.eq(Cat(part.active for part in parts).any()),
        ]
        return m
