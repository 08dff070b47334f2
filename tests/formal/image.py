# amaranth: UnusedElaboratable=no

"""No timestep without a whole image: the command processor, and what it keeps of a load."""

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Assume, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from spikewright.frames import CRC_SIZE, ID_SIZE, REQUEST_PAYLOADS, Command, LinkSpec
from spikewright.hdl.layouts import struct
from spikewright.hdl.sequence import SequenceCheck
from spikewright.hdl.transmitter import Reply
from spikewright.spec import CoreSpec

from .blocks import Block, Checker, Inside, free_inputs, moves

__all__ = ["AnyDigest", "AnySequence", "LoadChecker", "RunChecker"]

_COMMIT_SIZE = REQUEST_PAYLOADS[Command.COMMIT].size


class AnySequence(SequenceCheck):
    """In place of :class:`SequenceCheck`: takes whatever it likes for the next request."""

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for port in (self.execute, self.again, self.expected):
            m.d.comb += port.eq(AnySeq(len(port)))
        return m


class RunChecker(Checker):
    """Give the command processor any requests: the core steps only while an image is valid.

    Also, for :class:`SequenceChecker`: verdicts are asked for in time, and obeyed. For
    :class:`LoadChecker`: every byte that goes to a memory goes to the load's digest, and a load is
    committed only after all bytes of a COMMIT. And what :class:`FrameReceiver` asks of whoever
    takes its bytes is kept.

    Parameters
    ----------
    block : Block
        Of :class:`CommandDecoder`, best with :class:`AnySequence` for its ``SequenceCheck``.
    spec : CoreSpec
    link : LinkSpec
    """

    def __init__(self, block: Block, *, spec: CoreSpec, link: LinkSpec) -> None:
        self._decoder = block.load()(spec, link, build_id=bytes(ID_SIZE))
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = self.begin()
        decoder = self._decoder
        free_inputs(m, decoder)
        inside = Inside(decoder)
        m.submodules.decoder = inside.fragment
        parts = inside.module.submodules
        given = self._receive(m)
        committed = Signal(range(_COMMIT_SIZE + 2))
        with m.If(moves(decoder.i_frame)):
            m.d.sync += committed.eq(0)
        with m.Elif(moves(parts.load.i_commit) & (committed <= _COMMIT_SIZE)):
            m.d.sync += committed.eq(committed + 1)
        load, written = parts.load, parts.load.i_write
        m.d.comb += [
            Assert(~decoder.step | decoder.image_valid),
            Assert(~moves(parts.records.i) | moves(written)),
            Assert(~moves(written) | (moves(decoder.i) & (written.payload == decoder.i.payload))),
            Assert(~load.commit | (committed == _COMMIT_SIZE)),
            Assert(_at_most_one(load.begin, load.abort, written.valid, load.i_commit.valid)),
            Assert(~(load.begin | load.abort | moves(written)) | (committed == 0)),
            Assert(~(moves(written) | moves(load.i_commit)) | load.loading),
        ]
        self._judge(m, inside)
        if self.invariants:
            self._explain_states(m, inside, given, committed)
        return m

    def _judge(self, m: Module, inside: Inside) -> None:
        """Be a :class:`SequenceCheck`: asked in time, and obeyed."""
        sequence, frame = inside.module.submodules.sequence, self._decoder.i_frame
        judged = inside.ongoing("judge") & ~self._decoder.locked
        age, was_hello = Signal(range(3)), Signal()
        granted, is_told = Signal(), Signal()
        is_over = moves(frame)
        m.d.sync += [
            age.eq(Mux(is_over | ~frame.valid, 0, Mux(age == 2, age, age + 1))),
            was_hello.eq(sequence.hello),
            granted.eq(~is_over & (granted | (judged & sequence.execute))),
            is_told.eq(~is_over & (is_told | sequence.opened)),
        ]
        m.d.comb += [
            Assert(~inside.ongoing("judge") | ((age == 2) & (sequence.hello == was_hello))),
            Assert(~granted | ((age == 2) & (sequence.hello == was_hello))),
            Assert(~sequence.opened | (granted & ~is_told & sequence.hello & ~is_over)),
            Assert(~sequence.executed | (granted & is_over)),
        ]
        if self.invariants:
            is_new = inside["reply"] == Reply.NEW
            is_hello = (frame.payload.command == Command.HELLO) & (frame.payload.length == 0)
            early = inside.ongoing("idle", "look up", "parse", "judge")
            m.d.comb += [
                Assert(inside.ongoing("idle") | (is_new == (early | granted))),
                Assert(~early | ~(granted | is_told)),
                Assert(early | granted | inside.ongoing("send")),
                Assert(~inside.ongoing("execute") | ~is_told),
                Assert(age == Mux(inside.ongoing("idle"), 0, Mux(inside.ongoing("look up"), 1, 2))),
            ]
            with m.If(~inside.ongoing("idle") & (frame.payload.command == Command.HELLO)):
                m.d.comb += Assert(inside["length_fits"] == is_hello)
            with m.If(age == 2):
                m.d.comb += Assert(sequence.hello == is_hello)

    def _explain_states(self, m: Module, inside: Inside, given: Signal, committed: Signal) -> None:
        """What a state of the state machine says of the request that it is at."""
        decoder, load = self._decoder, inside.module.submodules.load
        runs = ~inside.module.submodules.runner.done
        frame, position = decoder.i_frame, inside["position"]
        command = frame.payload.command
        m.d.comb += [
            Assert(~runs | (inside.ongoing("run") & decoder.image_valid)),
            Assert(inside.ongoing("idle") | frame.valid),
            Assert((committed == 0) | inside.ongoing("compare", "clear", "clearing", "send")),
        ]
        with m.If(inside.ongoing("idle", "look up")):
            m.d.comb += Assert(given == 0)
        with m.If(inside.ongoing("look up")):
            m.d.comb += Assert(position == 0)
        with m.If(inside.ongoing("parse")):
            m.d.comb += Assert((position == given) & (position <= inside["head_size"]))
        with m.If(inside.ongoing("parse", "judge", "execute") & (command == Command.COMMIT)):
            m.d.comb += Assert(given == 0)
        with m.If(inside.ongoing("check", "write") & (command == Command.WRITE)):
            m.d.comb += Assert(load.loading)
        with m.If(inside.ongoing("write")):
            m.d.comb += Assert(command == Command.WRITE)
        with m.If(inside.ongoing("compare")):
            m.d.comb += [
                Assert(load.loading & (command == Command.COMMIT)),
                Assert((committed == given) & (frame.payload.length == _COMMIT_SIZE)),
            ]

    def _receive(self, m: Module) -> Signal:
        """Be a :class:`FrameReceiver`: frames that stay, with as many bytes as they say."""
        frame, byte = self._decoder.i_frame, self._decoder.i
        mark, rewind, end = self._decoder.mark, self._decoder.rewind, self._decoder.end
        transfer, before, stays = moves(byte), Signal(), Signal()
        shown = Signal.like(frame.payload)
        given, marked = Signal.like(frame.payload.length), Signal.like(frame.payload.length)
        m.d.sync += [
            before.eq(transfer),
            stays.eq(frame.valid & ~frame.ready),
            shown.eq(frame.payload),
            given.eq(given + transfer),
        ]
        with m.If(mark):
            m.d.sync += marked.eq(given)
        with m.If(rewind):
            m.d.sync += given.eq(marked)
        with m.If(moves(frame)):
            m.d.sync += [given.eq(0), marked.eq(0)]
        m.d.comb += [
            Assume(~stays | (frame.valid & (frame.payload == shown))),
            Assume(~(byte.valid | end) | frame.valid),
            Assume(~byte.valid | (given < frame.payload.length)),
            Assume(~end | ((given == frame.payload.length) & ~before)),
            Assert(~(transfer & frame.ready)),
            Assert(~(transfer | before | ~frame.valid) | ~(mark | rewind)),
        ]
        return given


