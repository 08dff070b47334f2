"""The core's memories as the host addresses them: the layout of every record."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from spikewright.fixed import DECAY_BITS
from spikewright.layout import Field, Layout

if TYPE_CHECKING:
    from spikewright.spec import CoreSpec

__all__ = ["Memory", "Region", "index_width", "memories_of"]


def index_width(count: int) -> int:
    """Bits that address ``count`` things, at least one."""
    return max(1, (count - 1).bit_length())


class Region(IntEnum):
    """The core's memories as the host addresses them; the value is the code on the link."""

    WEIGHTS = 0
    DESCRIPTORS = 1
    LEVELS = 2
    NEURONS = 3
    STATE = 4
    ACCUMULATORS = 5
    RULE = 6
    RANDOM = 7


@dataclass(frozen=True)
class Memory:
    """One region: ``depth`` records of ``layout``; written, or read back, or both, by the host."""

    layout: Layout
    depth: int
    writable: bool
    readable: bool


def memories_of(spec: "CoreSpec") -> Mapping[Region, Memory]:
    """Layout, depth and access of every region; see :attr:`~spikewright.spec.CoreSpec.memories`."""

    def memory(fields: list[Field], depth: int, access: str) -> Memory:
        return Memory(Layout(tuple(fields)), depth, "w" in access, "r" in access)

    accumulators = spec.delay_slots << index_width(spec.neurons)
    memories = {
        Region.WEIGHTS: memory(_word(spec), spec.weight_words, "rw"),
        Region.DESCRIPTORS: memory(_descriptor(spec), spec.sources, "w"),
        Region.LEVELS: memory(_level(spec), spec.groups, "w"),
        Region.NEURONS: memory(_neuron(spec), spec.neurons, "w"),
        Region.STATE: memory(_state(spec), spec.neurons, "r"),
        Region.ACCUMULATORS: memory([Field("acc", spec.acc_bits, signed=True)], accumulators, "r"),
    }
    if spec.plastic:
        memories[Region.RULE] = memory(_rule(spec), 1, "w")
        memories[Region.RANDOM] = memory([Field("random", 32)], 1, "rw")
    return memories


def _word(spec: "CoreSpec") -> list[Field]:
    """A weight word."""

    def each_lane(name: str, width: int, *, signed: bool = False) -> list[Field]:
        return [Field(f"{name}{lane}", width, signed=signed) for lane in range(spec.lanes)]

    fields = each_lane("weight", spec.weight_bits, signed=True)
    if spec.delay_bits:
        fields += each_lane("delay", spec.delay_bits)
    if spec.sparse:
        fields.append(Field("group", index_width(spec.groups)))
    if spec.plastic:
        fields += each_lane("plastic", 1)
    if spec.reward:
        fields += each_lane("eligibility", spec.eligibility_bits, signed=True)
    return fields


def _descriptor(spec: "CoreSpec") -> list[Field]:
    """A source's row."""
    fields = [
        Field("first_word", index_width(spec.weight_words)),
        Field("word_count", spec.most_row_words.bit_length()),
    ]
    if not spec.sparse:
        fields.append(Field("first_group", index_width(spec.groups)))
    if spec.plastic:
        fields += [Field("learns", 1), Field("opposite", 1)]
    return fields


def _level(spec: "CoreSpec") -> list[Field]:
    """A neuron group's place in its level."""
    fields = [Field("last", 1), Field("end", 1)]
    if spec.winners:
        fields.append(Field("winners", spec.winners.bit_length()))
    return fields


def _neuron(spec: "CoreSpec") -> list[Field]:
    """A neuron's parameters."""
    state = spec.state_bits
    fields = [
        Field("a_mem", DECAY_BITS + 1),
        Field("bias", state, signed=True),
        Field("v_threshold", state, signed=True),
        Field("reset_by", state, signed=True),
        Field("reset_to", 1),
    ]
    if spec.synapse_current:
        fields.append(Field("a_syn", DECAY_BITS + 1))
    if spec.refractory_bits:
        fields.append(Field("refractory", spec.refractory_bits))
    if spec.adaptive_threshold:
        fields += [Field("h", state - 1), Field("h_step", state - 1)]
    return fields


def _state(spec: "CoreSpec") -> list[Field]:
    """A neuron's state."""
    fields = [Field("v", spec.state_bits, signed=True)]
    if spec.synapse_current:
        fields.append(Field("i", spec.state_bits, signed=True))
    if spec.refractory_bits:
        fields.append(Field("refractory", spec.refractory_bits))
    if spec.plastic:
        fields.append(Field("y", spec.trace_bits))
    if spec.adaptive_threshold:
        fields.append(Field("h", spec.state_bits - 1))
    return fields


def _rule(spec: "CoreSpec") -> list[Field]:
    """The learning rule, named as in :class:`~spikewright.learning.LearningRule`."""
    trace, weight, decay = spec.trace_bits, spec.weight_bits, DECAY_BITS + 1
    fields = [
        Field("pre_step", trace),
        Field("post_step", trace),
        Field("w_min", weight, signed=True),
        Field("w_max", weight, signed=True),
        Field("pre_raises", 1),
        Field("post_lowers", 1),
        Field("keep_sign", 1),
    ]
    if spec.plasticity == "window":
        fields += [Field("pre_change", trace), Field("post_change", trace)]
    else:
        fields += [Field("a_pre", decay), Field("a_post", decay), Field("nearest", 1)]
    if spec.soft_bounds:
        fields.append(Field("soft", 1))
    if spec.stochastic_rounding:
        fields.append(Field("stochastic", 1))
    if spec.reward:
        fields.append(Field("a_eligibility", decay))
    if spec.adaptive_threshold:
        fields.append(Field("a_h", decay))
    return fields
