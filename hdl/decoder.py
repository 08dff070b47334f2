"""The command processor: requests in, replies out, the core in between."""

from dataclasses import dataclass

from amaranth.hdl import Module, Mux, ResetInserter, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from spikewright.frames import (
    REPLY,
    REQUEST,
    REQUEST_PAYLOADS,
    RUNS,
    Command,
    LinkSpec,
    Status,
)
from spikewright.learning import REWARD_BITS
from spikewright.spec import CoreSpec, index_width

from .core import HostPort
from .counters import CounterPort
from .layouts import following
from .load import ImageLoad
from .pending import group_spikes
from .receiver import frame_length
from .records import RecordAccess
from .replies import Payload, ReplyWriter
from .request import NUMBER_SIZE, RequestReader, head_of
from .runner import TimestepRunner
from .sequence import SequenceCheck, Turn
from .serial import SerialCounter
from .spikes import SpikeEncoder
from .timer import MISSED
from .transmitter import Reply

__all__ = ["CommandDecoder"]


@dataclass(frozen=True)
class _Parts:
    """What the states of the one state machine share."""

    position: Signal
    status: Signal
    reply: Signal
    payload: Signal
    request: RequestReader
    sequence: SequenceCheck
    timestep: SerialCounter
    load: ImageLoad
    records: RecordAccess
    runner: TimestepRunner
    encoder: SpikeEncoder
    writer: ReplyWriter

    def head(self, command: Command) -> data.View:
        """The request's head, of this command."""
        return head_of(command, self.request.head)


