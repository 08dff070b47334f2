"""Header and head of a request, and what is wrong with it."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from spikewright.frames import REQUEST, REQUEST_PAYLOADS, RUNS, Command, LinkSpec, Status
from spikewright.spec import CoreSpec

from .layouts import struct
from .receiver import frame_length

__all__ = ["HEAD_BITS", "NUMBER_SIZE", "RequestReader", "head_of"]

_OPEN_ENDED = (Command.WRITE, *RUNS)
_HEAD_SIZES = {
    command: 0 if command is Command.COMMIT else layout.size
    for command, layout in REQUEST_PAYLOADS.items()
}
"""Bytes of a payload that are taken into the register; a COMMIT's go to :class:`ImageLoad`."""
_LONGEST = max(_HEAD_SIZES.values())
_TIMESTEP_SIZE = REQUEST_PAYLOADS[Command.RUN].fields[0].width // 8

HEAD_BITS = 8 * _LONGEST
NUMBER_SIZE = REQUEST.fields[0].width // 8
"""Bytes of a sequence number."""


def head_of(command: Command, head: Signal) -> data.View:
    """The register as a command's head."""
    layout = struct(REQUEST_PAYLOADS[command])
    return data.View(layout, head[: layout.size])


class RequestReader(wiring.Component):
    """Take header and head of a request, look its command up, and judge it.

    Parameters
    ----------
    spec : CoreSpec
    link : LinkSpec

    Members
    -------
    start : In(1)
        A frame is there: take its first bytes. Only when done.
    done : Out(1)
        They are taken.
    length : In
        Of the frame, while it is there.
    i : In(stream), 8 bits
    turn : Out(1)
        This byte of ``i`` is one of the sequence number.
    slot : Out
        The number modulo ``window``.
    timestep, turn_timestep : In(8), Out(1)
        A byte of the device's timestep, lowest first; go on to the next one, four times or never.
    command : Out(8)
    head : Out
        See :func:`head_of`.
    is_hello, is_run, at_timestep : Out(1)
        The request is a HELLO of the right length; a RUN or LEARN; one at this timestep.
    loading, image_valid : In(1)
        As of :class:`ImageLoad`.
    refused : In(1)
        As of :class:`TimestepTimer`, of a PACE's period.
    verdict : Out
        What is wrong with the request, or ``OK``: two cycles after ``done``.
    record_end : Out
        Group behind the last one of a RECORD that is ``OK``.
    """

    def __init__(self, spec: CoreSpec, link: LinkSpec) -> None:
        self._spec = spec
        self._link = link
        super().__init__({
            "start": In(1),
            "done": Out(1),
            "length": In(frame_length(link)),
            "i": In(stream.Signature(8)),
            "turn": Out(1),
            "slot": Out(range(link.window)),
            "timestep": In(8),
            "turn_timestep": Out(1),
            "command": Out(8),
            "head": Out(HEAD_BITS),
            "is_hello": Out(1),
            "is_run": Out(1),
            "at_timestep": Out(1),
            "loading": In(1),
            "image_valid": In(1),
            "refused": In(1),
            "verdict": Out(Status),
            "record_end": Out(range(2 * spec.groups + 1)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        position = Signal(range(_LONGEST + 1))
        head_size = Signal(range(_LONGEST + 1))
        byte = self.i.payload
        fits = self._look_up(m, head_size)
        with m.FSM():
            with m.State("done"):
                m.d.comb += self.done.eq(1)
                m.d.sync += position.eq(0)
                with m.If(self.start):
                    m.next = "number"
            with m.State("number"):
                m.d.comb += [self.i.ready.eq(1), self.turn.eq(self.i.valid)]
                with m.If(self.i.valid):
                    m.d.sync += position.eq(position + 1)
                    with m.If(position == 0):
                        m.d.sync += self.slot.eq(byte)
                    with m.If(position == NUMBER_SIZE - 1):
                        m.next = "command"
            with m.State("command"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [self.command.eq(byte), self.at_timestep.eq(1), position.eq(0)]
                with m.If(self.i.valid):
                    m.next = "look up"
            with m.State("look up"):
                m.next = "head"
            with m.State("head"):
                # What is no longer the head's is shifted in too, to bring it to the low end.
                is_head = position < head_size
                m.d.comb += self.i.ready.eq(is_head)
                with m.If(self.i.valid | ~is_head):
                    m.d.sync += [self.head.eq(Cat(self.head[8:], byte)), position.eq(position + 1)]
                    with m.If(position == _LONGEST - 1):
                        m.next = "done"
                # A RUN's that fits are all in its head: that they are need not be compared.
                with m.If(self.i.valid & self.is_run & fits & (position < _TIMESTEP_SIZE)):
                    m.d.comb += self.turn_timestep.eq(1)
                    with m.If(byte != self.timestep):
                        m.d.sync += self.at_timestep.eq(0)
        return m

    def _look_up(self, m: Module, head_size: Signal) -> Signal:
        """Look length and command up: a cycle after the command, and one more for ``is_hello``.

        Returns whether the length is right, a cycle after the command too.
        """
        is_known = Signal()
        fits = Signal()
        m.d.sync += [
            is_known.eq(0),
            fits.eq(0),
            self.is_hello.eq((self.command == Command.HELLO) & fits),
            self.is_run.eq(self.command.matches(*RUNS)),
            head_size.eq(0),
        ]
        with m.Switch(self.command):
            for command, layout in REQUEST_PAYLOADS.items():
                size = REQUEST.size + layout.size
                is_right = self.length >= size if command in _OPEN_ENDED else self.length == size
                with m.Case(command):
                    m.d.sync += [
                        is_known.eq(1),
                        fits.eq(is_right),
                        head_size.eq(Mux(is_right, _HEAD_SIZES[command], 0)),
                    ]
        self._judge(m, is_known, fits)
        return fits

    def _judge(self, m: Module, is_known: Signal, fits: Signal) -> None:
        """Say what is wrong, the first thing first."""
        command, record = self.command, head_of(Command.RECORD, self.head)
        groups = self._spec.groups
        shown = len(Signal(range(groups + 1)))
        is_past = Signal()
        refusals = {
            Status.BAD_COMMAND: ~is_known,
            Status.BAD_LENGTH: ~fits,
            Status.NOT_LOADING: command.matches(Command.WRITE, Command.COMMIT) & ~self.loading,
            Status.NOT_PLASTIC: (command == Command.LEARN) & (not self._spec.plastic),
            Status.NO_IMAGE: self.is_run & ~self.image_valid,
            Status.BAD_ADDRESS: (command == Command.RECORD)
            & (is_past | (self.record_end > groups)),
            Status.BAD_PERIOD: (command == Command.PACE) & self.refused,
        }
        m.d.sync += [
            self.record_end.eq(record.first_group[:shown] + record.group_count[:shown]),
            is_past.eq(Cat(record.first_group[shown:], record.group_count[shown:]).any()),
            self.verdict.eq(Status.OK),
        ]
        for status, is_due in reversed(refusals.items()):
            with m.If(is_due):
                m.d.sync += self.verdict.eq(status)
