# amaranth: UnusedElaboratable=no

"""No timestep without a whole image, and no request but the one that is expected."""

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Assume, Module, Mux, Signal, Value

from spikewright.frames import (
    ID_SIZE,
    REPLY,
    REPLY_PAYLOADS,
    REQUEST,
    REQUEST_PAYLOADS,
    RUNS,
    Command,
    LinkSpec,
    Status,
)
from spikewright.hdl.replies import RUN_PLACE, Payload
from spikewright.hdl.request import NUMBER_SIZE
from spikewright.hdl.sequence import SequenceCheck, Turn
from spikewright.hdl.transmitter import Reply
from spikewright.spec import CoreSpec

from .blocks import Block, Checker, Inside, at_most_one, free_inputs, moves

__all__ = ["AnySequence", "RunChecker"]

_COMMIT_SIZE = REQUEST_PAYLOADS[Command.COMMIT].size


class AnySequence(SequenceCheck):
    """In place of :class:`SequenceCheck`: takes whatever it likes for the next request."""

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for port in (self.number, self.expected):
            m.d.comb += port.eq(AnySeq(len(port)))
        with m.If(self.turn):
            m.d.sync += [self.execute.eq(AnySeq(1)), self.again.eq(AnySeq(1))]
        m.d.comb += Assume(~(self.execute & self.again))
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
            Assert(at_most_one(load.begin, load.abort, written.valid, load.i_commit.valid)),
            Assert(~(load.begin | load.abort | moves(written)) | (committed == 0)),
            Assert(~(moves(written) | moves(load.i_commit)) | load.loading),
        ]
        self._judge(m, inside, given, committed)
        return m

    def _judge(self, m: Module, inside: Inside, given: Signal, committed: Signal) -> None:
        """Be a :class:`SequenceCheck`: turned by fours, asked in time, and obeyed."""
        check, frame = inside.module.submodules.sequence, self._decoder.i_frame
        byte = self._decoder.i
        turn, takes = check.turn, check.kind == Turn.TAKE
        opens, counts = check.kind == Turn.OPEN, check.kind == Turn.NEXT
        acts = turn & (opens | counts)
        judged = inside.ongoing("judge")
        place, kind = Signal(range(NUMBER_SIZE)), Signal(Turn.as_shape().width)
        granted, is_done = Signal(), Signal()
        was_hello, was_taking = Signal(), Signal()
        is_over = moves(frame)
        m.d.sync += [
            place.eq(place + turn),
            was_hello.eq(check.hello),
            was_taking.eq(turn & takes),
            granted.eq(~is_over & (granted | (judged & check.execute & ~self._decoder.locked))),
            is_done.eq(~is_over & (is_done | (acts & (place == NUMBER_SIZE - 1)))),
        ]
        with m.If(turn):
            m.d.sync += kind.eq(check.kind)
        m.d.comb += [
            Assert(~turn | (place == 0) | (Value.cast(check.kind) == kind)),
            Assert((turn & takes) == (moves(byte) & (given < NUMBER_SIZE))),
            Assert(~(turn & takes) | (check.i == byte.payload)),
            Assert(~(turn & ~takes) | (given >= NUMBER_SIZE)),
            Assert(~acts | (granted & ~is_done & (opens == check.hello))),
            Assert(~judged | ((place == 0) & (given >= REQUEST.size) & ~was_taking & ~granted)),
            Assert(~granted | (check.hello == was_hello)),
            Assert(~is_over | ((place == 0) & (is_done == granted))),
        ]
        if self.invariants:
            self._explain_reading(m, inside, given, place, was_hello)
            self._explain_states(m, inside, given, committed)
            self._explain_reply(m, inside, place, kind, granted, is_done, committed)

    def _explain_reading(
        self, m: Module, inside: Inside, given: Signal, place: Signal, was_hello: Signal
    ) -> None:
        """How far a request's header and head are read, and what is known of it then."""
        request, reader = inside.module.submodules.request, inside.part("request")
        writer = inside.part("writer")
        frame = self._decoder.i_frame
        command, length = request.command, frame.payload
        position, size = reader["position"], reader["head_size"]
        idle, reading = inside.ongoing("idle"), inside.ongoing("take")
        in_head = reader.ongoing("head")
        m.d.comb += [
            Assert(idle | frame.valid),
            Assert(reading | request.done),
            Assert(idle | reading | (given >= REQUEST.size)),
            Assert(~idle | ((given == 0) & (place == 0))),
            Assert(~(reading & ~request.done) | (place == Mux(given < NUMBER_SIZE, given, 0))),
            Assert(~reader.ongoing("number") | ((given == position) & (position < NUMBER_SIZE))),
            Assert(~reader.ongoing("command") | (given == NUMBER_SIZE)),
            Assert(~reader.ongoing("look up") | ((given == REQUEST.size) & (position == 0))),
            Assert(~in_head | (given == REQUEST.size + Mux(position < size, position, size))),
        ]
        with m.If((reading & request.done) | inside.ongoing("judge")):
            m.d.comb += Assert((place == 0) & (given == REQUEST.size + size))
        with m.If(in_head | (request.done & ~idle)):
            is_hello = (command == Command.HELLO) & (length == REQUEST.size)
            m.d.comb += [
                Assert(REQUEST.size + size <= length),
                Assert((command != Command.COMMIT) | (size == 0)),
                Assert(request.is_run == command.matches(*RUNS)),
                Assert(~is_hello | reader["is_known"]),
                Assert((command != Command.HELLO) | (reader["fits"] == is_hello)),
            ]
            with m.If(command == Command.COMMIT):
                m.d.comb += Assert(reader["fits"] == (length == REQUEST.size + _COMMIT_SIZE))
            with m.If((position > 3) | request.done):
                m.d.comb += [
                    Assert(request.is_hello == is_hello),
                    Assert(was_hello == is_hello),
                    Assert(~is_hello | (request.verdict == Status.OK)),
                    Assert(writer["runs"] == request.is_run),
                    Assert(writer["is_counters"] == (command == Command.COUNTERS)),
                ]

    def _explain_states(self, m: Module, inside: Inside, given: Signal, committed: Signal) -> None:
        """What a state of the state machine says of the request that it is at."""
        decoder, load = self._decoder, inside.module.submodules.load
        request, runner = inside.module.submodules.request, inside.module.submodules.runner
        fits = inside.part("request")["fits"]
        command, position = request.command, inside["position"]
        m.d.comb += [
            Assert(runner.done | (inside.ongoing("run") & decoder.image_valid)),
            Assert(
                (committed == 0) | inside.ongoing("compare", "clear", "clearing", "reply", "send")
            ),
            Assert((committed == 0) | (command == Command.COMMIT)),
            Assert(~inside.ongoing("write") | ((command == Command.WRITE) & load.loading)),
            Assert(~(inside.ongoing("check") & (command == Command.WRITE)) | load.loading),
            Assert(~inside.ongoing("check") | command.matches(Command.WRITE, Command.READ)),
            Assert(~inside.ongoing("write") | (position <= REQUEST.size)),
        ]
        with m.If(inside.ongoing("execute") & (command == Command.COMMIT)):
            m.d.comb += Assert(given == REQUEST.size)
        with m.If(inside.ongoing("compare")):
            m.d.comb += [
                Assert(load.loading & (command == Command.COMMIT) & fits),
                Assert(committed + REQUEST.size == given),
            ]
        with m.If(inside.ongoing("execute") & (request.verdict == Status.OK)):
            m.d.comb += [
                Assert(~command.matches(Command.WRITE, Command.COMMIT) | load.loading),
                Assert(~request.is_run | decoder.image_valid),
                Assert((command != Command.COMMIT) | fits),
                Assert((command != Command.HELLO) | request.is_hello),
            ]

    def _explain_reply(
        self,
        m: Module,
        inside: Inside,
        place: Signal,
        kind: Signal,
        granted: Signal,
        is_done: Signal,
        committed: Signal,
    ) -> None:
        """How far a reply is written."""
        check, request = inside.module.submodules.sequence, inside.module.submodules.request
        writer, position = inside.part("writer"), inside["position"]
        is_new = inside["reply"] == Reply.NEW
        payload = inside["payload"]
        heads, expects = payload == Payload.HEAD, payload == Payload.EXPECTED
        gives = payload == Payload.RECORDS
        head, reply = inside.ongoing("head"), inside.ongoing("reply")
        expected, send = inside.ongoing("expected"), inside.ongoing("send")
        early = inside.ongoing("idle", "take", "judge")
        writing = ~writer.ongoing("done")
        counts = is_new & ~request.is_hello
        has_head = request.is_hello | request.is_run | (request.command == Command.COUNTERS)
        start = Mux(writer["runs"], RUN_PLACE, 0)
        sizes = {command: layout.size for command, layout in REPLY_PAYLOADS.items()}
        is_counters = request.command == Command.COUNTERS
        head_size = Mux(is_counters, sizes[Command.COUNTERS], sizes[Command.HELLO])
        in_its_head = (writer["place"] >= start) & (
            writer["place"] < Mux(request.is_run, RUN_PLACE + sizes[Command.RUN], head_size)
        )
        in_number = reply & (position < NUMBER_SIZE)
        turned = Mux(in_number | expected, position[: len(place)], 0)
        opened = head & writing & request.is_hello & (writer["place"] < NUMBER_SIZE)
        m.d.comb += [
            Assert(~early | ~(granted | is_done)),
            Assert(early | (granted == is_new)),
            Assert(granted | ~(is_done | (committed != 0))),
            Assert(early | reply | head | expected | send | inside.ongoing("records") | is_new),
            Assert(early | reply | head | expected | send | inside.ongoing("records") | ~is_done),
            Assert(early | (place == Mux(opened, writer["place"][: len(place)], turned))),
            Assert(
                early
                | (place == 0)
                | (
                    kind
                    == Mux(
                        opened,
                        Turn.OPEN,
                        Mux(reply & counts, Turn.NEXT, Turn.SHOW),
                    )
                )
            ),
            Assert(~inside.ongoing("judge") | is_new | ~(check.execute | check.again)),
            Assert(~inside.ongoing("idle", "take") | (place == 0) | (kind == Turn.TAKE)),
            Assert(~inside.ongoing("take") | is_new),
            Assert(~writing | (head & heads)),
            Assert(~writer.ongoing("spikes") | request.is_run),
            Assert(~head | heads),
            Assert(~expected | expects),
            Assert(~(inside.ongoing("take", "judge") & is_new) | (payload == Payload.NONE)),
            Assert(early | ~expects | ~is_new),
            Assert(early | ~heads | is_new),
            Assert(early | ~heads | has_head),
            Assert(early | ~gives | (request.command == Command.READ)),
            Assert(~inside.ongoing("records") | gives),
            Assert(early | send | (payload == Payload.EXPECTED) | is_new),
            Assert(position < REPLY.size),
            Assert(~expected | (position < NUMBER_SIZE)),
            Assert(~inside.ongoing("execute", "check", "compare", "run") | (position == 0)),
            Assert(~inside.ongoing("clear", "clearing", "judge", "take") | (position == 0)),
            Assert(~reply | (writer["place"] == start)),
            Assert(~writer.ongoing("fetch", "head") | in_its_head),
        ]
        late = reply | head | send
        with m.If(granted & request.is_hello):
            m.d.comb += [
                Assert(inside.ongoing("execute") | (late & heads)),
                Assert(~(reply | inside.ongoing("execute")) | ~is_done),
                Assert(~head | (is_done == ~opened)),
                Assert(~send | is_done),
            ]
        with m.If(granted & ~request.is_hello):
            m.d.comb += [
                Assert(~reply | (is_done == (position >= NUMBER_SIZE))),
                Assert(~(head | send | inside.ongoing("records")) | is_done),
            ]

    def _receive(self, m: Module) -> Signal:
        """Be a :class:`FrameReceiver`: whole requests that stay, with as many bytes as they say."""
        frame, byte = self._decoder.i_frame, self._decoder.i
        mark, rewind, end = self._decoder.mark, self._decoder.rewind, self._decoder.end
        transfer, before, stays = moves(byte), Signal(), Signal()
        shown = Signal.like(frame.payload)
        given = Signal.like(frame.payload)
        marked = Signal.like(frame.payload, init=REQUEST.size)
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
            m.d.sync += [given.eq(0), marked.eq(REQUEST.size)]
        m.d.comb += [
            Assume(~stays | (frame.valid & (frame.payload == shown))),
            Assume(~(byte.valid | end) | frame.valid),
            Assume(frame.payload >= REQUEST.size),
            Assume(~byte.valid | (given < frame.payload)),
            Assume(~end | ((given == frame.payload) & ~before)),
            Assert(~(transfer & frame.ready)),
            Assert(~(transfer | before | ~frame.valid) | ~(mark | rewind)),
            Assert(~mark | (given >= REQUEST.size)),
            Assert(marked >= REQUEST.size),
        ]
        return given
