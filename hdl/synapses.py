"""One lane of the learning pipeline: the arithmetic of a plastic synapse."""

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from spikewright.fixed import DECAY_ONE
from spikewright.learning import RANDOM_BITS, REWARD_BITS, REWARD_FRACTION_BITS
from spikewright.spec import CoreSpec

from .lane import Decay, saturate
from .layouts import Clocks, delayed, following
from .traces import rule_layout

__all__ = ["SynapseLane", "draw_stage", "synapse_latency"]


def draw_stage(spec: CoreSpec) -> int:
    """The stage at which a word takes its random bits."""
    return 5 if spec.reward else 2


def synapse_latency(spec: CoreSpec) -> int:
    """Cycles from a weight word to the same word as it was learned."""
    return draw_stage(spec) + 3


class SynapseLane(wiring.Component):
    """Learn in one synapse a cycle, as :class:`spikewright.learning.LearningRule` defines it.

    The number in a signal's name is the stage at which it is valid; inputs are those of stage 0
    where nothing else is said, outputs those of stage ``synapse_latency``.

    Without reward, with f the spec's ``trace_fraction_bits``::

        weight = clamp(weight +- round(size * distance from the bound >> ... f))

    With it, ``size`` goes to the eligibility, and in a learning pass the product of eligibility
    and reward to the weight; then the eligibility decays.

    Parameters
    ----------
    spec : CoreSpec

    Members
    -------
    weight, plastic, eligibility : In
        Of the synapse; ``eligibility`` with ``reward``, as all that concerns it.
    size : In, ``UQ(trace_bits - f).f``
        Of the change.
    down : In(1)
        The change goes down.
    passing : In(1)
        The word is one of a learning pass.
    rule : In
    reward : In, Q1.6
    random : In
        Stage ``draw_stage``: random bits.
    new_weight, new_eligibility : Out
    """

    def __init__(self, spec: CoreSpec) -> None:
        self._spec = spec
        weight = signed(spec.weight_bits)
        eligibility = signed(spec.eligibility_bits)
        with_reward = {
            "eligibility": In(eligibility),
            "reward": In(signed(REWARD_BITS)),
            "new_eligibility": Out(eligibility),
        }
        super().__init__({
            "weight": In(weight),
            "plastic": In(1),
            "size": In(spec.trace_bits),
            "down": In(1),
            "passing": In(1),
            "rule": In(rule_layout(spec)),
            "random": In(RANDOM_BITS),
            "new_weight": Out(weight),
            **(with_reward if spec.reward else {}),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, rule = self._spec, self.rule
        down_1 = following(m, self.down, "down1")
        size_1 = following(m, Mux(self.plastic, self.size, 0), "size1")
        shift = spec.trace_fraction_bits
        product = size_1
        if spec.soft_bounds:
            ahead = Mux(self.down, self.weight - rule.w_min, rule.w_max - self.weight)
            whole = 1 << spec.weight_bits
            ahead_1 = Signal(range(whole + 1))
            m.d.sync += ahead_1.eq(Mux(rule.soft, ahead[: spec.weight_bits], whole))
            product = size_1 * ahead_1
            shift += spec.weight_bits
        size_2 = following(m, product, "size2")
        down_2 = following(m, down_1, "down2")
        if spec.reward:
            exact_2 = size_2 >> (shift - spec.trace_fraction_bits)
            shift = spec.trace_fraction_bits + REWARD_FRACTION_BITS
            size, down = self._earned(m, exact_2[: spec.trace_bits], down_2)
        else:
            size, down = size_2, down_2
        self._change(m, size, down, shift)
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

    def _change(self, m: Module, size: Value, down: Value, shift: int) -> None:
        """Round a change with ``shift`` fraction bits, and add it to the weight."""
        spec, rule, stage = self._spec, self.rule, draw_stage(self._spec)
        dither: Value | int = (1 << shift) >> 1
        if spec.stochastic_rounding:
            dither = Mux(rule.stochastic, self.random[:shift], dither)
        change = following(m, (size + dither) >> shift, "change")
        weight = delayed(m, self.weight, stage + 1, "weight")
        falls = following(m, down, "falls")
        sum_ = following(m, Mux(falls, weight - change, weight + change), "sum")
        before = following(m, weight, "before")
        keeps, negative = rule.keep_sign, before[-1]
        low, high = Signal(signed(spec.weight_bits)), Signal(signed(spec.weight_bits))
        m.d.comb += [low.eq(rule.w_min), high.eq(rule.w_max)]
        with m.If(keeps & ~negative & (rule.w_min < 0)):
            m.d.comb += low.eq(0)
        with m.If(keeps & negative & (rule.w_max >= 0)):
            m.d.comb += high.eq(-1)
        plastic = delayed(m, self.plastic, stage + 2, "plastic")
        with m.If(plastic):
            m.d.sync += self.new_weight.eq(Mux(sum_ < low, low, Mux(sum_ > high, high, sum_)))
        with m.Else():
            m.d.sync += self.new_weight.eq(before)
