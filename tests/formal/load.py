# amaranth: UnusedElaboratable=no

"""What the device keeps of a load: an image is valid only if all of it arrived."""

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Assume, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from spikewright.frames import CRC_SIZE, ID_SIZE, REQUEST_PAYLOADS, Command
from spikewright.hdl.layouts import struct

from .blocks import Block, Checker, Inside, at_most_one, free_inputs, moves

__all__ = ["AnyDigest", "LoadChecker"]

_COMMIT_SIZE = REQUEST_PAYLOADS[Command.COMMIT].size


class AnyDigest(wiring.Component):
    """In place of :class:`CRC32C`: any digest, which changes only as bytes are taken.

    ``intact`` says what it promises: the last four bytes are the digest of those before.
    """

    i: In(stream.Signature(8))
    clear: In(1)
    intact: Out(1)
    digest: Out(8 * CRC_SIZE)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        before = Signal(data.ArrayLayout(8 * CRC_SIZE, CRC_SIZE))
        last = Signal(8 * CRC_SIZE)
        m.d.comb += [
            self.i.ready.eq(AnySeq(1)),
            self.intact.eq(last == before[-1]),
        ]
        with m.If(self.clear):
            m.d.sync += self.digest.eq(AnySeq(len(self.digest)))
        with m.Elif(moves(self.i)):
            m.d.sync += [
                self.digest.eq(AnySeq(len(self.digest))),
                last.eq(Cat(last[8:], self.i.payload)),
                before[0].eq(self.digest),
                *(before[k].eq(before[k - 1]) for k in range(1, CRC_SIZE)),
            ]
        return m


class LoadChecker(Checker):
    """An image is valid from a COMMIT that tells count and digest of all since BEGIN, until BEGIN.

    One request comes at a time, and a COMMIT whole, as :class:`.image.RunChecker` proves. Counts
    of bytes are compared modulo 2**32, as they travel.

    Parameters
    ----------
    block : Block
        Of :class:`ImageLoad`, best with :class:`AnyDigest` for its ``CRC32C``.
    """

    def __init__(self, block: Block) -> None:
        self._load = block.load()()
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = self.begin()
        load = self._load
        free_inputs(m, load)
        inside = Inside(load)
        m.submodules.load = inside.fragment
        crc = inside.module.submodules.crc
        written, given = Signal(32), Signal(range(_COMMIT_SIZE + 1))
        told = Signal(struct(REQUEST_PAYLOADS[Command.COMMIT]))
        is_whole, image_id, digest = Signal(), Signal(8 * ID_SIZE), Signal(8 * CRC_SIZE)
        in_crc = given >= _COMMIT_SIZE - CRC_SIZE
        m.d.sync += written.eq(Mux(load.begin, 0, written + moves(load.i_write)))
        with m.If(moves(load.i_commit)):
            with m.If(~in_crc):
                m.d.sync += digest.eq(crc.digest)
            byte = told.as_value().word_select(given, 8)
            m.d.sync += [given.eq(given + 1), byte.eq(load.i_commit.payload)]
        with m.If(load.turn):
            m.d.sync += image_id.eq(image_id.rotate_right(8))
        with m.If(load.commit):
            m.d.sync += [
                given.eq(0),
                image_id.eq(told.image_id),
                is_whole.eq((told.byte_count == written) & (told.crc == digest)),
            ]
        with m.If(load.begin):
            m.d.sync += is_whole.eq(0)
        rest = Signal(range(5))  # the CRC takes longer for a byte than the count does
        m.d.sync += rest.eq(Mux(moves(load.i_write), 4, Mux(rest == 0, 0, rest - 1)))
        payloads = load.i_commit.payload, load.i_write.payload
        takes = moves(load.i_write) | (moves(load.i_commit) & in_crc)
        m.d.comb += [
            Assume(~moves(load.i_commit) | (load.loading & (given != _COMMIT_SIZE))),
            Assume(~load.commit | (load.loading & (given == _COMMIT_SIZE))),
            Assume(at_most_one(load.begin, load.abort, load.i_write.valid, load.i_commit.valid)),
            Assume(~(load.begin | load.abort | moves(load.i_write)) | (given == 0)),
            Assume(~moves(load.i_write) | (load.loading & (rest == 0))),
            Assume(~load.turn | ~load.loading),
            Assert(load.valid == is_whole),
            Assert(load.image_id == Mux(load.valid, image_id[:8], 0)),
            Assert(moves(crc.i) == takes),
            Assert(~takes | (crc.i.payload == Mux(in_crc, *payloads))),
            Assert(crc.clear == load.begin),
        ]
        if self.invariants:
            m.d.comb += Assert(~(load.loading & load.valid))
            self._compare(m, inside, written, given, told, digest, rest)
            with m.If(load.valid):
                m.d.comb += Assert(inside["image_id"] == image_id)
        return m

    def _compare(
        self,
        m: Module,
        inside: Inside,
        written: Signal,
        given: Signal,
        told: data.View,
        digest: Signal,
        rest: Signal,
    ) -> None:
        """After so many bytes of a COMMIT that much of it has been compared."""
        load, counter, crc = self._load, inside.part("byte_count"), inside.part("crc")
        value, left, carry = counter["value"], counter["left"], counter["carry"]
        old = (written - 1)[: len(written)]
        m.d.comb += [
            Assert(inside["position"] == given[: len(inside["position"])]),
            Assert((given <= _COMMIT_SIZE) & ((given == 0) | load.loading)),
            Assert((left <= rest) & (left <= 4)),
            Assert((left == 0) | (left + given <= 4)),
        ]
        with m.If(left == 0):
            m.d.comb += Assert(~carry)
        for turned in range(4):
            bits = 8 * turned
            with m.If(left == 4 - turned):
                m.d.comb += [
                    Assert(value == Cat(old[bits:], written[:bits])),
                    Assert(carry == old[:bits].all()),
                ]
        for count in range(_COMMIT_SIZE + 1):
            shown = 8 * min(count, ID_SIZE)
            turned = 8 * min(max(count - ID_SIZE, 0), 4)
            checked = max(count - ID_SIZE - 4, 0)
            with m.If(load.loading & (given == count)):
                m.d.comb += [
                    Assert((left != 0) | (value == written.rotate_right(turned))),
                    Assert(inside["is_counted"] == (told.byte_count[:turned] == written[:turned])),
                ]
                if shown:
                    m.d.comb += Assert(inside["image_id"][-shown:] == told.image_id[:shown])
                if count >= ID_SIZE + 4:
                    before = Cat(inside.module.submodules.crc.digest, crc["before"])
                    m.d.comb += Assert(before.word_select(checked, 32) == digest)
                if checked:
                    m.d.comb += Assert(crc["last"][-8 * checked :] == told.crc[: 8 * checked])
