# amaranth: UnusedElaboratable=no

"""Sequence numbers: each is executed once, in order, and answered again only as it was done."""

from amaranth.asserts import AnyConst, AnySeq
from amaranth.hdl import Assert, Assume, Cat, Module, Mux, Signal, Value

from spikewright.frames import LinkSpec
from spikewright.hdl.sequence import Turn

from .blocks import Block, Checker, Inside, free

__all__ = ["SequenceChecker"]

_BYTES = 4
_BITS = 8 * _BYTES


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
        asking = self._ask(m)
        asked, place, judged = asking.number, asking.place, asking.judged
        followed = AnyConst(_BITS)
        is_it = (asked == followed) & ~check.hello
        is_open, opening = Signal(), Signal(_BITS)
        due = Signal(_BITS)  # a session's first number, and then one more each
        count = Signal(_BITS)  # requests of the session that were executed
        was, ago = Signal(), Signal(_BITS)  # the number's request, and those after it
        same = is_open & (asked == opening)
        shown = Value.cast(check.kind)
        opens, counts = shown == Turn.OPEN, shown == Turn.NEXT
        added = Mux(opens, asked, counts)
        new = (due + added)[:_BITS]
        is_last = check.turn & (place == _BYTES - 1)
        with m.If(is_last & opens):
            m.d.sync += [is_open.eq(1), opening.eq(asked)]
            m.d.sync += [due.eq(new), count.eq(0), was.eq(0)]
        with m.Elif(is_last & counts):
            m.d.comb += Assume(~count.all())
            m.d.sync += [due.eq(asked + 1), count.eq(count + 1)]
            m.d.sync += [was.eq(was | is_it), ago.eq(Mux(is_it, 0, ago + 1))]
        with m.If(check.turn & (shown != Turn.TAKE)):
            m.d.comb += Assert(check.expected == new.word_select(place, 8))
            m.d.comb += Assert(check.number == asked.word_select(place, 8))
        with m.If(judged & check.hello):
            m.d.comb += Assert(check.execute == ~same)
            m.d.comb += Assert(check.again == (same & (count == 0)))
        with m.Elif(judged):
            m.d.comb += Assert(check.execute == (is_open & (asked == due)))
        with m.If(judged & is_it):
            m.d.comb += Assert(~(check.execute & was))
            m.d.comb += Assert(check.again == (was & (ago < self._window)))
        if self.invariants:
            distance = (due - followed - 1)[:_BITS]
            m.d.comb += [
                Assert(is_open | (count == 0)),
                Assert(was == (distance < count)),
                Assert(~was | (ago == distance)),
            ]
            self._explain(m, inside, asking, opening, due, is_open, count)
        return m

    def _ask(self, m: Module) -> "_Asking":
        """Be a :class:`CommandDecoder`: four turns of a kind at a time, first those that take the
        number; then a look at the verdict, not in the cycle after those; then what that says, once,
        before the request is over.

        ``hello`` is right when the verdict is looked at, and stays.
        """
        check = self._check
        asking = _Asking()
        place, kind, judged = asking.place, asking.kind, asking.judged
        is_over = free(m, 1, "is_over")
        for port in (check.turn, check.kind, check.hello, check.i):
            value = Value.cast(port)
            m.d.comb += value.eq(AnySeq(len(value)))
        turn, shown = check.turn, Value.cast(check.kind)
        takes, opens, counts = (shown == one for one in (Turn.TAKE, Turn.OPEN, Turn.NEXT))
        may_act = asking.granted & ~asking.is_done & (opens == check.hello)
        may_judge = asking.is_taken & ~asking.is_judged & ~asking.was_taking
        is_home = (place == 0) & ~turn
        m.d.comb += [
            judged.eq(AnySeq(1) & may_judge & is_home),
            Assume(~turn | (place == 0) | (shown == kind)),
            Assume(~turn | (takes == ~asking.is_taken)),
            Assume(~(turn & takes) | (check.i == asking.number.word_select(place, 8))),
            Assume(~(turn & (opens | counts)) | may_act),
            Assume(~asking.is_judged | (check.hello == asking.was_hello)),
            Assume(~is_over | (asking.is_taken & is_home & ~judged)),
            Assume(~is_over | (asking.is_done == asking.granted)),
        ]
        is_last = turn & (place == _BYTES - 1)
        m.d.sync += [
            place.eq(place + turn),
            asking.was_hello.eq(check.hello),
            asking.was_taking.eq(turn & takes),
            asking.is_taken.eq(~is_over & (asking.is_taken | is_last)),
            asking.is_judged.eq(~is_over & (asking.is_judged | judged)),
            asking.granted.eq(~is_over & (asking.granted | (judged & check.execute))),
            asking.is_done.eq(~is_over & (asking.is_done | (is_last & (opens | counts)))),
        ]
        with m.If(turn):
            m.d.sync += kind.eq(shown)
        with m.If(is_over):
            m.d.sync += asking.number.eq(AnySeq(_BITS))
        return asking

    def _explain(
        self,
        m: Module,
        inside: Inside,
        asking: "_Asking",
        opening: Signal,
        due: Signal,
        is_open: Signal,
        count: Signal,
    ) -> None:
        """What the registers hold after so many turns."""
        number, kind, is_taken = asking.number, asking.kind, asking.is_taken
        began = asking.place != 0
        opens, counts = began & (kind == Turn.OPEN), began & (kind == Turn.NEXT)
        may_act = asking.granted & ~asking.is_done & (opens == asking.was_hello)
        reached, most = count + counts, self._window
        m.d.comb += [
            Assert(~asking.is_judged | is_taken),
            Assert(~asking.granted | asking.is_judged),
            Assert(~asking.is_done | asking.granted),
            Assert(~began | ((kind == Turn.TAKE) == ~is_taken)),
            Assert(~(opens | counts) | may_act),
            Assert(inside["place"] == asking.place),
            Assert(inside["is_taken"] == asking.was_taking),
            Assert(inside["is_open"] == (is_open | opens)),
            Assert(inside["kept"] == Mux(opens, 0, Mux(reached < most, reached, most))),
        ]
        with m.If(asking.granted & ~asking.is_done & ~asking.was_hello):
            m.d.comb += Assert(is_open & (number == due))
        with m.If(is_taken & ~asking.is_judged):
            self._compare(m, inside, asking, _BITS, opening, due)
        added = Mux(opens, number, counts)
        for place in range(_BYTES):
            bits = 8 * place
            opened = Mux(opens, number, opening)
            with m.If(asking.place == place):
                m.d.comb += [
                    Assert(inside["expected"] == Cat(due[bits:], (due + added)[:bits])),
                    Assert(inside["opening"] == Cat(opening[bits:], opened[:bits])),
                    Assert(~is_taken | (inside["number"] == Cat(number[bits:], number[:bits]))),
                ]
                if place:
                    m.d.comb += [
                        Assert(inside["carry"] == (due[:bits] + added[:bits])[bits]),
                        Assert(inside["number"][-bits:] == number[:bits]),
                    ]
                    with m.If(~is_taken):
                        self._compare(m, inside, asking, bits, opening, due)
                        m.d.comb += Assert(inside["borrow"] == (due[:bits] < number[:bits]))

    def _compare(
        self,
        m: Module,
        inside: Inside,
        asking: "_Asking",
        bits: int,
        opening: Signal,
        due: Signal,
    ) -> None:
        """After so many bits of the number the verdict is that on these, or on all but a byte."""
        number, was_taking = asking.number, asking.was_taking
        distance = (due[:bits] - number[:bits])[:bits]
        last = bits - 8
        with m.If(was_taking):
            m.d.comb += [
                Assert(inside["difference"] == distance[last:]),
                Assert(inside["is_same"] == (opening[last:bits] == number[last:bits])),
            ]
        for known, is_it in ((last, was_taking), (bits, ~was_taking)):
            with m.If(is_it & (known > 0)):
                low = distance[:known]
                m.d.comb += [
                    Assert(inside["is_opening"] == (opening[:known] == number[:known])),
                    Assert(inside["is_expected"] == (low == 0)),
                    Assert(inside["is_kept"] == ((low != 0) & (low <= inside["kept"]))),
                ]


class _Asking:
    """A request's number, and how far it is dealt with."""

    def __init__(self) -> None:
        self.number = Signal(_BITS, name="asked")
        self.place = Signal(range(_BYTES), name="asked_place")
        self.kind = Signal(Turn.as_shape().width, name="asked_kind")
        self.was_hello = Signal(name="was_hello")
        self.was_taking = Signal(name="was_taking")
        self.judged = Signal(name="judged")
        self.is_taken = Signal(name="is_taken")
        self.is_judged = Signal(name="is_judged")
        self.granted = Signal(name="granted")
        self.is_done = Signal(name="is_done")