def _at_most_one(*values: Value) -> Value:
    ones = Cat(values)
    return (ones & (ones - 1)) == 0


class AnyDigest(wiring.Component):
    """In place of :class:`CRC32C`: any digest, which changes only while bytes are taken."""

    i: In(stream.Signature(8))
    clear: In(1)
    crc: Out(8 * CRC_SIZE)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        busy = Signal()
        m.d.comb += self.i.ready.eq(~busy)
        m.d.sync += busy.eq(~self.clear & (moves(self.i) | (busy & AnySeq(1))))
        with m.If(self.clear | busy | moves(self.i)):
            m.d.sync += self.crc.eq(AnySeq(len(self.crc)))
        return m


class LoadChecker(Checker):
    """An image is valid from a COMMIT that tells count and digest of all since BEGIN, until BEGIN.

    One request comes at a time, and a COMMIT whole, as :class:`RunChecker` proves. Counts of bytes
    are compared modulo 2**32, as they travel.

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
        is_whole, image_id = Signal(), Signal(8 * ID_SIZE)
        m.d.sync += written.eq(Mux(load.begin, 0, written + moves(load.i_write)))
        with m.If(moves(load.i_commit)):
            byte = told.as_value().word_select(given, 8)
            m.d.sync += [given.eq(given + 1), byte.eq(load.i_commit.payload)]
        with m.If(load.commit):
            m.d.sync += [
                given.eq(0),
                image_id.eq(told.image_id),
                is_whole.eq((told.byte_count == written) & (told.crc == crc.crc)),
            ]
        with m.If(load.begin):
            m.d.sync += is_whole.eq(0)
        m.d.comb += [
            Assume(~moves(load.i_commit) | (load.loading & (given != _COMMIT_SIZE))),
            Assume(~load.commit | (load.loading & (given == _COMMIT_SIZE))),
            Assume(_at_most_one(load.begin, load.abort, load.i_write.valid, load.i_commit.valid)),
            Assume(~(load.begin | load.abort | moves(load.i_write)) | (given == 0)),
            Assume(~moves(load.i_write) | load.loading),
            Assert(load.valid == is_whole),
            Assert(~load.valid | (load.image_id == image_id)),
            Assert(moves(crc.i) == moves(load.i_write)),
            Assert(crc.clear == load.begin),
        ]
        if self.invariants:
            m.d.comb += Assert(~(load.loading & load.valid))
            self._compare(m, inside, written, given, told)
        return m

    def _compare(
        self, m: Module, inside: Inside, written: Signal, given: Signal, told: data.View
    ) -> None:
        """After so many bytes of a COMMIT that much of it has been compared."""
        load, crc = self._load, inside.module.submodules.crc
        m.d.comb += [
            Assert(inside["byte_count"] == written),
            Assert(inside["position"] == given[: len(inside["position"])]),
            Assert((given == 0) | (load.loading & crc.i.ready)),
        ]
        expected = Cat(written, crc.crc)
        for count in range(1, _COMMIT_SIZE + 1):
            rest = max(0, 8 * (count - ID_SIZE))
            shown = 8 * min(count, ID_SIZE)
            with m.If(given == count):
                m.d.comb += Assert(load.image_id[-shown:] == told.as_value()[:shown])
                if count >= ID_SIZE:
                    compared = told.as_value()[8 * ID_SIZE :][:rest]
                    m.d.comb += Assert(load.good == (compared == expected[:rest]))
