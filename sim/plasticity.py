"""On-chip learning in NumPy: traces, weight changes and their order, equal to the RTL in every bit.

Source: design section 7. A pre event is the integration of a source's row, a post event a spike.
"""

from functools import cache

import numpy as np
import numpy.typing as npt

from spikewright.fixed import decay, saturate
from spikewright.image import CoreImage
from spikewright.learned_image import with_learned
from spikewright.learning import LANE_TURN, RANDOM_BITS, REWARD_FRACTION_BITS, LearningRule
from spikewright.spec import CoreSpec

__all__ = [
    "Plasticity",
    "next_random",
    "random_states",
    "trace_after",
    "trace_step",
    "weight_after",
]

Array = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_BLOCK = 1024
"""States that are worked out together."""


def trace_step(trace: Array, events: Bools, step: int, rule: LearningRule, spec: CoreSpec) -> Array:
    """Traces after the events of this timestep, before they decay.

    Parameters
    ----------
    trace : int64[n]
        ``UQ(trace_bits - f).f``, or timesteps left of a window.
    events : bool[n]
        Where the trace's source or neuron had an event.
    step : int
        ``rule.pre_step`` or ``rule.post_step``.
    """
    if spec.plasticity == "window" or rule.nearest:
        return np.where(events, step, trace)
    return np.minimum(trace + events * step, (1 << spec.trace_bits) - 1)


def trace_after(trace: Array, a: int, spec: CoreSpec) -> Array:
    """Traces at the end of a timestep: decayed by ``a / 4096``, or a window's next timestep."""
    return np.maximum(trace - 1, 0) if spec.plasticity == "window" else decay(trace, a)


def next_random(state: int) -> int:
    """The random register's next state: xorshift with the shifts 13, 17, 5 on 32 bits.

    Source: G. Marsaglia, "Xorshift RNGs", J. Stat. Softw. 8 (2003). Linear over the bits, a
    feedback shift register that moves on by several bits at once.
    """
    state ^= state << 13 & 0xFFFFFFFF
    state ^= state >> 17
    return state ^ (state << 5 & 0xFFFFFFFF)


def random_states(state: int, count: int) -> Array:
    """The random register's states from ``state`` on, ``int64[count]``.

    They are linear over the bits: those from a state on are the sum, bit by bit, of those from
    each of its bits on.
    """
    blocks = [np.zeros(0, np.int64)]
    for left in range(count, 0, -_BLOCK):
        bits = (state >> np.arange(32)) & 1
        blocks.append(np.bitwise_xor.reduce(_states_of_bits()[bits != 0], axis=0)[:left])
        state = next_random(int(blocks[-1][-1]))
    return np.concatenate(blocks)


@cache
def _states_of_bits() -> Array:
    """A block of states from each bit on, ``int64[32, _BLOCK]``."""
    states = np.empty((32, _BLOCK), np.int64)
    for bit, row in enumerate(states):
        state = 1 << bit
        for k in range(_BLOCK):
            row[k] = state
            state = next_random(state)
    return states


def weight_after(
    weights: Array, down: Bools, size: Array, random: Array, shift: int, rule: LearningRule
) -> Array:
    """Weights after a change, rounded and kept within the rule's bounds.

    Parameters
    ----------
    weights : int64[words, lanes]
    down : bool[words, lanes]
        Where it goes down.
    size : int64[words, lanes]
        Of the change, at least 0, with ``shift`` fraction bits.
    random : int64[words, lanes]
        ``shift`` random bits each; used if ``rule.stochastic``.
    """
    half = (1 << shift) >> 1
    change = (size + (random if rule.stochastic else half)) >> shift
    positive = weights >= 0
    low = np.where(positive & rule.keep_sign, max(rule.w_min, 0), rule.w_min)
    high = np.where(~positive & rule.keep_sign, min(rule.w_max, -1), rule.w_max)
    return np.minimum(np.maximum(np.where(down, weights - change, weights + change), low), high)


