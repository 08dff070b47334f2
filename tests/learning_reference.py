"""A core that learns as plain Python, one synapse and one event at a time; slow and independent.

Written from design sections 3 and 7 and the docstrings of the image and the learning rule.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from spikewright.image import CoreImage
from spikewright.learning import LearningRule


@dataclass
class Synapse:
    neuron: int
    lane: int
    weight: int
    delay: int
    plastic: bool
    eligibility: int


@dataclass
class Word:
    index: int
    group: int
    synapses: list[Synapse]


def clamp(x: int, low: int, high: int) -> int:
    return low if x < low else min(x, high)


def decayed(x: int, a: int) -> int:
    return int(math.copysign(abs(x) * a // 4096, x))


class LearningReference:
    """State as the golden model names it, in lists; ``rows[j]`` are the words of source j."""

    def __init__(self, image: CoreImage) -> None:
        assert image.rule is not None
        self.image, self.spec, self.rule = image, image.spec, image.rule
        spec = self.spec
        self.rows = [self.row(j) for j in range(spec.sources)]
        self.learns = [any(s.plastic for w in row for s in w.synapses) for row in self.rows]
        ends = [sum(image.level_groups.tolist()[:k]) for k in range(len(image.level_groups) + 1)]
        self.levels = [
            range(ends[k] * spec.lanes, ends[k + 1] * spec.lanes) for k in range(len(ends) - 1)
        ]
        self.random = self.rule.seed
        self.h = [0] * spec.neurons if image.h is None else image.h.tolist()
        self.clear()

    def row(self, j: int) -> list[Word]:
        image, lanes = self.image, self.spec.lanes
        words = []
        for k in range(int(image.word_count[j])):
            at, group = int(image.first_word[j]) + k, int(image.first_group[j]) + k
            synapses = [
                Synapse(
                    neuron=group * lanes + lane,
                    lane=lane,
                    weight=int(image.weights[at, lane]),
                    delay=int(image.delays[at, lane]),
                    plastic=bool(image.arrays["plastic"][at, lane]),
                    eligibility=int(image.arrays["eligibility"][at, lane])
                    if self.spec.reward
                    else 0,
                )
                for lane in range(lanes)
            ]
            words.append(Word(at, group, synapses))
        return words

    def clear(self) -> None:
        neurons = self.spec.neurons
        self.v, self.i, self.refractory, self.y = ([0] * neurons for _ in range(4))
        self.acc = [[0] * neurons for _ in range(self.spec.delay_slots)]
        self.x = [0] * self.spec.sources
        self.listed: list[int] = []
        self.last: list[int] = []
        self.t = 0

    # A timestep

    def step(self, axons: Sequence[int], learn: bool, reward: int) -> tuple[list[int], int]:
        """Run one: its spikes and cycles."""
        spec, image = self.spec, self.image
        self.learning = learn
        pending = [*axons, *(spec.axons + n for n in self.last)]
        cycles = spec.timestep_overhead + spec.update_latency
        cycles += image.groups_used * spec.update_cycles
        spikes: list[int] = []
        for k, level in enumerate(self.levels):
            for j in pending:
                self.deliver(j, level.start)
                if learn and self.learns[j]:
                    self.pre_event(j)
            if pending:
                cycles += spec.integrate_overhead + sum(max(1, len(self.rows[j])) for j in pending)
                cycles += spec.update_latency if k else 0
            winners = 0 if image.level_winners is None else int(image.level_winners[k])
            fired, candidates = self.update(level, winners)
            if winners:
                passes = min(candidates, winners - 1) + 1
                cycles += passes * (
                    spec.update_cycles * len(level) // spec.lanes + spec.update_latency
                )
            spikes += fired
            pending = [spec.axons + n for n in fired]
            self.last = fired
        if learn:
            passed = self.post_events(spikes, reward)
            cycles += spec.learn_overhead + passed if passed else 0
        self.t += 1
        return spikes, cycles

    def deliver(self, j: int, updated: int) -> None:
        for word in self.rows[j]:
            for s in word.synapses:
                slot = self.t + s.delay + (s.neuron < updated)
                self.acc[slot % self.spec.delay_slots][s.neuron] += s.weight

    def update(self, level: range, winners: int) -> tuple[list[int], int]:
        """Update a level: its spikes, and how many neurons were above their thresholds."""
        image, spec = self.image, self.spec
        top = (1 << (spec.state_bits - 1)) - 1
        above: dict[int, int] = {}
        for n in level:
            acc = self.acc[self.t % spec.delay_slots]
            c, acc[n] = acc[n] << spec.fraction_bits, 0
            i = decayed(self.i[n], int(image.a_syn[n])) + c + int(image.bias[n])
            self.i[n] = clamp(i, -top - 1, top)
            if self.refractory[n]:
                self.refractory[n] -= 1
                continue
            v = decayed(self.v[n], int(image.a_mem[n])) + self.i[n]
            self.v[n] = clamp(v, -top - 1, top)
            distance = self.v[n] - int(image.v_threshold[n]) - self.h[n]
            if distance > 0:
                above[n] = distance
        best = sorted(above, key=lambda n: (-above[n], n))
        fired = sorted(best[:winners] if winners else best)
        for n in level:
            if n in fired:
                self.refractory[n] = int(image.refractory[n])
                reset = int(image.reset[n])
                self.v[n] = reset if image.reset_to[n] else self.v[n] - reset
            elif winners and fired:
                self.v[n] = 0
            if self.learning:
                self.y[n] = self.fade(
                    self.event(self.y[n], n in fired, self.rule.post_step), self.rule.a_post
                )
                self.adapt(n, n in fired)
        return fired, len(above)

    def adapt(self, n: int, spiked: bool) -> None:
        if self.spec.adaptive_threshold:
            step = int(self.image.arrays["h_step"][n]) if spiked else 0
            most = (1 << (self.spec.state_bits - 1)) - 1
            self.h[n] = min(most, decayed(self.h[n], self.rule.a_h) + step)

    # Traces

    def event(self, trace: int, happened: bool, step: int) -> int:
        if not happened:
            return trace
        if self.spec.plasticity == "window" or self.rule.nearest:
            return step
        return min(trace + step, (1 << self.spec.trace_bits) - 1)

    def fade(self, trace: int, a: int) -> int:
        return max(0, trace - 1) if self.spec.plasticity == "window" else decayed(trace, a)

    # Changes

    def pre_event(self, j: int) -> None:
        for word in self.rows[j]:
            bits = None if self.spec.reward else self.draw()
            for s in word.synapses:
                raises = self.rule.pre_raises != bool(self.image.arrays["opposite"][j])
                y = self.y[s.neuron]
                if self.spec.plasticity == "window":
                    y = self.rule.pre_change if y else 0
                self.change(s, y, raises, bits)
        self.x[j] = self.event(self.x[j], True, self.rule.pre_step)
        if j not in self.listed:
            self.listed.append(j)

    def post_events(self, spikes: list[int], reward: int) -> int:
        rule, spec = self.rule, self.spec
        # In each lane the neurons that fired take their turns, in all lanes at once.
        turns = {n: sum(o % spec.lanes == n % spec.lanes for o in spikes if o < n) for n in spikes}
        most = max(turns.values(), default=-1) + 1
        cycles = 0
        stay = []
        passed = set()
        for j in self.listed:
            raises = rule.post_lowers == bool(self.image.arrays["opposite"][j])
            x = self.x[j]
            if spec.plasticity == "window":
                x = rule.post_change if x else 0
            count = len(self.rows[j]) if spec.reward else most
            draws = [self.draw() for _ in range(count)]
            for k, word in enumerate(self.rows[j]):
                for s in word.synapses:
                    if s.neuron in turns:
                        self.change(s, x, raises, None if spec.reward else draws[turns[s.neuron]])
                    if spec.reward:
                        self.earn(s, reward, draws[k])
            # Rows of a pair pass together.
            pair = j - j % 2 if spec.paired_rows else j
            cycles += 0 if pair in passed else max(1, count)
            passed.add(pair)
            self.x[j] = self.fade(self.x[j], rule.a_pre)
            if self.x[j] or (
                spec.reward and any(s.eligibility for w in self.rows[j] for s in w.synapses)
            ):
                stay.append(j)
        self.listed = stay
        return cycles

    def change(self, s: Synapse, size: int, raises: bool, bits: int | None) -> None:
        """Change a weight, or its eligibility, by ``size / 2**trace_fraction_bits``."""
        if not s.plastic:
            return
        spec, rule = self.spec, self.rule
        exact = Fraction(size, 1 << spec.trace_fraction_bits)
        if rule.soft:
            ahead = rule.w_max - s.weight if raises else s.weight - rule.w_min
            exact *= Fraction(ahead, 1 << spec.weight_bits)
        if spec.reward:
            units = math.floor(exact * (1 << spec.trace_fraction_bits))
            most = (1 << spec.trace_bits) - 1
            s.eligibility = clamp(s.eligibility + (units if raises else -units), -most - 1, most)
            return
        places = spec.trace_fraction_bits + (spec.weight_bits if spec.soft_bounds else 0)
        self.write(s, exact, raises, bits, places)

    def earn(self, s: Synapse, reward: int, bits: int | None) -> None:
        """The reward Q1.6 times the eligibility; then that decays."""
        earned = s.eligibility * reward
        if s.plastic:
            places = self.spec.trace_fraction_bits + 6
            self.write(s, Fraction(abs(earned), 1 << places), earned > 0, bits, places)
        s.eligibility = decayed(s.eligibility, self.rule.a_eligibility)

    def write(
        self, s: Synapse, exact: Fraction, raises: bool, bits: int | None, places: int
    ) -> None:
        """Round a change that has so many binary places, and keep the weight in its bounds."""
        carry = Fraction(1, 2)
        if self.rule.stochastic:
            assert bits is not None
            turned = bits
            for _ in range(5 * s.lane):
                turned = turned >> 1 | (turned & 1) << 31
            carry = Fraction(turned % (1 << places), 1 << places)
        change = math.floor(exact + carry)
        low, high = self.bounds(self.rule, s.weight)
        s.weight = clamp(s.weight + (change if raises else -change), low, high)

    @staticmethod
    def bounds(rule: LearningRule, weight: int) -> tuple[int, int]:
        if not rule.keep_sign:
            return rule.w_min, rule.w_max
        if weight < 0:
            return rule.w_min, min(rule.w_max, -1)
        return max(rule.w_min, 0), rule.w_max

    def draw(self) -> int:
        """The random register as it is; with stochastic rounding it then moves on."""
        state = self.random
        if self.spec.stochastic_rounding:
            new = (state ^ state << 13) % (1 << 32)
            new ^= new >> 17
            self.random = (new ^ new << 5) % (1 << 32)
        return state

    def learned(self) -> dict[tuple[int, int], tuple[int, int]]:
        """Weight and eligibility of every synapse of a row that learns, by word and lane."""
        return {
            (word.index, s.lane): (s.weight, s.eligibility)
            for j, row in enumerate(self.rows)
            if self.learns[j]
            for word in row
            for s in word.synapses
        }
