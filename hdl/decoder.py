"""The command processor: requests in, replies out, the core in between."""

from dataclasses import dataclass

from amaranth.hdl import Module, Mux, ResetInserter, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from spikewright.frames import (
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
from .layouts import struct
from .load import ImageLoad
from .pending import group_spikes
from .receiver import frame_layout
from .records import RecordAccess
from .replies import ReplyWriter
from .runner import TimestepRunner
from .sequence import SequenceCheck
from .spikes import SpikeEncoder
from .timer import MISSED
from .transmitter import SEND, Reply

__all__ = ["CommandDecoder"]

_OPEN_ENDED = (Command.WRITE, *RUNS)
_PARSED = {
    command: 0 if command is Command.COMMIT else layout.size
    for command, layout in REQUEST_PAYLOADS.items()
}
"""Bytes of a payload that are taken into the head register; a COMMIT's go to :class:`ImageLoad`."""


@dataclass(frozen=True)
class _Parts:
    """What the states of the one state machine share."""

    head: Signal
    head_size: Signal
    is_hello: Signal
    verdict: Signal
    position: Signal
    status: Signal
    reply: Signal
    at_timestep: Signal
    record_end: Signal
    sequence: SequenceCheck
    load: ImageLoad
    records: RecordAccess
    runner: TimestepRunner
    encoder: SpikeEncoder
    writer: ReplyWriter

    def request(self, command: Command) -> data.View:
        """The head register as that command's fixed head."""
        layout = struct(REQUEST_PAYLOADS[command])
        return data.View(layout, self.head[: layout.size])


class CommandDecoder(wiring.Component):
    """Execute requests in the order of their sequence numbers, each exactly once.

    One state machine takes a frame's head into a register, judges its sequence number and length,
    executes it and writes the reply. Nothing is done before all of a request was found in order.

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
    sequence, o, o_send, locked
        As in :class:`ReplyTransmitter`: sequence, i, i_send, locked.
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
            "i_frame": In(stream.Signature(frame_layout(link))),
            "i": In(stream.Signature(8)),
            "end": In(1),
            "mark": Out(1),
            "rewind": Out(1),
            "sequence": Out(struct(REQUEST)["sequence"].shape),
            "o": Out(stream.Signature(8)),
            "o_send": Out(stream.Signature(SEND)),
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
        self._look_up(m, parts)
        with m.FSM() as fsm:
            self._parse(m, parts)
            self._execute(m, parts)
            self._load(m, parts)
            self._run(m, parts)
        m.d.comb += self.active.eq(
            ~fsm.ongoing("idle") | self.i_frame.valid | parts.runner.has_timeline
        )
        return m

    def _parts(self, m: Module) -> _Parts:
        spec, link = self._spec, self._link
        m.submodules.sequence = sequence = SequenceCheck(link)
        m.submodules.load = load = ImageLoad()
        m.submodules.records = records = RecordAccess(spec, link)
        m.submodules.runner = runner = TimestepRunner(spec, link)
        m.submodules.writer = writer = ReplyWriter(spec, link, build_id=self._build_id)
        encoder = SpikeEncoder(spec)
        m.submodules.encoder = ResetInserter(self.clear)(encoder)
        most = max(_PARSED.values())
        return _Parts(
            head=Signal(8 * most, name="head"),
            head_size=Signal(range(most + 1), name="head_size"),
            is_hello=Signal(name="is_hello"),
            verdict=Signal(Status, name="verdict"),
            position=Signal(range(max(_PARSED.values()) + 1), name="position"),
            status=Signal(Status, name="status"),
            reply=Signal(Reply, name="reply"),
            at_timestep=Signal(name="at_timestep"),
            record_end=Signal(17, name="record_end"),
            sequence=sequence,
            load=load,
            records=records,
            runner=runner,
            encoder=encoder,
            writer=writer,
        )

    def _connect(self, m: Module, parts: _Parts) -> None:
        """Wire everything that needs no state."""
        frame = self.i_frame.payload
        runner, encoder, records, writer = parts.runner, parts.encoder, parts.records, parts.writer
        read = parts.request(Command.READ)
        wiring.connect(m, records.host, wiring.flipped(self.host))
        wiring.connect(m, writer.counters, wiring.flipped(self.counters))
        wiring.connect(m, encoder.o, writer.i_spikes)
        wiring.connect(m, runner.o_axons, wiring.flipped(self.o_spikes))
        wiring.connect(m, runner.o_missed, wiring.flipped(self.o_missed))
        m.d.comb += [
            parts.sequence.sequence.eq(frame.sequence),
            parts.sequence.hello.eq(parts.is_hello),
            records.request.write.eq(frame.command == Command.WRITE),
            records.request.region.eq(read.region),
            records.request.index.eq(read.index),
            records.request.length.eq(frame.length - REQUEST_PAYLOADS[Command.WRITE].size),
            records.request.count.eq(read.count),
            runner.count.eq(parts.request(Command.RUN).count),  # and LEARN's
            runner.clear.eq(self.clear),
            runner.end.eq(self.end),
            runner.busy.eq(self.busy),
            runner.idle.eq(encoder.idle),
            runner.room.eq(encoder.room),
            runner.period.eq(parts.request(Command.PACE).period),
            runner.on_demand.eq(parts.sequence.opened),
            self.step.eq(runner.step),
            encoder.spikes.eq(self.spikes),
            encoder.end.eq(runner.flush),
            writer.command.eq(frame.command),
            writer.first.eq(parts.sequence.expected),
            writer.image_valid.eq(parts.load.valid),
            writer.image_id.eq(parts.load.image_id),
            writer.level.eq(encoder.level),
            self.image_valid.eq(parts.load.valid),
            self.sequence.eq(frame.sequence),
            self.o_send.payload.reply.eq(parts.reply),
            self.o_send.payload.command.eq(frame.command),
            self.o_send.payload.status.eq(parts.status),
            self.o_send.payload.expected.eq(parts.sequence.expected),
        ]
        for sink in (runner.i, records.i, parts.load.i_write, parts.load.i_commit):
            m.d.comb += sink.payload.eq(self.i.payload)
        if self._spec.plastic:
            m.d.sync += self.learn.eq(frame.command == Command.LEARN)
            m.d.comb += self.reward.eq(parts.request(Command.LEARN).reward)
        with m.If(self.step):
            m.d.sync += writer.timestep.eq(writer.timestep + 1)
        with m.If(self.clear | parts.load.begin):
            m.d.sync += writer.timestep.eq(0)

    def _look_up(self, m: Module, parts: _Parts) -> None:
        """Judge length and command: there two cycles after frame and head, before "execute"."""
        frame = self.i_frame.payload
        record = parts.request(Command.RECORD)
        run = parts.request(Command.RUN)
        is_known = Signal()
        length_fits = Signal()
        refusals = {
            Status.BAD_COMMAND: ~is_known,
            Status.BAD_LENGTH: ~length_fits,
            Status.NOT_LOADING: frame.command.matches(Command.WRITE, Command.COMMIT)
            & ~parts.load.loading,
            Status.NOT_PLASTIC: (frame.command == Command.LEARN) & (not self._spec.plastic),
            Status.NO_IMAGE: frame.command.matches(*RUNS) & ~parts.load.valid,
            Status.BAD_ADDRESS: (frame.command == Command.RECORD)
            & (parts.record_end > self._spec.groups),
            Status.BAD_PERIOD: (frame.command == Command.PACE) & parts.runner.refused,
        }
        m.d.sync += [
            is_known.eq(0),
            length_fits.eq(0),
            parts.head_size.eq(0),
            parts.is_hello.eq((frame.command == Command.HELLO) & length_fits),
            parts.at_timestep.eq(run.timestep == parts.writer.timestep),
            parts.record_end.eq(record.first_group + record.group_count),
            parts.verdict.eq(Status.OK),
        ]
        with m.Switch(frame.command):
            for command, layout in REQUEST_PAYLOADS.items():
                with m.Case(command):
                    m.d.sync += [
                        is_known.eq(1),
                        parts.head_size.eq(_PARSED[command]),
                        length_fits.eq(
                            frame.length >= layout.size
                            if command in _OPEN_ENDED
                            else frame.length == layout.size
                        ),
                    ]
        for status, is_due in reversed(refusals.items()):
            with m.If(is_due):
                m.d.sync += parts.verdict.eq(status)

    def _parse(self, m: Module, parts: _Parts) -> None:
        """Take the head of the payload, then judge the sequence number."""
        sequence = parts.sequence
        with m.State("idle"):
            m.d.sync += [parts.position.eq(0), parts.status.eq(Status.OK)]
            m.d.sync += parts.reply.eq(Reply.NEW)
            with m.If(self.i_frame.valid):
                m.next = "look up"
        with m.State("look up"):
            m.next = "parse"
        with m.State("parse"):
            with m.If(self.end | (parts.position == parts.head_size)):
                m.next = "judge"
            with m.Elif(self.i.valid):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [
                    parts.head.word_select(parts.position, 8).eq(self.i.payload),
                    parts.position.eq(parts.position + 1),
                ]
        with m.State("judge"):
            m.d.sync += parts.position.eq(0)
            with m.If(~sequence.execute):
                m.d.sync += parts.reply.eq(Mux(sequence.again, Reply.AGAIN, Reply.REFUSAL))
                m.d.sync += parts.status.eq(Status.OUT_OF_ORDER)
                m.next = "send"
            with m.Elif(~self.locked):
                # Only now is the slot of this reply free of the older one that it held.
                m.next = "execute"
        with m.State("send"):
            m.d.comb += self.o_send.valid.eq(1)
            with m.If(self.o_send.ready):
                m.d.comb += self.i_frame.ready.eq(1)
                m.d.comb += sequence.executed.eq(parts.reply == Reply.NEW)
                m.next = "idle"

    def _execute(self, m: Module, parts: _Parts) -> None:
        """Do what takes no time, or branch."""
        load, encoder = parts.load, parts.encoder
        with m.State("execute"):
            m.next = "send"
            m.d.sync += parts.status.eq(parts.verdict)
            with m.If(parts.verdict == Status.OK), m.Switch(self.i_frame.payload.command):
                with m.Case(Command.HELLO):
                    m.d.comb += [parts.sequence.opened.eq(1), load.abort.eq(1)]
                    m.next = "reply"
                with m.Case(Command.COUNTERS):
                    m.next = "reply"
                with m.Case(Command.BEGIN):
                    m.d.comb += load.begin.eq(1)
                with m.Case(Command.WRITE, Command.READ):
                    m.d.comb += parts.records.start.eq(1)
                    m.next = "check"
                with m.Case(Command.COMMIT):
                    m.next = "compare"
                with m.Case(*RUNS):
                    m.d.comb += [self.mark.eq(1), parts.runner.start.eq(parts.at_timestep)]
                    m.next = "run"
                    with m.If(~parts.at_timestep):
                        m.d.sync += parts.status.eq(Status.BAD_TIMESTEP)
                        m.next = "reply"
                with m.Case(Command.RECORD):
                    m.d.sync += [
                        encoder.first_group.eq(parts.request(Command.RECORD).first_group),
                        encoder.end_group.eq(parts.record_end),
                    ]
                with m.Case(Command.CLEAR):
                    m.next = "clear"
                with m.Case(Command.PACE):
                    m.d.comb += parts.runner.pace.eq(1)

    def _load(self, m: Module, parts: _Parts) -> None:
        """Records in and out, the end of a load, and clearing."""
        load, records = parts.load, parts.records
        with m.State("check"):
            m.d.sync += parts.status.eq(records.status)
            with m.If(records.checked):
                m.next = "send"
                with m.If(records.status == Status.OK):
                    m.d.comb += self.rewind.eq(records.request.write)
                    m.next = "read"
                    with m.If(records.request.write):
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
                m.next = "send"
        with m.State("read"):
            self._pass_on(m, records)
        with m.State("compare"):
            m.d.comb += [
                load.i_commit.valid.eq(self.i.valid),
                self.i.ready.eq(load.i_commit.ready),
                load.commit.eq(self.end),
            ]
            with m.If(self.end):
                m.d.sync += parts.status.eq(Status.BAD_DIGEST)
                m.next = "send"
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
            m.next = "send"

    def _run(self, m: Module, parts: _Parts) -> None:
        """Run timesteps, and have payloads of replies written."""
        runner, writer = parts.runner, parts.writer
        with m.State("run"):
            m.d.comb += [
                runner.i.valid.eq(self.i.valid),
                self.i.ready.eq(runner.i.ready),
                self.rewind.eq(runner.rewind),
            ]
            m.d.sync += parts.status.eq(runner.status)
            with m.If(runner.done):
                m.next = "reply"
        with m.State("reply"):
            m.d.comb += writer.start.eq(1)
            m.next = "writing"
        with m.State("writing"):
            self._pass_on(m, writer)

    def _pass_on(self, m: Module, part: RecordAccess | ReplyWriter) -> None:
        """Let a part give the payload of the reply; send it when the part is done."""
        m.d.comb += [
            self.o.valid.eq(part.o.valid),
            self.o.payload.eq(part.o.payload),
            part.o.ready.eq(self.o.ready),
        ]
        with m.If(part.done):
            m.next = "send"
