"""The accumulators: what spikes have brought to each neuron, for each timestep to come."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from spikewright.spec import CoreSpec, index_width

from .rows import weight_word

__all__ = ["Accumulators", "acc_lanes"]


def acc_lanes(spec: CoreSpec) -> data.ArrayLayout:
    """One accumulator for each lane."""
    return data.ArrayLayout(signed(spec.acc_bits), spec.lanes)


class Accumulators(wiring.Component):
    """Add weight words to the accumulators of their groups, one word a cycle.

    A ring of ``delay_slots`` slots. Latency from a word to the memory 4 cycles; sums that are still
    on their way are forwarded, so that words for the same group may follow each other at once.

    Members
    -------
    word : In
        Weight word; never stalled.
    slot, first_open : In
        The slot of this timestep, and the first group that is not yet updated in it: words for
        earlier groups count for the next timestep.
    read_slot, read_group : In
        Accumulators that ``acc`` shows two cycles later, while no word comes in.
    acc : Out
        Accumulators of one group in a register.
    zero_slot, zero_group, zero_en : In
        Set a group's accumulators in one slot to zero; never while a sum is on its way.
    """

    def __init__(self, spec: CoreSpec) -> None:
        self._spec = spec
        group = index_width(spec.groups)
        slot = index_width(spec.delay_slots)
        super().__init__({
            "word": In(weight_word(spec)),
            "slot": In(slot),
            "first_open": In(range(spec.groups + 1)),
            "read_slot": In(slot),
            "read_group": In(group),
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
        valid = Signal(3)
        m.d.sync += valid.eq(Cat(self.word.valid, valid))
        for bank in range(banks):
            delay = self.word.synapses[f"delay{bank}"] if spec.delay_bits else 0
            slot = Signal.like(self.slot, name=f"slot{bank}")
            m.d.comb += slot.eq(slot_now + delay)
            read = Mux(
                self.word.valid,
                address(slot, self.word.group),
                address(self.read_slot, self.read_group),
            )
            zero = address(self.zero_slot, self.zero_group)
            self._bank(m, bank, range(bank * lanes, (bank + 1) * lanes), read, zero, valid)
        return m

    def _bank(
        self, m: Module, bank: int, lanes: range, read: Signal, zero: Signal, valid: Signal
    ) -> None:
        """Read, add, write. Stages: address, memory output, sum, write (``valid[0:3]`` the last 3)."""
        spec = self._spec
        layout = data.ArrayLayout(signed(spec.acc_bits), len(lanes))
        m.submodules[f"bank{bank}"] = memory = Memory(
            shape=layout,
            depth=spec.delay_slots << index_width(spec.groups),
            init=[],
            attrs={"ram_style": "block"},
        )
        write_port = memory.write_port()
        read_port = memory.read_port()

        # A word's sum is missing from the memory for the next three words. The one right before is
        # added to directly (`from_sum`), the two before that replace the memory's output.
        here = Signal(len(read), name=f"here{bank}")
        addresses = [Signal(len(read), name=f"address{bank}_{stage}") for stage in range(3)]
        hits = Signal(3, name=f"hits{bank}")
        from_sum = Signal(name=f"from_sum{bank}")
        total = [Signal(layout, name=f"total{bank}_{stage}") for stage in range(2)]
        weights = [Signal(signed(spec.weight_bits), name=f"weight{n}_0") for n in lanes]
        m.d.comb += [
            here.eq(read),
            read_port.addr.eq(here),
            read_port.en.eq(1),
        ]
        m.d.sync += [
            Cat(addresses).eq(Cat(here, addresses[:-1])),
            hits.eq(
                Cat(
                    self.word.valid & valid[stage] & (here == addresses[stage])
                    for stage in range(3)
                )
            ),
            from_sum.eq(hits[0]),
            total[1].eq(total[0]),
        ]
        for n, lane in enumerate(lanes):
            weight = Signal(signed(spec.weight_bits), name=f"weight{lane}_1")
            acc = self.acc[lane]
            m.d.sync += [
                weights[n].eq(self.word.synapses[f"weight{lane}"]),
                weight.eq(weights[n]),
                acc.eq(Mux(hits[1], total[0][n], Mux(hits[2], total[1][n], read_port.data[n]))),
                total[0][n].eq(Mux(from_sum, total[0][n], acc) + weight),
            ]
        m.d.comb += [
            write_port.addr.eq(Mux(self.zero_en, zero, addresses[2])),
            write_port.data.eq(Mux(self.zero_en, 0, total[0].as_value())),
            write_port.en.eq(self.zero_en | valid[2]),
        ]
