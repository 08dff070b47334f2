"""One lane of the update pipeline: the arithmetic of a leaky integrate-and-fire neuron."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from spikewright.fixed import DECAY_BITS, DECAY_ONE, signed_range
from spikewright.spec import CoreSpec

from .layouts import Clocks

__all__ = ["Decay", "NeuronLane", "saturate"]


def saturate(value: Value, bits: int) -> tuple[Value, Value]:
    """Clamp a signed value to ``bits`` bits; also say whether that changed it."""
    low, high = signed_range(bits)
    top = value[bits - 1 :]
    clamped = top.any() & ~top.all()
    limit = Mux(value[-1], Const(low, signed(bits)), Const(high, signed(bits)))
    return Mux(clamped, limit, value[:bits].as_signed()), clamped


class Decay(wiring.Component):
    """Multiply a state by a decay factor, rounding toward zero: ``trunc0(x * a / 4096)``.

    Latency 3 cycles, throughput one a cycle. With x = 4096 h + l and 0 <= l < 4096 the floor of the
    quotient is ``h * a + (l * a >> 12)``, exact if the low bits of ``l * a`` are zero and one too
    low for a negative x otherwise. So two small products do, and no product is wider than 26 bits.

    With ``shift`` decay ``a = 4096 - (4096 >> k)``, and the same quotient is ``x - (x >> k)``, one
    less for a positive x that the shift cut bits off.

    Parameters
    ----------
    spec : CoreSpec
    bits : int
        Width of the state.
    clocks : Clocks
        ``neurons`` is that of what may stand still.

    Members
    -------
    awake : In(1)
        As of :class:`NeuronLane`.
    x : In, signed(bits)
    a : In, UQ1.12
    o : Out, signed(bits)
    """

    def __init__(self, spec: CoreSpec, bits: int, clocks: Clocks) -> None:
        self._spec = spec
        self._bits = bits
        self._clocks = clocks
        super().__init__({
            "awake": In(1),
            "x": In(signed(bits)),
            "a": In(DECAY_BITS + 1),
            "o": Out(signed(bits)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self._spec.decay == "shift":
            self._shift(m)
        else:
            self._multiply(m)
        return m

    def _multiply(self, m: Module) -> None:
        x = Signal(signed(max(self._bits, DECAY_BITS + 1)))
        a = Signal.like(self.a)
        low = Signal(2 * DECAY_BITS + 1)
        high = Signal(signed(len(x) + 1))
        # x is negative where the upper product is; a zero factor leaves both products zero.
        up = high[-1] & low[:DECAY_BITS].any()
        with m.If(self.awake):
            m.d[self._clocks.neurons] += [
                x.eq(self.x),
                a.eq(self.a),
                low.eq(x[:DECAY_BITS] * a),
                high.eq(x[DECAY_BITS:].as_signed() * a),
                self.o.eq(high + (low >> DECAY_BITS) + up),
            ]

    def _shift(self, m: Module) -> None:
        k = Signal(range(DECAY_BITS + 1))
        is_one = Signal()
        x = [Signal.like(self.x, name=f"x{stage}") for stage in range(2)]
        shifted = Signal.like(self.x)
        down = Signal()
        m.d.sync += [k.eq(0), is_one.eq(self.a[DECAY_BITS])]
        # k is the number of leading ones.
        for count in range(1, DECAY_BITS + 1):
            with m.If(self.a[DECAY_BITS - count]):
                m.d.sync += k.eq(count)
        cut = (x[0] & ((1 << k) - 1))[:DECAY_BITS].any()
        with m.If(self.awake):
            m.d[self._clocks.neurons] += [
                Cat(x).eq(Cat(self.x, x[0])),
                shifted.eq(Mux(is_one, 0, x[0] >> k)),
                down.eq(~is_one & ~x[0][-1] & cut),
                self.o.eq(x[1] - shifted - down),
            ]


class NeuronLane(wiring.Component):
    """Update one neuron a cycle, in step with its pipeline.

    In the notation of design section 3, with the inputs at the stages that the pipeline has them::

        i = sat(decay(i, a_syn) + (acc << f) + bias)
        v = sat(decay(v, a_mem) + i), or v while r > 0
        spike if v > v_threshold and r = 0: v = (0 if reset_to else v) + reset_by

    A held neuron needs no multiplexer: its factor is set to
    one and its current to zero, in registers that already exist, and sat(v * 1 + 0) is v. The same
    holds v ``again``, when a level is gone through once more to find its winners.

    Parameters
    ----------
    spec : CoreSpec
    clocks : Clocks
        ``neurons`` is that of what may stand still.

    Members
    -------
    acc, bias, a_syn, i : In
        Stage 2. ``a_syn`` and ``i`` are ignored without ``synapse_current``.
    r, a_mem, reset_to : In
        Stage 3: ``r`` is the refractory counter.
    v : In
        Stage 4.
    v_threshold, reset_by, refractory : In
        Stage 9: ``refractory`` is the counter's value after a spike.
        With ``adaptive_threshold`` the threshold has its offset in it, and one more bit.
    again : In(1)
        Stage 3: v is already updated. It and the next four come with ``winners``.
    candidate, key : Out
        Stage 10: would spike, and by how much v is above the threshold, if it is.
    wins, rests : In(1)
        Stage 10: may spike; if it does not, v becomes zero.
    running : In(1)
        While low, the new state rests at zero.
    awake : In(1)
        While low, registers may stand still.
    spikes, saturated : Out(1)
        Stage 10.
    new_v, new_i, new_r : Out
        Stage 11.
    """

    def __init__(self, spec: CoreSpec, clocks: Clocks) -> None:
        self._spec = spec
        self._clocks = clocks
        state = signed(spec.state_bits)
        with_winners = {
            "again": In(1),
            "candidate": Out(1),
            "key": Out(spec.state_bits),
            "wins": In(1),
            "rests": In(1),
        }
        super().__init__({
            **(with_winners if spec.winners else {}),
            "acc": In(signed(spec.acc_bits)),
            "bias": In(state),
            "a_syn": In(DECAY_BITS + 1),
            "i": In(state),
            "r": In(spec.refractory_bits),
            "a_mem": In(DECAY_BITS + 1),
            "reset_to": In(1),
            "v": In(state),
            "v_threshold": In(signed(spec.state_bits + spec.adaptive_threshold)),
            "reset_by": In(state),
            "refractory": In(spec.refractory_bits),
            "running": In(1),
            "awake": In(1),
            "spikes": Out(1),
            "saturated": Out(1),
            "new_v": Out(state),
            "new_i": Out(state),
            "new_r": Out(spec.refractory_bits),
        })

    def elaborate(self, platform: object) -> Module:
        """Build the lane. The number in a signal's name is the stage at which it is valid."""
        m = Module()
        held_3 = self.r != 0
        held_6 = self._later(m, held_3, 3)
        held_9 = self._later(m, held_6, 3)
        rests_3, rests_6 = held_3, held_6
        if self._spec.winners:
            rests_3 = held_3 | self.again
            rests_6 = self._later(m, rests_3, 3)
        reset_to_8 = self._later(m, self.reset_to, 5)

        i_6, i_clamped_6 = saturate(self._current(m), len(self.i))
        i_7 = self._later(m, i_6)
        drive_7 = self._later(m, i_6, zero=rests_6)

        m.submodules.decay_v = decay_v = Decay(self._spec, self._spec.state_bits, self._clocks)
        factor_4 = Signal(DECAY_BITS + 1, reset_less=True)
        with m.If(self.awake):
            m.d[self._clocks.neurons] += factor_4.eq(self.a_mem)
            with m.If(rests_3):
                m.d[self._clocks.neurons] += factor_4.eq(DECAY_ONE)
        m.d.comb += [
            decay_v.awake.eq(self.awake),
            decay_v.x.eq(self.v),
            decay_v.a.eq(factor_4),
        ]
        v_8, v_clamped_8 = saturate(self._later(m, decay_v.o + drive_7), len(self.v))

        v_9 = self._later(m, v_8)
        base_9 = self._later(m, v_8, zero=reset_to_8)
        spike_10 = self._later(m, (v_9 > self.v_threshold) & ~held_9)
        after_10 = self._later(m, (base_9 + self.reset_by)[: len(self.v)])
        v_10 = self._later(m, v_9)
        r_10 = self._later(m, self.refractory)
        left_10 = self._later(m, Mux(held_3, self.r - 1, 0)[: len(self.r)], 7)
        i_10 = self._later(m, i_7, 3)
        if self._spec.winners:
            key_9 = (v_9 - self.v_threshold)[: len(self.key)]
            m.d.comb += [self.candidate.eq(spike_10), self.key.eq(self._later(m, key_9))]
            spike_10 = spike_10 & self.wins
            v_10 = Mux(self.rests, 0, v_10)
        with m.If(~self.running):
            m.d.sync += [self.new_v.eq(0), self.new_i.eq(0), self.new_r.eq(0)]
        with m.Elif(self.awake):
            m.d.sync += [
                self.new_v.eq(Mux(spike_10, after_10, v_10)),
                self.new_i.eq(i_10),
                self.new_r.eq(Mux(spike_10, r_10, left_10)),
            ]
        m.d.comb += [
            self.spikes.eq(spike_10),
            self.saturated.eq(self._later(m, i_clamped_6, 4) | self._later(m, v_clamped_8, 2)),
        ]
        return m

    def _current(self, m: Module) -> Value:
        """The new synaptic current before saturation, at stage 6."""
        wide_5 = self._later(m, (self.acc << self._spec.fraction_bits) + self.bias, 3)
        if self._spec.synapse_current:
            m.submodules.decay_i = decay_i = Decay(self._spec, self._spec.state_bits, self._clocks)
            m.d.comb += [
                decay_i.awake.eq(self.awake),
                decay_i.x.eq(self.i),
                decay_i.a.eq(self.a_syn),
            ]
            wide_5 = wide_5 + decay_i.o
        return self._later(m, wide_5)

    def _later(
        self, m: Module, value: Value, cycles: int = 1, *, zero: Value | None = None
    ) -> Value:
        """The value some cycles later, or zero where ``zero`` is set."""
        for _ in range(cycles):
            register = Signal(value.shape(), reset_less=True)
            with m.If(self.awake):
                m.d[self._clocks.neurons] += register.eq(value)
                if zero is not None:
                    with m.If(zero):
                        m.d[self._clocks.neurons] += register.eq(0)
            value = register
        return value
