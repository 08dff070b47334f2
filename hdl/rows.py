"""Rows of the weight memory: from a source's index to its weight words."""

from amaranth.hdl import Cat, Module, Mux, ShapeLike, Signal, Value, ValueLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from spikewright.layout import Layout
from spikewright.spec import CoreSpec, Region, index_width

from .layouts import Clocks, Write, delayed, following, passed_on, struct

__all__ = ["RowFetch", "bank_layout", "trace_record", "weight_word"]

_OF_LANES = ("weight", "delay", "plastic", "eligibility")
"""Fields of a weight word that each lane has."""


def trace_record(spec: CoreSpec) -> data.StructLayout:
    """A source's pre trace, and whether the source is listed for the next learning pass."""
    return data.StructLayout({"x": spec.trace_bits, "listed": 1})


def _learning_facts(spec: CoreSpec) -> dict[str, ShapeLike]:
    """What learning needs to know of a word."""
    return {
        "address": index_width(spec.weight_words),
        "source": index_width(spec.sources),
        "trace": trace_record(spec),
        "learns": 1,
        "opposite": 1,
        "row_ends": 1,
        "passing": 1,
    }


def bank_layout(spec: CoreSpec, bank: int) -> Layout:
    """Fields of the weight words that are in one bank."""
    lanes = range(bank, spec.lanes, spec.weight_banks)
    names = {f"{kind}{lane}" for kind in _OF_LANES for lane in lanes}
    fields = spec.memories[Region.WEIGHTS].layout.fields
    return Layout(tuple(field for field in fields if field.name in names))


def weight_word(spec: CoreSpec) -> data.StructLayout:
    """A weight word on its way to the accumulators.

    With plasticity there comes what learning needs to know: ``passing`` words are those of a
    learning pass, which are not for the accumulators; ``row_ends`` is set in the last cycle of
    every row, one without words too.
    """
    return data.StructLayout({
        "valid": 1,
        "group": index_width(spec.groups),
        "synapses": struct(spec.memories[Region.WEIGHTS].layout),
        **(_learning_facts(spec) if spec.plastic else {}),
    })


