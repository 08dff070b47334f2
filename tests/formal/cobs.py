# amaranth: UnusedElaboratable=no

"""COBS: the decoder starts anew after a delimiter, and gives less than it was given."""

from amaranth.hdl import Assert, Assume, Module, ResetInserter, Signal

from .blocks import Block, Checker, Inside, free, free_inputs, moves

__all__ = ["LengthChecker", "ResyncChecker"]


class ResyncChecker(Checker):
    """Give a decoder any past and then a delimiter: from there on it does as a new one does.

    Parameters
    ----------
    block : Block
        Of :class:`COBSDecoder`.
    """

    def __init__(self, block: Block) -> None:
        decoder = block.load()
        self._old, self._new = decoder(), decoder()
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = self.begin()
        old, new = Inside(self._old), Inside(self._new)
        is_synced = Signal()
        m.submodules.old = old.fragment
        m.submodules.new = ResetInserter(~is_synced)(new.fragment)
        free_inputs(m, self._old)
        byte = self._old.i
        m.d.comb += [
            self._new.i.valid.eq(byte.valid),
            self._new.i.payload.eq(byte.payload),
            self._new.o.ready.eq(self._old.o.ready),
        ]
        delimiter = moves(byte) & ~byte.payload.error & (byte.payload.data == 0)
        with m.If(delimiter & free(m, 1, "sync")):
            m.d.sync += is_synced.eq(1)
        with m.If(is_synced):
            m.d.comb += [
                Assert(self._old.i.ready == self._new.i.ready),
                Assert(self._old.o.valid == self._new.o.valid),
            ]
            with m.If(self._old.o.valid):
                m.d.comb += Assert(self._old.o.payload == self._new.o.payload)
            if self.invariants:
                m.d.comb += [Assert(old[name] == new[name]) for name in old]
        return m


class LengthChecker(Checker):
    """A frame has fewer bytes than came for it, and its end comes once, after its delimiter.

    Parameters
    ----------
    block : Block
        Of :class:`COBSDecoder`.
    """

    def __init__(self, block: Block) -> None:
        self._decoder = block.load()()
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = self.begin()
        decoder = self._decoder
        inside = Inside(decoder)
        m.submodules.decoder = inside.fragment
        ahead = Signal(32)
        free_inputs(m, decoder)
        m.d.comb += Assume(~ahead.all())
        i, o = decoder.i, decoder.o
        is_delimiter = ~i.payload.error & (i.payload.data == 0)
        came = moves(i)
        with m.If(came & is_delimiter):
            m.d.sync += ahead.eq(0)
        with m.Elif(came):
            m.d.sync += ahead.eq(ahead + 1 - o.valid)
        with m.If(o.valid):
            m.d.comb += [
                Assert(i.valid & (i.ready == o.ready)),
                Assert(o.payload.end == is_delimiter),
                Assert(ahead != 0),
            ]
        if self.invariants:
            m.d.comb += Assert(inside["inside"] == (ahead != 0))
            m.d.comb += Assert(inside["left"] != 0)
            m.d.comb += Assert(inside["inside"] | ((inside["left"] == 1) & ~inside["zero_due"]))
        return m
