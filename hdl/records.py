"""The host's bytes as records of the core's memories, and back."""

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from spikewright.frames import LinkSpec, Status
from spikewright.spec import CoreSpec

from .core import HOST_READ_LATENCY, HostPort

__all__ = ["RecordAccess"]


class RecordAccess(wiring.Component):
    """Check, write and read runs of records.

    ``start`` checks a whole access and does nothing else; after ``checked`` with ``OK`` a write
    takes the bytes of ``length`` from ``i``, and a read gives ``count`` records on ``o``.

    Parameters
    ----------
    spec : CoreSpec
    link : LinkSpec

    Members
    -------
    start : In(1)
        Start anew with ``request``, which must hold until ``done``.
    request : In
        ``write``, ``region``, ``index`` of the first record; ``length`` of the records to write
        in bytes; ``count`` of records to read.
    checked : Out(1)
        ``status`` is there, and stays until ``start``.
    status : Out
        ``OK``; ``BAD_ADDRESS``: unknown region, or not writable (readable); ``BAD_LENGTH``: not
        whole records, or more than ``max_payload`` bytes to read; ``BAD_ADDRESS``: past its end.
    i : In(stream), 8 bits
        Bytes to write; a record takes one cycle beyond its bytes.
    o : Out(stream), 8 bits
        Bytes read; a record takes ``HOST_READ_LATENCY + 2`` cycles and two for each byte.
    done : Out(1)
        Nothing is left to be read.
    host : Out
        :class:`HostPort` of the core.
    """

    def __init__(self, spec: CoreSpec, link: LinkSpec) -> None:
        self._spec = spec
        self._link = link
        self._largest = max(memory.layout.size for memory in spec.memories.values())
        request = {
            "write": 1,
            "region": 8,
            "index": 32,
            "length": range(link.max_payload + 1),
            "count": 16,
        }
        super().__init__({
            "start": In(1),
            "request": In(data.StructLayout(request)),
            "checked": Out(1),
            "status": Out(Status),
            "i": In(stream.Signature(8)),
            "o": Out(stream.Signature(8)),
            "done": Out(1),
            "host": Out(HostPort(spec)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        request = self.request
        largest = self._largest
        allowed, size, depth = self._look_up(m)
        index = Signal.like(depth)
        byte = Signal(range(largest))
        record = Signal(8 * largest)
        bytes_left = Signal.like(request.length)
        bytes_after = Signal(signed(max(len(bytes_left), len(size)) + 1))
        # No more records can be read than there is room for bytes.
        records_left = Signal.like(request.length)
        too_many = Signal()
        beyond = Signal()
        last_byte = Signal()
        timer = Signal(range(HOST_READ_LATENCY))
        m.d.comb += [
            self.host.region.eq(request.region),
            self.host.index.eq(index),
            self.host.w_data.eq(record),
            last_byte.eq(byte + 1 == size),
            bytes_after.eq(bytes_left - size),
        ]
        with m.If(self.start):
            m.d.sync += self.checked.eq(0)
        with m.FSM():
            with m.State("idle"):
                m.d.comb += [self.done.eq(1), self.i.ready.eq(1)]
                with m.If(self.start):
                    m.next = "locate"
                with m.Elif(self.i.valid):
                    m.d.sync += record.word_select(byte, 8).eq(self.i.payload)
                    m.d.sync += byte.eq(Mux(last_byte, 0, byte + 1))
                    with m.If(last_byte):
                        m.next = "write"
            with m.State("write"):
                m.d.comb += self.host.w_en.eq(1)
                m.d.sync += index.eq(index + 1)
                m.next = "idle"
            with m.State("locate"):
                m.d.sync += [
                    index.eq(request.index),
                    byte.eq(0),
                    bytes_left.eq(Mux(request.write, request.length, self._link.max_payload)),
                    records_left.eq(request.count),
                    too_many.eq(request.count[len(records_left) :].any()),
                    beyond.eq(request.index > depth),
                ]
                m.next = "check"
            with m.State("check"):
                # Counting records off takes no divider, and payloads are short.
                m.d.sync += [
                    bytes_left.eq(bytes_after),
                    records_left.eq(records_left - 1),
                    index.eq(index + 1),
                ]
                with m.If(index == depth):
                    m.d.sync += beyond.eq(1)
                none_left = Mux(request.write, bytes_left == 0, (records_left == 0) & ~too_many)
                with m.If(~allowed):
                    self._conclude(m, Status.BAD_ADDRESS)
                with m.Elif(none_left):
                    self._conclude(m, Mux(beyond, Status.BAD_ADDRESS, Status.OK))
                    m.d.sync += [index.eq(request.index), records_left.eq(request.count)]
                    with m.If(~request.write & ~beyond):
                        m.next = "read"
                with m.Elif(bytes_after < 0):
                    self._conclude(m, Status.BAD_LENGTH)
            with m.State("read"):
                m.d.sync += [timer.eq(HOST_READ_LATENCY - 1), records_left.eq(records_left - 1)]
                with m.If(records_left == 0):
                    m.next = "idle"
                with m.Else():
                    m.d.comb += self.host.r_en.eq(1)
                    m.next = "wait"
            with m.State("wait"):
                m.d.sync += timer.eq(timer - 1)
                with m.If(timer == 0):
                    m.next = "pick"
            with m.State("pick"):
                padded = Cat(self.host.r_data, C(0, 8))
                m.d.sync += self.o.payload.eq(padded.word_select(byte, 8))
                m.next = "give"
            with m.State("give"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.sync += byte.eq(byte + 1)
                    m.next = "pick"
                    with m.If(last_byte):
                        m.d.sync += [byte.eq(0), index.eq(index + 1)]
                        m.next = "read"
        return m

    def _conclude(self, m: Module, status: Status | Value) -> None:
        """Give the verdict of a check."""
        m.d.sync += [self.status.eq(status), self.checked.eq(1)]
        m.next = "idle"

    def _look_up(self, m: Module) -> tuple[Signal, Signal, Signal]:
        """Whether the region allows the access, its record's bytes and its depth; a cycle late."""
        allowed = Signal()
        size = Signal(range(self._largest + 1))
        depth = Signal(range(max(memory.depth for memory in self._spec.memories.values()) + 1))
        with m.Switch(self.request.region):
            for region, memory in self._spec.memories.items():
                with m.Case(region):
                    m.d.sync += [
                        allowed.eq(Mux(self.request.write, memory.writable, memory.readable)),
                        size.eq(memory.layout.size),
                        depth.eq(memory.depth),
                    ]
            with m.Default():
                m.d.sync += allowed.eq(0)
        return allowed, size, depth