class Plasticity:
    """What learns in a core with an image in it: weights, traces, eligibilities, random register.

    Parameters
    ----------
    image : CoreImage
        Of a plastic spec.

    Attributes
    ----------
    weights : int64[W, lanes]
    eligibility : int64[W, lanes]
        ``Q(trace_bits - f).f``; all zero without ``reward``.
    x : int64[A + N]
        Pre traces.
    listed : list of int
        Sources whose traces (or whose rows' eligibilities) are worked on after a timestep, in
        that order: since their last event neither has gone to zero.
    random : int
        The random register.
    """

    def __init__(self, image: CoreImage) -> None:
        self.image = image
        self._rule = image.rule or LearningRule()
        self._plastic: Bools = image.arrays["plastic"].astype(np.bool_)
        self._opposite: Bools = image.arrays["opposite"].astype(np.bool_)
        self.weights = image.weights.astype(np.int64)
        self.eligibility = np.zeros_like(self.weights)
        if image.eligibility is not None:
            self.eligibility += image.eligibility
        self.random = self._rule.seed
        self.clear()

    def clear(self) -> None:
        """Forget the traces; weights, eligibilities and the random register stay."""
        self.x = np.zeros(self.image.spec.sources, np.int64)
        self.listed: list[int] = []

    def learned(self, h: Array | None) -> CoreImage:
        """The image with what was learned in it, to be run or to go on from."""
        return with_learned(
            self.image,
            weights=self.weights,
            eligibility=self.eligibility,
            h=h,
            random=self.random,
        )

    def pre_events(self, sources: Array, y: Array) -> None:
        """The rows of some sources are integrated, in this order.

        Parameters
        ----------
        sources : int64[n]
        y : int64[N]
            Post traces as they stand.
        """
        spec, rule = self.image.spec, self._rule
        sources = sources[self.image.learns[sources]]
        row, word, group = self.image.row_words(sources)
        size = np.where(y > 0, rule.pre_change, 0) if spec.plasticity == "window" else y
        down = self._opposite[sources[row]] ^ (not rule.pre_raises)
        size = size.reshape(-1, spec.lanes)[group]
        if spec.reward:
            self._mark(word, down, size)
        else:
            self._change(word, down, size, *self._word_by_word(len(word)))
        events = np.ones(len(sources), np.bool_)
        self.x[sources] = trace_step(self.x[sources], events, rule.pre_step, rule, spec)
        known = set(self.listed)
        self.listed += [int(j) for j in sources if int(j) not in known]

    def post_events(self, spikes: Bools, reward: int) -> int:
        """The timestep's last level is updated.

        Parameters
        ----------
        spikes : bool[N]
            Of this timestep.
        reward : int
            Q1.6; without effect unless the spec has ``reward``.

        Returns
        -------
        cycles : int
            What the RTL takes for the listed sources' rows.
        """
        spec, rule, image = self.image.spec, self._rule, self.image
        fired = spikes.reshape(-1, spec.lanes)
        listed = np.array(self.listed, np.int64)
        row, word, group = image.row_words(listed)
        x = self.x[listed]
        size = np.where(x > 0, rule.post_change, 0) if spec.plasticity == "window" else x
        size = np.where(fired[group], size[row][:, None], 0)
        down = self._opposite[listed[row]] ^ rule.post_lowers
        x = self.x[listed] = trace_after(x, rule.a_pre, spec)
        stays = x > 0
        if spec.reward:
            self._mark(word, down, size)
            self._give(word, reward)
            stays[row[self.eligibility[word].any(axis=1)]] = True
            cycles = image.word_count[listed].astype(np.int64)
        else:
            # A lane's k-th neuron that fired has its synapse in the k-th cycle of every row.
            turn = fired.cumsum(axis=0) - 1
            most = int(turn[-1].max()) + 1
            moves = row[:, None] * most + turn[group]
            self._change(word, down, size, fired[group], moves, most * len(listed))
            at_once = np.unique(listed // 2) if spec.paired_rows else listed
            cycles = np.full(len(at_once), most)
        self.listed = listed[stays].tolist()
        return int(np.maximum(cycles, 1).sum())

    def _scaled(self, word: Array, down: Bools, size: Array) -> tuple[Array, int]:
        """Sizes of changes of the plastic synapses of words, and their fraction bits."""
        spec, rule = self.image.spec, self._rule
        size = np.where(self._plastic[word], size, 0)
        if not spec.soft_bounds:
            return size, spec.trace_fraction_bits
        weights = self.weights[word]
        ahead = np.where(down[:, None], weights - rule.w_min, rule.w_max - weights)
        size = size * (ahead if rule.soft else 1 << spec.weight_bits)
        return size, spec.trace_fraction_bits + spec.weight_bits

    def _mark(self, word: Array, down: Bools, size: Array) -> None:
        """Change the eligibilities of words."""
        spec = self.image.spec
        size, shift = self._scaled(word, down, size)
        size >>= shift - spec.trace_fraction_bits
        changed = self.eligibility[word] + np.where(down[:, None], -size, size)
        self.eligibility[word] = saturate(changed, spec.eligibility_bits)

    def _give(self, word: Array, reward: int) -> None:
        """Scale eligibilities by the reward into weights, and let them decay."""
        spec, rule = self.image.spec, self._rule
        earned = self.eligibility[word] * reward
        shift = spec.trace_fraction_bits + REWARD_FRACTION_BITS
        self._write(word, earned < 0, np.abs(earned), shift, *self._word_by_word(len(word)))
        self.eligibility[word] = decay(self.eligibility[word], rule.a_eligibility)

    def _word_by_word(self, words: int) -> tuple[Bools, Array, int]:
        """All lanes of each word change, and the random register moves on by one a word."""
        every = np.ones((words, self.image.spec.lanes), np.bool_)
        return every, np.cumsum(every, axis=0) - 1, words

    def _change(
        self, word: Array, down: Bools, size: Array, where: Bools, moves: Array, count: int
    ) -> None:
        """Change weights of words; see :meth:`_write`."""
        size, shift = self._scaled(word, down, size)
        self._write(word, down[:, None], size, shift, where, moves, count)

    def _write(
        self,
        word: Array,
        down: Bools,
        size: Array,
        shift: int,
        where: Bools,
        moves: Array,
        count: int,
    ) -> None:
        """Write weights of words ``where`` they change.

        The random register moves on ``count`` times, ``moves`` of them before each synapse.
        """
        weights = self.weights[word]
        random = self._draw(moves, count) & ((1 << shift) - 1)
        after = weight_after(weights, down, size, random, shift, self._rule)
        self.weights[word] = np.where(where & self._plastic[word], after, weights)

    def _draw(self, moves: Array, count: int) -> Array:
        """Random bits of the synapses of words, ``int64[words, lanes]``; see :meth:`_write`."""
        if not self.image.spec.stochastic_rounding:
            return np.zeros_like(moves)
        states = random_states(self.random, count + 1)
        self.random = int(states[-1])
        turn = LANE_TURN * np.arange(self.image.spec.lanes) % RANDOM_BITS
        return states[moves] >> turn | states[moves] << (RANDOM_BITS - turn)
