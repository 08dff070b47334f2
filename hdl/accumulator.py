"""The accumulators: what spikes have brought to each neuron, for each timestep to come."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from spikewright.spec import CoreSpec, index_width

from .layouts import chosen, delayed, following, group_of, part_bits, part_width
from .words import weight_word

__all__ = ["Accumulators", "acc_lanes", "lanes_a_memory"]

_PORT_BITS = 36


def acc_lanes(spec: CoreSpec) -> data.ArrayLayout:
    """One accumulator for each neuron of a part."""
    return data.ArrayLayout(signed(spec.acc_bits), spec.update_lanes)


def lanes_a_memory(spec: CoreSpec) -> int:
    """Lanes that share a memory ``acc<first lane>``: as many as a block RAM's port is wide.

    A power of two. With delays every lane has its own, since its address is its own.
    """
    shared = 1 if spec.delay_bits else max(1, _PORT_BITS // spec.acc_bits)
    return min(1 << (shared.bit_length() - 1), spec.lanes)


class Accumulators(wiring.Component):
    """Add weight words to the accumulators of their groups, one word a cycle.

    A ring of ``delay_slots`` slots. Latency from a word to the memory 4 cycles at most; sums that
    are still on their way are forwarded, so that words for the same group may follow each other at
    once.

    Parameters
    ----------
    spec : CoreSpec
    near : bool
        As for the core.

    Members
    -------
    word : In
        Weight word; never stalled.
    slot, first_open : In
        The slot of this timestep, and the first group that is not yet updated in it: words for
        earlier groups count for the next timestep.
    adding : In(1)
        Words may come; low in the cycle before ``zero_en`` and as long as that lasts, but not
        before the sum of the last word is in the memory.
    read_slot, read_part : In
        Accumulators that ``acc`` shows three cycles later, while ``adding`` is low.
    acc : Out
        Accumulators of a part of a group in a register.
    zero_slot, zero_group, zero_en : In
        Set a group's accumulators in one slot to zero, a cycle later.
    """

    def __init__(self, spec: CoreSpec, *, near: bool = False) -> None:
        self._spec = spec
        self._near = near
        self._late = 1 if near else 2
        group = index_width(spec.groups)
        slot = index_width(spec.delay_slots)
        super().__init__({
            "word": In(weight_word(spec)),
            "slot": In(slot),
            "first_open": In(range(spec.groups + 1)),
            "adding": In(1),
            "read_slot": In(slot),
            "read_part": In(part_width(spec)),
            "acc": Out(acc_lanes(spec)),
            "zero_slot": In(slot),
            "zero_group": In(group),
            "zero_en": In(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec = self._spec
        # Without delays every lane has the same address, so one wide memory serves; with delays
        # each lane has its own.
        banks = spec.lanes if spec.delay_bits else 1
        lanes = spec.lanes // banks

        def address(slot: Signal, group: Signal) -> Signal:
            return Cat(group, slot) if spec.delay_bits else group

        slot_now = Signal.like(self.slot)
        m.d.comb += slot_now.eq(self.slot + (self.word.group < self.first_open))
        late = self._late
        valid = Signal(late + 1)
        m.d.sync += valid.eq(
            Cat(self.word.valid, valid[: late - 1], valid[late - 1] | self.zero_en)
        )
        stored: list[Value] = []
        for bank in range(banks):
            delay = self.word.synapses[f"delay{bank}"] if spec.delay_bits else 0
            slot = Signal.like(self.slot, name=f"slot{bank}")
            m.d.comb += slot.eq(slot_now + delay)
            read = Mux(
                self.word.valid,
                address(slot, self.word.group),
                address(self.read_slot, group_of(spec, self.read_part)),
            )
            zero = address(self.zero_slot, self.zero_group)
            stored += self._bank(
                m, bank, range(bank * lanes, (bank + 1) * lanes), read, zero, valid
            )
        part = Value.cast(delayed(m, self.read_part[: part_bits(spec)], 2, "part"))
        with m.If(~self.adding):
            for k in range(spec.update_lanes):
                m.d.sync += self.acc[k].eq(chosen(stored[k :: spec.update_lanes], part))
        return m

    def _bank(
        self, m: Module, bank: int, lanes: range, read: Signal, zero: Signal, valid: Signal
    ) -> list[Value]:
        """Read, add, write: a stage each for address, memory output, and sum with write; where all
        is near, the memory's output goes into the sum.

        What the memories put out.
        """
        # Addresses are registered before they reach the memory, zeros and words by the same way.
        # A word's sum is missing from the memory for the next words, as many as `late`: they add to
        # it directly, each to the total of so many cycles before.
        late = self._late
        addresses = [Signal(len(read), name=f"address{bank}_{stage}") for stage in range(late + 1)]
        hits = Cat(valid[0] & valid[k] & (addresses[0] == addresses[k]) for k in range(1, late + 1))
        last = Mux(self.zero_en, zero, addresses[late - 1])
        m.d.sync += Cat(addresses).eq(Cat(read, addresses[: late - 1], last))
        follows = Value.cast(delayed(m, hits, late, f"follows{bank}_"))
        old, new = self._memories(m, lanes, addresses[0], addresses[late], valid[late])
        for lane, stored, total_now in zip(lanes, old, new, strict=True):
            self._lane(m, lane, stored, total_now, follows)
        return old

    def _memories(
        self, m: Module, lanes: range, read: Signal, written: Signal, en: Value
    ) -> tuple[list[Value], list[Value]]:
        """A bank's memories: what they put out and what is written to them, lane by lane."""
        spec = self._spec
        old: list[Value] = []
        new: list[Value] = []
        for first in lanes[:: lanes_a_memory(spec)]:
            count = min(lanes_a_memory(spec), len(lanes))
            m.submodules[f"acc{first}"] = memory = Memory(
                shape=data.ArrayLayout(signed(spec.acc_bits), count),
                depth=spec.delay_slots << index_width(spec.groups),
                init=[],
                attrs={"ram_style": "block"},
            )
            write_port = memory.write_port()
            read_port = memory.read_port()
            m.d.comb += [
                read_port.addr.eq(read),
                read_port.en.eq(1),
                write_port.addr.eq(written),
                write_port.en.eq(en),
            ]
            old += [read_port.data[k] for k in range(count)]
            new += [write_port.data[k] for k in range(count)]
        return old, new

    def _lane(self, m: Module, lane: int, stored: Value, total_now: Value, follows: Value) -> None:
        """Add one lane's weight to what is stored, or to a total that the word ``follows``."""
        spec, late = self._spec, self._late
        weights = [
            Signal(signed(spec.weight_bits), name=f"weight{lane}_{k}") for k in range(late + 1)
        ]
        totals = [Signal(signed(spec.acc_bits), name=f"total{lane}_{k}") for k in range(late)]
        m.d.sync += [
            Cat(weights).eq(Cat(self.word.synapses[f"weight{lane}"], weights)),
            Cat(totals).eq(Cat(total_now, totals)),
        ]
        # Both operands rest at zero: that is what `zero_en` writes, without a multiplexer.
        with m.If(~self.adding):
            m.d.sync += weights[late].eq(0)
        so_far = stored
        if not self._near:
            so_far = following(m, stored, f"acc_{lane}")
            with m.If(~self.adding):
                m.d.sync += so_far.eq(0)
        for follow, total in zip(follows[::-1], totals[::-1], strict=True):
            so_far = Mux(follow, total, so_far)
        if self._near:
            so_far = Mux(following(m, self.adding, f"was_adding_{lane}"), so_far, 0)
        m.d.comb += total_now.eq(so_far.as_signed() + weights[late])