class CommandDecoder(wiring.Component):
    """Execute requests in the order of their sequence numbers, each exactly once.

    One state machine takes header and head of a request into registers, judges its sequence number
    and length, executes it and writes the reply. Nothing is done before all of a request was found
    in order.

    Parameters
    ----------
    spec : CoreSpec
    link : LinkSpec
    build_id : bytes
        ``ID_SIZE`` bytes for the HELLO reply.

    Members
    -------
    i_frame, i, end, mark, rewind
        As in :class:`FrameReceiver`.
    slot, o, o_send, locked
        As in :class:`ReplyTransmitter`: slot, i, i_send, locked.
    counters : Out
        :class:`CounterPort`.
    o_missed
        As in :class:`TimestepRunner`.
    o_spikes, step, clear, busy, spikes, host
        As in :class:`Core`: i_spikes, and so on.
    learn, reward : Out(1), Out(signed(8))
        As in :class:`Core`, while timesteps run; always 0 for a spec without plasticity.
    image_valid : Out(1)
        The core holds a whole image.
    active : Out(1)
        A request is being executed, or time passes on a timeline.
    """

    def __init__(self, spec: CoreSpec, link: LinkSpec, *, build_id: bytes) -> None:
        self._spec = spec
        self._link = link
        self._build_id = build_id
        super().__init__({
            "i_frame": In(stream.Signature(frame_length(link))),
            "i": In(stream.Signature(8)),
            "end": In(1),
            "mark": Out(1),
            "rewind": Out(1),
            "slot": Out(range(link.window)),
            "o": Out(stream.Signature(8)),
            "o_send": Out(stream.Signature(Reply)),
            "locked": In(1),
            "counters": Out(CounterPort()),
            "o_missed": Out(stream.Signature(MISSED)),
            "o_spikes": Out(stream.Signature(index_width(spec.axons))),
            "step": Out(1),
            "learn": Out(1),
            "reward": Out(signed(REWARD_BITS)),
            "clear": Out(1),
            "busy": In(1),
            "spikes": In(data.StructLayout({"en": 1, **group_spikes(spec).members})),
            "host": Out(HostPort(spec)),
            "image_valid": Out(1),
            "active": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        parts = self._parts(m)
        self._connect(m, parts)
        with m.FSM() as fsm:
            self._judge(m, parts)
            self._execute(m, parts)
            self._load(m, parts)
            self._run(m, parts)
            self._reply(m, parts)
        m.d.comb += self.active.eq(
            ~fsm.ongoing("idle") | self.i_frame.valid | parts.runner.has_timeline
        )
        return m

    def _parts(self, m: Module) -> _Parts:
        spec, link = self._spec, self._link
        m.submodules.request = request = RequestReader(spec, link)
        m.submodules.sequence = sequence = SequenceCheck(link)
        m.submodules.load = load = ImageLoad()
        m.submodules.records = records = RecordAccess(spec, link)
        m.submodules.runner = runner = TimestepRunner(spec, link)
        m.submodules.writer = writer = ReplyWriter(spec, link, build_id=self._build_id)
        encoder, timestep = SpikeEncoder(spec), SerialCounter()
        m.submodules.encoder = ResetInserter(self.clear)(encoder)
        begins_anew = following(m, self.clear | load.begin, "begins_anew")
        m.submodules.timestep = ResetInserter(begins_anew)(timestep)
        return _Parts(
            position=Signal(range(REPLY.size), name="position"),
            status=Signal(Status, name="status"),
            reply=Signal(Reply, name="reply"),
            payload=Signal(Payload, name="payload"),
            request=request,
            sequence=sequence,
            timestep=timestep,
            load=load,
            records=records,
            runner=runner,
            encoder=encoder,
            writer=writer,
        )

    def _connect(self, m: Module, parts: _Parts) -> None:
        """Wire everything that needs no state."""
        runner, encoder, records, writer = parts.runner, parts.encoder, parts.records, parts.writer
        request = parts.request
        read, write_size = parts.head(Command.READ), REQUEST_PAYLOADS[Command.WRITE].size
        wiring.connect(m, records.host, wiring.flipped(self.host))
        wiring.connect(m, writer.counters, wiring.flipped(self.counters))
        wiring.connect(m, encoder.o, writer.i_spikes)
        wiring.connect(m, runner.o_axons, wiring.flipped(self.o_spikes))
        wiring.connect(m, runner.o_missed, wiring.flipped(self.o_missed))
        m.d.comb += [
            parts.sequence.i.eq(self.i.payload),
            parts.sequence.hello.eq(request.is_hello),
            request.length.eq(self.i_frame.payload),
            request.loading.eq(parts.load.loading),
            request.image_valid.eq(parts.load.valid),
            request.timestep.eq(parts.timestep.byte),
            parts.timestep.turn.eq(request.turn_timestep | writer.turn_timestep),
            self.slot.eq(request.slot),
            records.request.write.eq(request.command == Command.WRITE),
            records.request.region.eq(read.region),
            records.request.index.eq(read.index),
            records.request.length.eq(self.i_frame.payload - (REQUEST.size + write_size)),
            records.request.count.eq(read.count),
            runner.count.eq(parts.head(Command.RUN).count),  # and LEARN's
            runner.clear.eq(self.clear),
            runner.end.eq(self.end),
            runner.busy.eq(self.busy),
            runner.idle.eq(encoder.idle),
            runner.room.eq(encoder.room),
            runner.period.eq(parts.head(Command.PACE).period),
            request.refused.eq(runner.refused),
            self.step.eq(runner.step),
            parts.timestep.count.eq(runner.step),
            encoder.spikes.eq(self.spikes),
            encoder.end.eq(runner.flush),
            writer.command.eq(request.command),
            writer.first.eq(parts.sequence.expected),
            writer.timestep.eq(parts.timestep.byte),
            writer.image_valid.eq(parts.load.valid),
            writer.image_id.eq(parts.load.image_id),
            parts.load.turn.eq(writer.turn_image_id),
            writer.level.eq(encoder.level),
            self.image_valid.eq(parts.load.valid),
            self.o_send.payload.eq(parts.reply),
        ]
        for sink in (request.i, runner.i, records.i, parts.load.i_write, parts.load.i_commit):
            m.d.comb += sink.payload.eq(self.i.payload)
        if self._spec.plastic:
            m.d.sync += self.learn.eq(request.command == Command.LEARN)
            m.d.comb += self.reward.eq(parts.head(Command.LEARN).reward)

    def _judge(self, m: Module, parts: _Parts) -> None:
        """Take a request's head, then judge its sequence number."""
        request, sequence = parts.request, parts.sequence
        with m.State("idle"):
            m.d.sync += [
                parts.position.eq(0),
                parts.status.eq(Status.OK),
                parts.reply.eq(Reply.NEW),
                parts.payload.eq(Payload.NONE),
            ]
            with m.If(self.i_frame.valid):
                m.d.comb += request.start.eq(1)
                m.next = "take"
        with m.State("take"):
            m.d.comb += [
                request.i.valid.eq(self.i.valid),
                self.i.ready.eq(request.i.ready),
                sequence.turn.eq(request.turn),
                sequence.kind.eq(Turn.TAKE),
            ]
            with m.If(request.done):
                m.next = "judge"
        with m.State("judge"):
            with m.If(sequence.again):
                m.d.sync += parts.reply.eq(Reply.AGAIN)
                m.next = "send"
            with m.Elif(~sequence.execute):
                m.d.sync += [
                    parts.reply.eq(Reply.REFUSAL),
                    parts.status.eq(Status.OUT_OF_ORDER),
                    parts.payload.eq(Payload.EXPECTED),
                ]
                with m.If(self.o_send.ready):
                    m.next = "reply"
            with m.Elif(~self.locked):
                # Only now is the slot of this reply free of the older one that it held.
                m.next = "execute"

    def _execute(self, m: Module, parts: _Parts) -> None:
        """Do what takes no time, or branch."""
        load, encoder = parts.load, parts.encoder
        with m.State("execute"):
            m.next = "reply"
            m.d.sync += parts.status.eq(parts.request.verdict)
            with m.If(parts.request.verdict == Status.OK), m.Switch(parts.request.command):
                with m.Case(Command.HELLO):
                    m.d.comb += [load.abort.eq(1), parts.runner.on_demand.eq(1)]
                    m.d.sync += parts.payload.eq(Payload.HEAD)
                with m.Case(Command.COUNTERS):
                    m.d.sync += parts.payload.eq(Payload.HEAD)
                with m.Case(Command.BEGIN):
                    m.d.comb += load.begin.eq(1)
                with m.Case(Command.WRITE, Command.READ):
                    m.next = "locate"
                with m.Case(Command.COMMIT):
                    m.next = "compare"
                with m.Case(*RUNS):
                    m.d.sync += parts.payload.eq(Payload.HEAD)
                    m.next = "start"
                with m.Case(Command.RECORD):
                    m.d.sync += [
                        encoder.first_group.eq(parts.head(Command.RECORD).first_group),
                        encoder.end_group.eq(parts.request.record_end),
                    ]
                with m.Case(Command.CLEAR):
                    m.next = "clear"
                with m.Case(Command.PACE):
                    m.d.comb += parts.runner.pace.eq(1)

    def _load(self, m: Module, parts: _Parts) -> None:
        """Records in and out, the end of a load, and clearing."""
        load, records = parts.load, parts.records
        with m.State("locate"):
            m.d.comb += records.start.eq(1)
            m.next = "check"
        with m.State("check"):
            m.d.sync += parts.status.eq(records.status)
            with m.If(records.checked):
                m.next = "reply"
                with m.If(records.status == Status.OK):
                    m.d.comb += self.rewind.eq(records.request.write)
                    m.d.sync += parts.payload.eq(Payload.RECORDS)
                    with m.If(records.request.write):
                        m.d.sync += parts.payload.eq(Payload.NONE)
                        m.next = "write"
        with m.State("write"):
            in_head = parts.position != REQUEST_PAYLOADS[Command.WRITE].size
            wanted = in_head | records.i.ready
            m.d.comb += [
                load.i_write.valid.eq(self.i.valid & wanted),
                records.i.valid.eq(self.i.valid & load.i_write.ready & ~in_head),
                self.i.ready.eq(load.i_write.ready & wanted),
            ]
            with m.If(self.i.valid & self.i.ready & in_head):
                m.d.sync += parts.position.eq(parts.position + 1)
            with m.If(self.end):
                m.d.sync += parts.position.eq(0)
                m.next = "reply"
        with m.State("compare"):
            m.d.comb += [
                load.i_commit.valid.eq(self.i.valid),
                self.i.ready.eq(load.i_commit.ready),
                load.commit.eq(self.end),
            ]
            with m.If(self.end):
                m.d.sync += parts.status.eq(Status.BAD_DIGEST)
                m.next = "reply"
                with m.If(load.good):
                    m.d.sync += [
                        parts.status.eq(Status.OK),
                        parts.encoder.first_group.eq(0),
                        parts.encoder.end_group.eq(self._spec.groups),
                    ]
                    m.next = "clear"
        with m.State("clear"):
            m.d.comb += self.clear.eq(1)
            m.next = "clearing"
        with m.State("clearing"), m.If(~self.busy):
            m.next = "reply"

    def _run(self, m: Module, parts: _Parts) -> None:
        """Run timesteps."""
        runner = parts.runner
        with m.State("start"):
            m.next = "reply"
            m.d.sync += parts.status.eq(Status.BAD_TIMESTEP)
            with m.If(parts.request.at_timestep):
                m.d.comb += [self.mark.eq(1), runner.start.eq(1)]
                m.next = "run"
        with m.State("run"):
            m.d.comb += [
                runner.i.valid.eq(self.i.valid),
                self.i.ready.eq(runner.i.ready),
                self.rewind.eq(runner.rewind),
            ]
            m.d.sync += parts.status.eq(runner.status)
            with m.If(runner.done):
                m.next = "reply"

    def _reply(self, m: Module, parts: _Parts) -> None:
        """Write the reply, and send it."""
        request, sequence, writer = parts.request, parts.sequence, parts.writer
        position = parts.position
        is_number = position < NUMBER_SIZE
        with m.State("reply"):
            m.d.comb += [
                self.o.valid.eq(1),
                self.o.payload.eq(
                    Mux(position == NUMBER_SIZE, parts.request.command, parts.status)
                ),
            ]
            with m.If(is_number):
                m.d.comb += [self.o.payload.eq(sequence.number), sequence.turn.eq(self.o.ready)]
            with m.If((parts.reply == Reply.NEW) & ~request.is_hello):
                m.d.comb += sequence.kind.eq(Turn.NEXT)
            with m.If(self.o.ready):
                m.d.sync += position.eq(position + 1)
                with m.If(position == REPLY.size - 1):
                    m.d.sync += position.eq(0)
                    with m.Switch(parts.payload):
                        with m.Case(Payload.NONE):
                            m.next = "send"
                        with m.Case(Payload.HEAD):
                            m.d.comb += writer.start.eq(1)
                            m.next = "head"
                        with m.Case(Payload.RECORDS):
                            m.next = "records"
                        with m.Case(Payload.EXPECTED):
                            m.next = "expected"
        with m.State("head"):
            self._pass_on(m, writer)
            m.d.comb += [sequence.turn.eq(writer.turn_first), sequence.kind.eq(Turn.OPEN)]
        with m.State("records"):
            self._pass_on(m, parts.records)
        with m.State("expected"):
            m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(sequence.expected)]
            m.d.comb += sequence.turn.eq(self.o.ready)
            with m.If(self.o.ready):
                m.d.sync += position.eq(position + 1)
                with m.If(position == NUMBER_SIZE - 1):
                    m.next = "send"
        with m.State("send"):
            m.d.comb += self.o_send.valid.eq(1)
            with m.If(self.o_send.ready):
                m.d.comb += self.i_frame.ready.eq(1)
                m.next = "idle"

    def _pass_on(self, m: Module, part: RecordAccess | ReplyWriter) -> None:
        """Let a part give the payload of the reply; send it when the part is done."""
        m.d.comb += [
            self.o.valid.eq(part.o.valid),
            self.o.payload.eq(part.o.payload),
            part.o.ready.eq(self.o.ready),
        ]
        with m.If(part.done):
            m.next = "send"