class RowFetch(wiring.Component):
    """Read the weight words of sources, one word a cycle, without bubbles between rows.

    Latency ``5 + spec.weight_banks`` cycles from a source to its first word; a source without words
    takes one cycle.

    A learning pass reads rows again, but only the words of groups that fired, a cycle for each of
    these groups whether the row has a word for it or not. With eligibilities it reads all words.

    Parameters
    ----------
    spec : CoreSpec
    clocks : Clocks
        ``host`` is that of the write ports.
    near : bool
        As for the core; without effect on one that learns.

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
    passing : In(1)
        Rows are read for a learning pass. It and what follows come with plasticity.
    fired_count, fired_index, fired_group : In, Out, In
        How many groups fired; which of them is wanted, and a cycle later its index.
    group_ahead : Out
        ``o.group``, two cycles before it.
    learned_addr, learned_data, learned_en : In
        Write port of the weight memory; before that of the host.
    trace_addr, trace_data, trace_en : In
        Write port of the pre traces.
    """

    def __init__(self, spec: CoreSpec, clocks: Clocks, *, near: bool = False) -> None:
        self._spec = spec
        self._near = near and not spec.plastic
        self._host = clocks.host
        memories = spec.memories
        group = index_width(spec.groups)
        learning = {
            "passing": In(1),
            "fired_count": In(range(spec.groups + 1)),
            "fired_index": Out(group),
            "fired_group": In(group),
            "group_ahead": Out(group),
            "learned_addr": In(index_width(spec.weight_words)),
            "learned_data": In(struct(memories[Region.WEIGHTS].layout)),
            "learned_en": In(1),
            "trace_addr": In(index_width(spec.sources)),
            "trace_data": In(trace_record(spec)),
            "trace_en": In(1),
        }
        super().__init__({
            **(learning if spec.plastic else {}),
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
        words: ValueLike = head.word_count
        if spec.plastic and not spec.reward:
            words = Mux(self.passing, self.fired_count, head.word_count)
        with m.If(found_moves):
            m.d.sync += found.eq(self.i.valid)
        with m.If(head_moves):
            m.d.sync += [head_valid.eq(found), head.eq(descriptor_read.data)]
        with m.If(row_moves):
            m.d.sync += [
                row_valid.eq(head_valid),
                row.eq(head),
                row_last.eq(words[1:] == 0),
            ]
            if spec.plastic:
                m.d.sync += row.word_count.eq(words)
        with m.Else():
            m.d.sync += row.first_word.eq(row.first_word + 1)
            if not spec.sparse:
                m.d.sync += row.first_group.eq(row.first_group + 1)
            m.d.sync += [
                row.word_count.eq(row.word_count - 1),
                row_last.eq(row.word_count == 2),
            ]

        m.d.comb += self.active.eq(found | head_valid | row_valid)
        is_word: ValueLike = row_valid & (row.word_count != 0)
        group, address = None if spec.sparse else row.first_group, row.first_word
        if spec.plastic:
            moves = (found_moves, head_moves, row_moves)
            if not spec.reward:
                inside, group, address = self._fired_word(m, head, row, row_moves)
                is_word = is_word & inside
            self._follow(m, moves, row, row_valid & row_last, address)
        cycles = spec.weight_banks + 1
        valid = Signal(cycles)
        m.d.sync += Cat(valid, self.o.valid).eq(Cat(is_word, valid))
        if spec.sparse:
            m.d.comb += self.o.group.eq(self.o.synapses.group)
        else:
            groups = [Signal.like(row.first_group, name=f"group{k}") for k in range(cycles)]
            m.d.sync += Cat(groups, self.o.group).eq(Cat(group, groups))
            if spec.plastic:
                m.d.comb += self.group_ahead.eq(groups[-2])
        self._weights(m, Mux(row_valid, address, self.read_addr))
        return m

    def _fired_word(
        self, m: Module, head: data.View, row: data.View, row_moves: Value
    ) -> tuple[Value, Value, Value]:
        """The next word of a row: whether there is one, its group and its address.

        Word after word; in a learning pass the words of the groups that fired.
        """
        spec = self._spec
        step = Signal(range(spec.groups + 1))
        base = Signal.like(row.first_word)
        first, words = Signal.like(row.first_group), Signal.like(row.word_count)
        m.d.comb += self.fired_index.eq(Mux(row_moves, 0, step + 1))
        m.d.sync += step.eq(Mux(row_moves, 0, step + 1))
        with m.If(row_moves):
            m.d.sync += [
                base.eq(head.first_word - head.first_group),
                first.eq(head.first_group),
                words.eq(head.word_count),
            ]
        within = Signal.like(first)
        address = Signal.like(base)
        m.d.comb += [
            # Of a group before the first this is larger than any row.
            within.eq(self.fired_group - first),
            address.eq(Mux(self.passing, base + self.fired_group, row.first_word)),
        ]
        group = Mux(self.passing, self.fired_group, row.first_group)
        return ~self.passing | (within < words), group, address

    def _follow(
        self,
        m: Module,
        moves: tuple[Value, Value, Value],
        row: data.View,
        row_ends: Value,
        address: Value,
    ) -> None:
        """What learning needs to know goes with each word; the pre traces are read with the rows.

        ``moves`` are the elastic stages' enables, ``address`` is the word that is read now.
        """
        spec = self._spec
        m.submodules.traces = memory = Memory(
            shape=trace_record(spec), depth=spec.sources, init=[], attrs={"ram_style": "block"}
        )
        write_port, read_port = memory.write_port(), memory.read_port()
        source = following(m, self.i.payload, "found_source", when=moves[0])
        trace: ValueLike = read_port.data
        for name, moved in (("head", moves[1]), ("row", moves[2])):
            source = following(m, source, f"{name}_source", when=moved)
            trace = following(m, trace, f"{name}_trace", when=moved)
        facts = Signal(data.StructLayout(_learning_facts(spec)))
        m.d.comb += [
            write_port.addr.eq(self.trace_addr),
            write_port.data.eq(self.trace_data),
            write_port.en.eq(self.trace_en),
            read_port.addr.eq(self.i.payload),
            read_port.en.eq(moves[0]),
            facts.address.eq(address),
            facts.source.eq(source),
            facts.trace.eq(trace),
            facts.learns.eq(row.learns),
            facts.opposite.eq(row.opposite),
            facts.row_ends.eq(row_ends),
            facts.passing.eq(self.passing),
        ]
        arrived = delayed(m, facts, spec.weight_banks + 2, "facts")
        m.d.comb += [self.o[name].eq(arrived[name]) for name in _learning_facts(spec)]

    def _weights(self, m: Module, address: Value) -> None:
        """The weight memory in banks, each a cycle behind the one before it.

        So an address goes from register to register, and each register only to the block RAMs of
        one bank: those of a large memory lie all over the part. With a sparse spec the words'
        neuron groups have a memory of their own, so that the banks keep their widths, in step with
        the last bank, after which nothing waits for anything.

        Where all is ``near``, the banks are read at once, in the cycle of the last one.

        The host's writes take the way of the reads' address, so that memories of one port do: the
        core is not busy meanwhile. What is learned is written while other words are read.
        """
        spec = self._spec
        written: Write = (self.weight_en, self.weight_addr, self.weight_data)
        domain = self._host
        last = spec.weight_banks - 1
        if spec.plastic:
            written, domain = self._learned_or_loaded(m), "sync"
        elif self._near:
            address = Value.cast(delayed(m, address, last, "address"))
        if not spec.plastic:
            address = Mux(self.weight_en, self.weight_addr, address)
        for bank in range(spec.weight_banks):
            if bank == 0 or not self._near:
                written = passed_on(m, written, f"written{bank}", domain, always=self._near)
                address = following(m, address, f"address_of_{bank}")
            layout, ahead = bank_layout(spec, bank), 0 if self._near else last - bank
            self._memory(m, f"weights{bank}", layout, written, address, ahead, domain)
        if spec.sparse:
            fields = spec.memories[Region.WEIGHTS].layout.fields
            layout = Layout(tuple(field for field in fields if field.name == "group"))
            self._memory(m, "groups", layout, written, address, 0, domain)

    def _learned_or_loaded(self, m: Module) -> Write:
        """Writes of learning and of the host, which never come at once."""
        en, addr = Signal(), Signal.like(self.weight_addr)
        data = Signal.like(self.weight_data)
        m.d.comb += [
            en.eq(self.learned_en | self.weight_en),
            addr.eq(Mux(self.learned_en, self.learned_addr, self.weight_addr)),
            data.eq(Mux(self.learned_en, self.learned_data, self.weight_data)),
        ]
        return en, addr, data

    def _memory(
        self,
        m: Module,
        name: str,
        layout: Layout,
        written: Write,
        address: Value,
        cycles: int,
        domain: str,
    ) -> None:
        """Some fields of all weight words; ``o`` shows them so many cycles later than at once."""
        spec = self._spec
        # Some parts have large memories with one port: their scripts look for these.
        is_large = name.startswith("weights") and not spec.plastic
        one_port = {"single_port": 1} if is_large else {}
        m.submodules[name] = memory = Memory(
            shape=struct(layout),
            depth=spec.weight_words,
            init=[],
            attrs={"ram_style": "block", **one_port},
        )
        write_port = memory.write_port(domain=domain)
        read_port = memory.read_port()
        m.d.comb += [
            write_port.en.eq(written[0]),
            write_port.addr.eq(written[1] if spec.plastic else address),
            read_port.addr.eq(address),
            read_port.en.eq(1),
        ]
        for field in layout.fields:
            m.d.comb += write_port.data[field.name].eq(written[2][field.name])
            value = read_port.data[field.name]
            for _ in range(cycles):
                value = following(m, value, field.name)
            m.d.sync += self.o.synapses[field.name].eq(value)
