# amaranth: UnusedElaboratable=no

"""Sequence numbers: each is executed once, in order, and answered again only as it was done."""

from amaranth.asserts import AnyConst, AnySeq
from amaranth.hdl import Assert, Assume, Module, Mux, Signal

from spikewright.frames import LinkSpec

from .blocks import Block, Checker, Inside, free

__all__ = ["SequenceChecker"]

_JUDGED = 2
"""Cycles after which a request's verdict is there."""


class SequenceChecker(Checker):
    """Give any requests, and follow one number, any, through a session: it is executed once.

    A session has fewer than 2**32 requests. Its HELLO's number opens no other right after it.

    Parameters
    ----------
    block : Block
        Of :class:`SequenceCheck`.
    link : LinkSpec
    """

    def __init__(self, block: Block, *, link: LinkSpec) -> None:
        self._check = block.load()(link)
        self._window = link.window
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = self.begin()
        check = self._check
        inside = Inside(check)
        m.submodules.check = inside.fragment
        judged, granted = self._ask(m)
        followed = AnyConst(len(check.sequence))
        is_it = (check.sequence == followed) & ~check.hello
        is_open, opening = Signal(), Signal.like(check.sequence)
        due = Signal.like(check.sequence)  # a session's first number, and then one more each
        count = Signal.like(check.sequence)  # requests of the session that were executed
        was, ago = Signal(), Signal.like(check.sequence)  # the number's request, and those after it
        same = is_open & (check.sequence == opening)
        with m.If(check.opened):
            m.d.sync += [is_open.eq(1), opening.eq(check.sequence)]
            m.d.sync += [due.eq(due + check.sequence), count.eq(0), was.eq(0)]
        with m.Elif(check.executed & ~check.hello):
            m.d.comb += Assume(~count.all())
            m.d.sync += [due.eq(check.sequence + 1), count.eq(count + 1)]
            m.d.sync += [was.eq(was | is_it), ago.eq(Mux(is_it, 0, ago + 1))]
        m.d.comb += Assert(check.expected == due)
        with m.If(judged & check.hello):
            m.d.comb += Assert(check.execute == ~same)
            m.d.comb += Assert(check.again == (same & (count == 0)))
        with m.Elif(judged):
            m.d.comb += Assert(check.execute == (is_open & (check.sequence == due)))
        with m.If(judged & is_it):
            m.d.comb += Assert(~(check.execute & was))
            m.d.comb += Assert(check.again == (was & (ago < self._window)))
        if self.invariants:
            kept, distance = inside["kept"], (due - followed - 1)[: len(due)]
            m.d.comb += [
                Assert(inside["is_open"] == is_open),
                Assert(~is_open | (inside["opening"] == opening)),
                Assert(is_open | (count == 0)),
                Assert(kept == Mux(count < self._window, count, self._window)),
                Assert(was == (distance < count)),
                Assert(~was | (ago == distance)),
            ]
            with m.If(granted):
                m.d.comb += Assert(check.hello | (is_open & (check.sequence == due)))
        return m

    def _ask(self, m: Module) -> tuple[Signal, Signal]:
        """Be a :class:`CommandDecoder`: whether it looks at the verdict now, and acts on it since.

        ``hello`` is right a cycle after the number, and nothing changes until the request is over.
        """
        check = self._check
        age = Signal(range(_JUDGED + 1))
        shown, was_hello = Signal.like(check.sequence), Signal()
        judged, granted, is_told = Signal(), Signal(), Signal()
        is_over = free(m, 1, "is_over")
        m.d.comb += [
            check.sequence.eq(AnySeq(len(check.sequence))),
            check.hello.eq(AnySeq(1)),
            judged.eq(AnySeq(1) & (age == _JUDGED) & ~granted),
            check.opened.eq(AnySeq(1) & granted & ~is_told & check.hello & ~is_over),
            check.executed.eq(granted & is_over),
            Assume((age == 0) | (check.sequence == shown)),
            Assume((age < _JUDGED) | (check.hello == was_hello)),
        ]
        m.d.sync += [
            age.eq(Mux(is_over, 0, Mux(age == _JUDGED, age, age + 1))),
            granted.eq(~is_over & (granted | (judged & check.execute))),
            is_told.eq(~is_over & (is_told | check.opened)),
            shown.eq(check.sequence),
            was_hello.eq(check.hello),
        ]
        if self.invariants:
            m.d.comb += Assert(~granted | (age == _JUDGED))
        return judged, granted
