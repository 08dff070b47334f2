"""Rows of the weight memory: from a source's index to its weight words."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from spikewright.layout import Layout
from spikewright.spec import CoreSpec, Region, index_width

from .layouts import Clocks, Write, following, passed_on, struct

__all__ = ["RowFetch", "weight_word"]


def weight_word(spec: CoreSpec) -> data.StructLayout:
    """A weight word on its way to the accumulators."""
    return data.StructLayout({
        "valid": 1,
        "group": index_width(spec.groups),
        "synapses": struct(spec.memories[Region.WEIGHTS].layout),
    })


class RowFetch(wiring.Component):
    """Read the weight words of sources, one word a cycle, without bubbles between rows.

    Latency ``5 + spec.weight_banks`` cycles from a source to its first word; a source without words
    takes one cycle.

    Parameters
    ----------
    spec : CoreSpec
    clocks : Clocks
        ``host`` is that of the write ports.

    Members
    -------
    i : In(stream)
        Source index.
    o : Out
        Weight word; cannot be stalled.
    active : Out(1)
        Rows are being looked up or read; ``o`` shows a word ``2 + spec.weight_banks`` cycles
        after that.
    descriptor_addr, descriptor_data, descriptor_en : In
        Write port of the directory.
    weight_addr, weight_data, weight_en : In
        Write port of the weight memory.
    read_addr : In
        Word that ``o.synapses`` shows ``2 + spec.weight_banks`` cycles later, while no row is being
        read.
    """

    def __init__(self, spec: CoreSpec, clocks: Clocks) -> None:
        self._spec = spec
        self._host = clocks.host
        memories = spec.memories
        super().__init__({
            "i": In(stream.Signature(index_width(spec.sources))),
            "o": Out(weight_word(spec)),
            "active": Out(1),
            "descriptor_addr": In(index_width(spec.sources)),
            "descriptor_data": In(struct(memories[Region.DESCRIPTORS].layout)),
            "descriptor_en": In(1),
            "weight_addr": In(index_width(spec.weight_words)),
            "weight_data": In(struct(memories[Region.WEIGHTS].layout)),
            "weight_en": In(1),
            "read_addr": In(index_width(spec.weight_words)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec = self._spec
        descriptor = struct(spec.memories[Region.DESCRIPTORS].layout)
        m.submodules.descriptors = directory = Memory(
            shape=descriptor, depth=spec.sources, init=[], attrs={"ram_style": "block"}
        )
        write_port = directory.write_port(domain=self._host)
        m.d.comb += [
            write_port.addr.eq(self.descriptor_addr),
            write_port.data.eq(self.descriptor_data),
            write_port.en.eq(self.descriptor_en),
        ]
        descriptor_read = directory.read_port()

        # Elastic stages: memory output, registered descriptor, the row being streamed. Each moves
        # on when the one after it is empty or moves on.
        found = Signal()
        head_valid = Signal()
        head = Signal(descriptor)
        row_valid = Signal()
        row = Signal(descriptor)
        row_last = Signal()
        row_moves = Signal()
        head_moves = Signal()
        found_moves = Signal()
        m.d.comb += [
            row_moves.eq(~row_valid | row_last),
            head_moves.eq(~head_valid | row_moves),
            found_moves.eq(~found | head_moves),
            self.i.ready.eq(found_moves),
            descriptor_read.addr.eq(self.i.payload),
            descriptor_read.en.eq(found_moves),
        ]
        with m.If(found_moves):
            m.d.sync += found.eq(self.i.valid)
        with m.If(head_moves):
            m.d.sync += [head_valid.eq(found), head.eq(descriptor_read.data)]
        with m.If(row_moves):
            m.d.sync += [
                row_valid.eq(head_valid),
                row.eq(head),
                row_last.eq(head.word_count[1:] == 0),
            ]
        with m.Else():
            m.d.sync += row.first_word.eq(row.first_word + 1)
            if not spec.sparse:
                m.d.sync += row.first_group.eq(row.first_group + 1)
            m.d.sync += [
                row.word_count.eq(row.word_count - 1),
                row_last.eq(row.word_count == 2),
            ]

        m.d.comb += self.active.eq(found | head_valid | row_valid)
        cycles = spec.weight_banks + 1
        valid = Signal(cycles)
        m.d.sync += Cat(valid, self.o.valid).eq(Cat(row_valid & (row.word_count != 0), valid))
        if spec.sparse:
            m.d.comb += self.o.group.eq(self.o.synapses.group)
        else:
            groups = [Signal.like(row.first_group, name=f"group{k}") for k in range(cycles)]
            m.d.sync += Cat(groups, self.o.group).eq(Cat(row.first_group, groups))
        self._weights(m, Mux(row_valid, row.first_word, self.read_addr))
        return m

    def _weights(self, m: Module, address: Value) -> None:
        """The weight memory in banks, each a cycle behind the one before it.

        So an address goes from register to register, and each register only to the block RAMs of
        one bank: those of a large memory lie all over the part. With a sparse spec the words'
        neuron groups have a memory of their own, so that the banks keep their widths, in step with
        the last bank, after which nothing waits for anything.

        Writes take the way of the reads' address, so that memories of one port do: the core is not
        busy while the host writes.
        """
        spec = self._spec
        written: Write = (self.weight_en, self.weight_addr, self.weight_data)
        address = Mux(self.weight_en, self.weight_addr, address)
        last = spec.weight_banks - 1
        for bank in range(spec.weight_banks):
            written = passed_on(m, written, f"written{bank}", self._host)
            address = following(m, address, f"address{bank}")
            lanes = range(bank, spec.lanes, spec.weight_banks)
            names = {f"{kind}{lane}" for kind in ("weight", "delay") for lane in lanes}
            self._memory(m, f"weights{bank}", names, written, address, last - bank)
        if spec.sparse:
            self._memory(m, "groups", {"group"}, written, address, 0)

    def _memory(
        self, m: Module, name: str, fields: set[str], written: Write, address: Value, cycles: int
    ) -> None:
        """Some fields of all weight words; ``o`` shows them so many cycles later than at once."""
        spec = self._spec
        layout = Layout(
            tuple(f for f in spec.memories[Region.WEIGHTS].layout.fields if f.name in fields)
        )
        m.submodules[name] = memory = Memory(
            shape=struct(layout), depth=spec.weight_words, init=[], attrs={"ram_style": "block"}
        )
        write_port = memory.write_port(domain=self._host)
        read_port = memory.read_port()
        m.d.comb += [
            write_port.en.eq(written[0]),
            write_port.addr.eq(address),
            read_port.addr.eq(address),
            read_port.en.eq(1),
        ]
        for field in layout.fields:
            m.d.comb += write_port.data[field.name].eq(written[2][field.name])
            value = read_port.data[field.name]
            for _ in range(cycles):
                value = following(m, value, field.name)
            m.d.sync += self.o.synapses[field.name].eq(value)
