"""Winners: of a level that lets only so many neurons spike, those furthest above threshold."""

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from spikewright.spec import CoreSpec, Region

from .layouts import delayed, following, part_width

__all__ = ["Winners"]


class Winners(wiring.Component):
    """Find a level's winners in several passes over its groups.

    Each candidate has a rank of its own: how far it is above its threshold, and of equal ones the
    first is higher. The first pass finds the best rank, each pass that searches the next one below
    it, up to the level's number of winners or until there is none. In the last pass, which settles,
    those at or above the lowest that was found spike.

    Members
    -------
    part, candidates, keys : In
        Stage 10 of the update pipeline, for each of the part's neurons.
    searches : In(1)
        Stage 10: a part of a pass that looks for a winner, and that is not flushed.
    restricted : In(1)
        Stage 10: the level has winners, and they are not settled yet.
    again, settles : In(1)
        Stage 10: not the first pass; the last.
    wins : Out
        Stage 10: who may spike.
    rests : Out(1)
        Stage 10: v of all others becomes zero.
    ends, first, most : In
        Stage 11: a pass that looked for a winner ends, it was the level's first, and most winners
        of the level.
    more : Out(1)
        Then: another such pass follows.
    """

    def __init__(self, spec: CoreSpec) -> None:
        self._spec = spec
        most = {f.name: f.width for f in spec.memories[Region.LEVELS].layout.fields}["winners"]
        super().__init__({
            "part": In(part_width(spec)),
            "candidates": In(spec.update_lanes),
            "keys": In(data.ArrayLayout(spec.state_bits, spec.update_lanes)),
            "searches": In(1),
            "restricted": In(1),
            "again": In(1),
            "settles": In(1),
            "wins": Out(spec.update_lanes),
            "rests": Out(1),
            "ends": In(1),
            "first": In(1),
            "most": In(most),
            "more": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes = range(self._spec.update_lanes)
        lane_bits = (len(lanes) - 1).bit_length()
        width = lane_bits + len(self.part) + self._spec.state_bits
        bound = Signal(width)
        found = Signal()
        has, fits = Signal(len(lanes)), Signal(len(lanes))
        best = [Signal(width, name=f"best{k}") for k in lanes]
        # Pass over: once the best of all lanes are compared, the lowest rank that was found.
        comparing = delayed(m, self.ends, 1 + lane_bits, "comparing")
        for k in lanes:
            rank = Cat(C(~k & (len(lanes) - 1), lane_bits), ~self.part, self.keys[k])
            below = rank < bound
            candidate = self.candidates[k]
            rank_11 = following(m, rank, f"rank{k}")
            m.d.comb += self.wins[k].eq(Mux(self.settles, ~below, ~self.restricted))
            m.d.sync += fits[k].eq(self.searches & candidate & (~self.again | below))
            with m.If(fits[k] & (~has[k] | (rank_11 > best[k]))):
                m.d.sync += [best[k].eq(rank_11), has[k].eq(1)]
        any_found, highest = self._best(m, has, best)
        with m.If(comparing):
            m.d.sync += has.eq(0)
            with m.If(any_found):
                m.d.sync += bound.eq(highest)

        count = Signal.like(self.most)
        found_now = (has | fits).any()
        so_far = Mux(self.first, 0, count)
        m.d.comb += [
            self.more.eq(found_now & (so_far + 1 < self.most)),
            self.rests.eq(self.settles & found),
        ]
        with m.If(self.ends):
            m.d.sync += count.eq(so_far + found_now)
            with m.If(self.first):
                m.d.sync += found.eq(found_now)
        return m

    def _best(self, m: Module, has: Signal, best: list[Signal]) -> tuple[Value, Value]:
        """The highest rank of all lanes, a cycle later for each halving."""
        nodes: list[tuple[Value, Value]] = [(has[k], rank) for k, rank in enumerate(best)]
        while len(nodes) > 1:
            halved = []
            for k in range(0, len(nodes), 2):
                (has_1, rank_1), (has_2, rank_2) = nodes[k], nodes[k + 1]
                second = has_2 & (~has_1 | (rank_2 > rank_1))
                level = len(nodes)
                rank = following(m, Mux(second, rank_2, rank_1), f"rank{level}_{k}")
                halved.append((following(m, has_1 | has_2, f"has{level}_{k}"), rank))
            nodes = halved
        return nodes[0]
