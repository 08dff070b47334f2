# amaranth: UnusedElaboratable=no

"""The queue: what goes in comes out, once, in order."""

from amaranth.hdl import Assert, Module, Mux, Signal

from .blocks import Block, Checker, free

__all__ = ["FIFOChecker"]


class FIFOChecker(Checker):
    """Follow any one entry from where it is written to where it is read.

    Which entry is free, so what is proved of it holds for all: it is read after exactly those that
    were written before it, with the data it was written with.

    Parameters
    ----------
    block : Block
        A queue with the interface of ``SyncFIFOBuffered``.
    width, depth : int
    """

    def __init__(self, block: Block, *, width: int, depth: int) -> None:
        self._fifo = block.load()(width=width, depth=depth)
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = self.begin()
        fifo = self._fifo
        # With "formal", Amaranth's queue asserts that its addresses and its level agree.
        m.submodules.fifo = inside = fifo.elaborate("formal" if self.invariants else None)
        followed = Signal()
        data = Signal(fifo.width)
        ahead = Signal(range(fifo.depth + 1))
        level = Signal(range(fifo.depth + 2))
        written, read = fifo.w_en & fifo.w_rdy, fifo.r_en & fifo.r_rdy
        m.d.comb += [
            fifo.w_data.eq(free(m, fifo.width, "w_data")),
            fifo.w_en.eq(free(m, 1, "w_en")),
            fifo.r_en.eq(free(m, 1, "r_en")),
            Assert(fifo.level == level),
            Assert(level <= fifo.depth),
        ]
        m.d.sync += level.eq(level + written - read)
        with m.If(~followed & written & free(m, 1, "follow")):
            m.d.sync += [followed.eq(1), data.eq(fifo.w_data), ahead.eq(level - read)]
        with m.Elif(followed & read):
            m.d.sync += [followed.eq(ahead != 0), ahead.eq(ahead - 1)]
        with m.If(followed & (ahead == 0) & fifo.r_rdy):
            m.d.comb += Assert(fifo.r_data == data)
        with m.If(followed):
            m.d.comb += Assert(ahead < level)
        if self.invariants:
            self._locate(m, inside, followed & ~((ahead == 0) & fifo.r_rdy), ahead, data)
        return m

    def _locate(
        self, m: Module, inside: Module, stored: Signal, ahead: Signal, data: Signal
    ) -> None:
        """The entry stands in the memory, `ahead` places after the oldest one there."""
        storage = inside.submodules.storage
        places = self._fifo.depth - 1
        probe = storage.read_port(domain="comb")
        place = storage.read_ports[0].addr + ahead - self._fifo.r_rdy
        m.d.comb += probe.addr.eq(Mux(place >= places, place - places, place))
        with m.If(stored):
            m.d.comb += Assert(probe.data == data)
