"""The learning pipeline: the arithmetic of plastic synapses."""

from amaranth.hdl import Module, Mux, Signal, Value, ValueLike, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from spikewright.fixed import DECAY_ONE
from spikewright.learning import RANDOM_BITS, REWARD_BITS, REWARD_FRACTION_BITS
from spikewright.spec import CoreSpec

from .lane import Decay, saturate
from .layouts import Clocks, delayed, following
from .traces import rule_layout

__all__ = ["SynapseLane", "WeightChange", "draw_stage", "synapse_latency"]


def draw_stage(spec: CoreSpec) -> int:
    """The stage at which a word takes its random bits."""
    return 5 if spec.reward else 2


def synapse_latency(spec: CoreSpec) -> int:
    """Cycles from a weight word to the same word as it was learned."""
    return draw_stage(spec) + 3


class WeightChange(wiring.Component):
    """How far a weight goes and which way: see :class:`spikewright.learning.LearningRule`.

    The number in a signal's name is the stage at which it is valid; inputs are those of stage 0
    where nothing else is said.

    Without reward, with f the spec's ``trace_fraction_bits``::

        change = round(size * distance from the bound >> ... f)

    With it, ``size`` goes to the eligibility, and in a learning pass the product of eligibility
    and reward to the weight; then the eligibility decays.

    Parameters
    ----------
    spec : CoreSpec

    Members
    -------
    size : In, ``UQ(trace_bits - f).f``
        Of the change.
    down : In(1)
        The change goes down.
    rule : In
    weight : In
        With ``soft_bounds``.
    eligibility : In
        Of the synapse; with ``reward``, as the next three.
    moves : In(1)
        The size counts, as the synapse is plastic and meets an event; else it is zero.
    passing : In(1)
        The word is one of a learning pass.
    reward : In, Q1.6
    random : In
        Stage ``draw_stage``: random bits; with ``stochastic_rounding``.
    change, falls : Out
        Stage ``draw_stage + 1``: how far, unsigned, and whether down.
    bound, fell : Out
        A stage later: the bound of a weight that falls, inverted, or that of another one; and
        ``falls``.
    new_eligibility : Out
        Stage ``synapse_latency``.
    """

    def __init__(self, spec: CoreSpec) -> None:
        self._spec = spec
        weight = signed(spec.weight_bits)
        eligibility = signed(spec.eligibility_bits)
        with_reward = {
            "eligibility": In(eligibility),
            "moves": In(1),
            "passing": In(1),
            "reward": In(signed(REWARD_BITS)),
            "new_eligibility": Out(eligibility),
        }
        super().__init__({
            "size": In(spec.trace_bits),
            "down": In(1),
            "rule": In(rule_layout(spec)),
            "change": Out(_change_bits(spec)),
            "falls": Out(1),
            "bound": Out(weight),
            "fell": Out(1),
            **({"weight": In(weight)} if spec.soft_bounds else {}),
            **({"random": In(RANDOM_BITS)} if spec.stochastic_rounding else {}),
            **(with_reward if spec.reward else {}),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, rule = self._spec, self.rule
        down_1 = following(m, self.down, "down1")
        size_1 = following(m, Mux(self.moves, self.size, 0) if spec.reward else self.size, "size1")
        shift = spec.trace_fraction_bits
        product = size_1
        if spec.soft_bounds:
            ahead = Mux(self.down, self.weight - rule.w_min, rule.w_max - self.weight)
            whole = 1 << spec.weight_bits
            ahead_1 = Signal(range(whole + 1))
            m.d.sync += ahead_1.eq(Mux(rule.soft, ahead[: spec.weight_bits], whole))
            product = size_1 * ahead_1
            shift += spec.weight_bits
        size = following(m, product, "size2")
        down: Value = following(m, down_1, "down2")
        if spec.reward:
            exact_2 = size >> (shift - spec.trace_fraction_bits)
            shift = spec.trace_fraction_bits + REWARD_FRACTION_BITS
            size, down = self._earned(m, exact_2[: spec.trace_bits], down)
        dither: Value | int = (1 << shift) >> 1
        if spec.stochastic_rounding:
            dither = Mux(rule.stochastic, self.random[:shift], dither)
        m.d.sync += [
            self.change.eq((size + dither) >> shift),
            self.falls.eq(down),
            self.fell.eq(self.falls),
            self.bound.eq(Mux(self.falls, ~rule.w_min, rule.w_max)),
        ]
        return m

    def _earned(self, m: Module, size_2: Value, down_2: Value) -> tuple[Value, Value]:
        """Change the eligibility; what the weight earns of it, at stage 5, and its sign."""
        bits = self._spec.eligibility_bits
        before_2 = delayed(m, self.eligibility, 2, "eligibility")
        wide = Mux(down_2, before_2 - size_2, before_2 + size_2)
        changed_3 = following(m, saturate(wide, bits)[0], "changed3")
        passing_3 = delayed(m, self.passing, 3, "passing")
        m.submodules.decay = decay = Decay(self._spec, bits, Clocks())
        m.d.comb += [
            decay.awake.eq(1),
            decay.x.eq(changed_3),
            decay.a.eq(Mux(passing_3, self.rule.a_eligibility, DECAY_ONE)),
            self.new_eligibility.eq(delayed(m, decay.o, 2, "decayed")),
        ]
        # In a pass the reward's size, or else nothing; the negative of the lowest value fits too.
        reward = Signal(REWARD_BITS)
        size_4 = Signal(bits)
        m.d.comb += reward.eq(Mux(self.reward < 0, -self.reward, self.reward))
        m.d.sync += size_4.eq(Mux(changed_3 < 0, -changed_3, changed_3))
        down_4 = following(m, (changed_3 < 0) ^ (self.reward < 0), "down4")
        passing_4 = following(m, passing_3, "passing4")
        earned_5 = following(m, size_4 * Mux(passing_4, reward, 0), "earned5")
        return earned_5, following(m, down_4, "down5")


def _change_bits(spec: CoreSpec) -> int:
    """Width of the most that a weight goes in a timestep, rounded up; rewards double it."""
    return spec.trace_bits - spec.trace_fraction_bits + 1 + spec.reward


class SynapseLane(wiring.Component):
    """Learn in one synapse a cycle: add a change to its weight and keep it within bounds.

    A weight that falls is inverted, raised, and inverted again, so that there is one bound to keep.

    Parameters
    ----------
    spec : CoreSpec

    Members
    -------
    weight, plastic : In
        Of the synapse, at stage 0.
    moves : In(1)
        Its weight changes, if it is plastic; without ``reward``.
    rule : In
    change, falls, bound, fell : In
        Of :class:`WeightChange`, at its stages.
    new_weight, writes : Out
        Stage ``synapse_latency``; and whether it is to be written. With ``reward`` it always is,
        as an eligibility decays whether its synapse moves or not.
    """

    def __init__(self, spec: CoreSpec) -> None:
        self._spec = spec
        weight = signed(spec.weight_bits)
        super().__init__({
            "weight": In(weight),
            "plastic": In(1),
            "moves": In(1),
            "rule": In(rule_layout(spec)),
            "change": In(_change_bits(spec)),
            "falls": In(1),
            "bound": In(weight),
            "fell": In(1),
            "new_weight": Out(weight),
            "writes": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, bits, stage = self._spec, self._spec.weight_bits, draw_stage(self._spec) + 1
        weight = Value.cast(delayed(m, self.weight, stage, "weight"))
        up = (weight ^ self.falls.replicate(bits))[:bits].as_signed()
        raised = following(m, self.change + up, "raised")
        was_negative = following(m, up < 0, "was_negative")
        # Just below zero, where a sign that is kept ends, all bits are set.
        crosses = Signal()
        beyond = Signal()
        m.d.comb += [
            crosses.eq(self.rule.keep_sign & was_negative & (raised >= 0) & (self.bound >= 0)),
            beyond.eq(raised > self.bound),
        ]
        kept = Mux(beyond, self.bound, raised) | crosses.replicate(bits)
        new_weight = (kept ^ self.fell.replicate(bits))[:bits]
        writes: ValueLike = 1
        if spec.reward:
            plastic = delayed(m, self.plastic, stage + 1, "plastic")
            new_weight = Mux(plastic, new_weight, following(m, weight, "before"))
        else:
            writes = delayed(m, self.plastic & self.moves, synapse_latency(spec), "moves")
        m.d.sync += self.new_weight.eq(new_weight)
        m.d.comb += self.writes.eq(writes)
        return m
