"""One lane of the update pipeline: the arithmetic of a leaky integrate-and-fire neuron."""

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from spikewright.fixed import DECAY_BITS, DECAY_ONE, signed_range
from spikewright.spec import CoreSpec

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

    Latency 2 cycles, throughput one a cycle. With x = 4096 h + l and 0 <= l < 4096 the floor of the
    quotient is ``h * a + (l * a >> 12)``, exact if the low bits of ``l * a`` are zero and one too
    low for a negative x otherwise. So two small products do, and no product is wider than 26 bits.

    With ``shift`` decay ``a = 4096 - (4096 >> k)``, and the same quotient is ``x - (x >> k)``, one
    less for a positive x that the shift cut bits off.

    Members
    -------
    x : In, signed state
    a : In, UQ1.12
    o : Out, signed state
    """

    def __init__(self, spec: CoreSpec) -> None:
        self._spec = spec
        super().__init__({
            "x": In(signed(spec.state_bits)),
            "a": In(DECAY_BITS + 1),
            "o": Out(signed(spec.state_bits)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self._spec.decay == "shift":
            self._shift(m)
        else:
            self._multiply(m)
        return m

    def _multiply(self, m: Module) -> None:
        x = Signal(signed(max(self._spec.state_bits, DECAY_BITS + 1)))
        low = Signal(2 * DECAY_BITS + 1)
        high = Signal(signed(len(x) + 1))
        m.d.comb += x.eq(self.x)
        m.d.sync += [
            low.eq(x[:DECAY_BITS] * self.a),
            high.eq(x[DECAY_BITS:].as_signed() * self.a),
        ]
        # x is negative where the upper product is; a zero factor leaves both products zero.
        up = high[-1] & low[:DECAY_BITS].any()
        m.d.sync += self.o.eq(high + (low >> DECAY_BITS) + up)

    def _shift(self, m: Module) -> None:
        k = Signal(range(DECAY_BITS + 1))
        ones = Signal(DECAY_BITS)
        m.d.comb += ones.eq(self.a[:DECAY_BITS])
        # k is the number of leading ones.
        for count in range(1, DECAY_BITS + 1):
            with m.If(ones[DECAY_BITS - count]):
                m.d.comb += k.eq(count)
        x = Signal.like(self.x)
        shifted = Signal.like(self.x)
        down = Signal()
        with m.If(self.a[DECAY_BITS]):
            m.d.sync += [shifted.eq(0), down.eq(0)]
        with m.Else():
            cut = (self.x & ((1 << k) - 1))[:DECAY_BITS].any()
            m.d.sync += [shifted.eq(self.x >> k), down.eq(~self.x[-1] & cut)]
        m.d.sync += [x.eq(self.x), self.o.eq(x - shifted - down)]


class NeuronLane(wiring.Component):
    """Update one neuron a cycle, in step with its pipeline.

    In the notation of design section 3, with the inputs at the stages that the pipeline has them::

        i = sat(decay(i, a_syn) + (acc << f) + bias)
        v = sat(decay(v, a_mem) + i), or v while r > 0
        spike if v > v_threshold and r = 0: v = (0 if reset_to else v) + reset_by

    Outputs are registered at stage 10. A held neuron needs no multiplexer: its factor is set to
    one and its current to zero, in registers that already exist, and sat(v * 1 + 0) is v.

    Members
    -------
    acc, bias, a_syn, i : In
        Stage 2. ``a_syn`` and ``i`` are ignored without ``synapse_current``.
    r, a_mem, reset_to : In
        Stage 3: ``r`` is the refractory counter.
    v : In
        Stage 4.
    v_threshold, reset_by, refractory : In
        Stage 8: ``refractory`` is the counter's value after a spike.
    running : In(1)
        While low, the new state rests at zero.
    new_v, new_i, new_r, spike, saturated : Out
        Stage 10.
    """

    def __init__(self, spec: CoreSpec) -> None:
        self._spec = spec
        state = signed(spec.state_bits)
        super().__init__({
            "acc": In(signed(spec.acc_bits)),
            "bias": In(state),
            "a_syn": In(DECAY_BITS + 1),
            "i": In(state),
            "r": In(spec.refractory_bits),
            "a_mem": In(DECAY_BITS + 1),
            "reset_to": In(1),
            "v": In(state),
            "v_threshold": In(state),
            "reset_by": In(state),
            "refractory": In(spec.refractory_bits),
            "running": In(1),
            "new_v": Out(state),
            "new_i": Out(state),
            "new_r": Out(spec.refractory_bits),
            "spike": Out(1),
            "saturated": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        """Build the lane. The number in a signal's name is the stage at which it is valid."""
        m = Module()
        state = signed(self._spec.state_bits)
        held_3 = self.r != 0
        held_5 = _later(m, held_3, 2)
        held_8 = _later(m, held_5, 3)
        reset_to_7 = _later(m, self.reset_to, 4)

        i_5, i_clamped_5 = saturate(self._current(m), len(self.i))
        i_6 = _later(m, i_5)
        drive_6 = Signal(state)
        m.d.sync += drive_6.eq(i_5)
        with m.If(held_5):
            m.d.sync += drive_6.eq(0)

        m.submodules.decay_v = decay_v = Decay(self._spec)
        factor_4 = Signal(DECAY_BITS + 1)
        m.d.sync += factor_4.eq(self.a_mem)
        with m.If(held_3):
            m.d.sync += factor_4.eq(DECAY_ONE)
        m.d.comb += [decay_v.x.eq(self.v), decay_v.a.eq(factor_4)]
        v_7, v_clamped_7 = saturate(_later(m, decay_v.o + drive_6), len(self.v))

        v_8 = _later(m, v_7)
        base_8 = Signal(state)
        m.d.sync += base_8.eq(v_7)
        with m.If(reset_to_7):
            m.d.sync += base_8.eq(0)
        spike_9 = _later(m, (v_8 > self.v_threshold) & ~held_8)
        after_9 = _later(m, (base_8 + self.reset_by)[: len(self.v)])
        left_3 = Mux(held_3, self.r - 1, 0)[: len(self.r)]
        m.d.sync += [
            self.new_v.eq(Mux(spike_9, after_9, _later(m, v_8))),
            self.new_i.eq(_later(m, i_6, 3)),
            self.new_r.eq(Mux(spike_9, _later(m, self.refractory), _later(m, left_3, 6))),
            self.spike.eq(spike_9),
            self.saturated.eq(_later(m, i_clamped_5, 4) | _later(m, v_clamped_7, 2)),
        ]
        with m.If(~self.running):
            m.d.sync += [self.new_v.eq(0), self.new_i.eq(0), self.new_r.eq(0)]
        return m

    def _current(self, m: Module) -> Value:
        """The new synaptic current before saturation, at stage 5."""
        wide_4 = _later(m, (self.acc << self._spec.fraction_bits) + self.bias, 2)
        if self._spec.synapse_current:
            m.submodules.decay_i = decay_i = Decay(self._spec)
            m.d.comb += [decay_i.x.eq(self.i), decay_i.a.eq(self.a_syn)]
            wide_4 = wide_4 + decay_i.o
        return _later(m, wide_4)


def _later(m: Module, value: Value, cycles: int = 1) -> Value:
    for _ in range(cycles):
        register = Signal(value.shape(), reset_less=True)
        m.d.sync += register.eq(value)
        value = register
    return value
